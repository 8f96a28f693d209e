"""The composition root: which adapter serves which port."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from streamgauge.errors import StateDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamgauge.adapters.sqlite.archived_log import ArchivedLog
    from streamgauge.adapters.sqlite.ledger import SqliteLedger
    from streamgauge.adapters.sqlite.ledger_reading import DecisionReader
    from streamgauge.app.settings import Place
    from streamgauge.decisions.ledger import Ledger
    from streamgauge.features.store import StateStore
    from streamgauge.log.port import Log
    from streamgauge.log.segment import SegmentFiles
    from streamgauge.models.protected import ProtectedStore
    from streamgauge.models.registry import Registry

logger = logging.getLogger(__name__)


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Return the present moment, UTC, in µs since the epoch."""
        return time.time_ns() // 1_000


def open_log(place: Place, *, reads_only: bool = False) -> Log:
    """Open the event log of a project directory, creating it where there is none (unless it is only read)."""
    from streamgauge.adapters.sqlite.archived_log import ArchivedLog
    from streamgauge.log.archive import Archive

    if not reads_only:
        place.data.mkdir(parents=True, exist_ok=True)
    return ArchivedLog(place.log, Archive(place.archive, _segment_files), reads_only=reads_only)


class Checks:
    """Checks of the indexes of log and ledger, beside what a start imports and reads before it opens them.

    Attributes:
        log: That of the event log.
        ledger: That of the decision ledger.
    """

    def __init__(self, place: Place) -> None:
        """Begin them, the longer one first."""
        from streamgauge.adapters.sqlite import log_schema
        from streamgauge.adapters.sqlite.index_check import IndexCheck

        self.log = IndexCheck(place.log, log_schema.CHECKED)
        from streamgauge.adapters.sqlite import ledger_rows

        self.ledger = IndexCheck(place.ledger, ledger_rows.CHECKED)

    def close(self) -> None:
        """End them."""
        self.log.close()
        self.ledger.close()


def open_own_log(place: Place, checks: Checks | None = None) -> Log:
    """Open the log of a directory that this process owns; an index that is damaged is made again from the records.

    Args:
        place: The project directory.
        checks: Checks that were begun; None to check it here.

    Raises:
        LogDamaged: It is damaged, or does not come as far as it once did.
    """
    log = cast("ArchivedLog", open_log(place))
    try:
        if log.mend(None if checks is None else checks.log.problems()):
            logger.warning("An index of %s was damaged; it was made again from the records.", place.log.name)
        if not log.check_end():
            logger.warning(
                "How far %s came was noted in %s, which cannot be read; it is noted anew from here.",
                place.log.name,
                place.log_end.name,
            )
    except BaseException:
        log.close()
        raise
    return log


def _segment_files() -> SegmentFiles:
    from streamgauge.adapters.parquet.segments import ParquetSegments

    return ParquetSegments()


def store_folder(place: Place, layout_digest: str) -> Path:
    """Return where a layout's states lie: each has its own folder, so that one can be built beside another."""
    return place.state / layout_digest[:16]


def open_store(place: Place, layout_digest: str, *, reads_only: bool = False) -> StateStore:
    """Open the state store of a layout."""
    from streamgauge.adapters.lmdb.store import LmdbStateStore

    folder = store_folder(place, layout_digest)
    if not reads_only:
        folder.mkdir(parents=True, exist_ok=True)
    return LmdbStateStore(folder, layout_digest, readonly=reads_only, keep=place.settings.engine.outbox)


def open_other_stores(place: Place, layout_digest: str) -> Iterator[StateStore]:
    """Yield the stores of other layouts, to be read; one that cannot be opened is passed over."""
    from streamgauge.adapters.lmdb.store import LmdbStateStore

    for folder in sorted(place.state.iterdir()):
        if folder != store_folder(place, layout_digest) and (folder / "data.mdb").exists():
            with suppress(StateDamaged):
                yield LmdbStateStore(folder, folder.name, readonly=True)


def open_ledger(place: Place) -> Ledger:
    """Open the decision ledger."""
    from streamgauge.adapters.sqlite.ledger import SqliteLedger

    return SqliteLedger(place.ledger, place.heads, os.urandom)


def open_own_ledger(place: Place, checks: Checks | None = None) -> Ledger:
    """Open the ledger of a directory that this process owns; damaged indexes are made again from the entries."""
    ledger = cast("SqliteLedger", open_ledger(place))
    if ledger.mend(None if checks is None else checks.ledger.problems()):
        logger.warning("An index of %s was damaged; it was made again from the entries.", place.ledger.name)
    return ledger


def open_decisions(place: Place) -> DecisionReader:
    """Return what reads decisions beside the owner of the ledger."""
    from streamgauge.adapters.sqlite.ledger_reading import DecisionReader

    return DecisionReader(place.ledger)


def open_protected(place: Place) -> ProtectedStore:
    """Open the file of protected attributes."""
    from streamgauge.adapters.sqlite.protected import SqliteProtectedStore

    return SqliteProtectedStore(place.protected)


def open_registry(place: Place) -> Registry:
    """Open the model registry."""
    from streamgauge.adapters.mlflow.registry import MlflowRegistry

    return MlflowRegistry(place.models)
