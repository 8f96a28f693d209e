"""The state store that fits a layout: opened where it is there, built from the log where it is not."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Final

from streamgauge.app import wiring
from streamgauge.errors import LogDamaged, StateDamaged
from streamgauge.features.rebuild import damaged_entities, rebuild_store
from streamgauge.log.refused import contradictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamgauge.app.settings import Place
    from streamgauge.events.record import Record
    from streamgauge.features.identity import Verdict
    from streamgauge.features.layout import Layout
    from streamgauge.features.store import StateStore
    from streamgauge.log.port import Log

logger = logging.getLogger(__name__)

_CATCH_UP: Final = 5_000
"""A new store under a log no longer than this is filled as events are, so that the feed of scores has them all."""


def fitting_store(place: Place, log: Log, layout: Layout, progress: Callable[[str, int, int], None]) -> StateStore:
    """Open the store of a layout; build it from the log where it is new, damaged or was left unfinished.

    Args:
        place: The project directory.
        log: Where states are built from.
        layout: What every state keeps.
        progress: Told how far a building is.

    Raises:
        LogDamaged: The log ends before what was applied already.
    """
    store = wiring.open_store(place, layout.digest)

    def tell(done: int, total: int) -> None:
        progress("rebuilding states", done, total)

    def tell_rejected(judged: list[tuple[Record, Verdict]]) -> None:
        log.quarantine(contradictions(judged, log.schema))

    workers = place.settings.engine.workers
    last = log.last_position()
    damaged = _damaged(store)
    if store.stale:
        logger.warning("%s It is built again from the log.", store.stale)
    watermark = store.watermark()
    if watermark > last:
        store.close()
        raise LogDamaged(
            f"The event log ends at position {last}, but states were applied up to {watermark}: accepted records are "
            f"missing. Restore {place.log.name} from a backup, or delete {place.state} to go on without them."
        )
    if store.stale or (last > _CATCH_UP and not watermark):
        if layout.streams:
            rebuild_store(log, layout, store, workers=workers, progress=tell, on_rejected=tell_rejected)
        else:  # nothing is served: states come back from the log one by one, when an event needs them
            store.clear()
            store.put_batch({}, watermark=last)
    elif damaged:
        rebuild_store(log, layout, store, damaged, up_to=watermark, workers=workers, progress=tell)
    return store


def _damaged(store: StateStore) -> list[str]:
    """Return the entities whose states are to be built again; a store that cannot be read is put aside."""
    try:
        store.watermark()
        return damaged_entities(store) if store.unclean else []
    except StateDamaged as error:
        store.renew(str(error))
        return []


def retire(place: Place, store: StateStore) -> None:
    """Close a store that is served from no more, and drop its files."""
    folder = wiring.store_folder(place, store.layout_digest)
    store.close()
    shutil.rmtree(folder, ignore_errors=True)


def sweep(place: Place, layout: Layout) -> None:
    """Drop the stores of other layouts that an earlier owner left behind."""
    kept = wiring.store_folder(place, layout.digest)
    for folder in place.state.iterdir():
        if folder.is_dir() and folder != kept:
            shutil.rmtree(folder, ignore_errors=True)
