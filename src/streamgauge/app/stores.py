"""The state store that fits the layouts: opened where it is there, built from the log where it is not."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Final

from streamgauge.app import wiring
from streamgauge.definitions.loader import load_project
from streamgauge.errors import LogDamaged, StateDamaged
from streamgauge.features.layout import Layouts
from streamgauge.features.rebuild import damaged_entities, rebuild_store
from streamgauge.log.refused import contradictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.app.live import LiveSet
    from streamgauge.app.service import Progress
    from streamgauge.app.settings import Place
    from streamgauge.events.record import Record
    from streamgauge.features.identity import Verdict
    from streamgauge.features.store import StateStore
    from streamgauge.log.port import Log

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 1_000
_CATCH_UP: Final = 5_000
"""A new store under a log no longer than this is filled as events are, so that the feed of scores has them all."""


def fitting_store(place: Place, log: Log, layouts: Layouts, progress: Progress, up_to: int | None = None) -> StateStore:
    """Open the store of some layouts; build it from the log where it is new, damaged or was left unfinished.

    Args:
        place: The project directory.
        log: Where states are built from.
        layouts: What every state keeps, by role.
        progress: Told how far a building is.
        up_to: The position to build to, where the rest is still to be applied; None for what an owner had applied
            under other layouts, else for the log's last.

    Raises:
        LogDamaged: The log ends before what was applied already.
    """
    store = wiring.open_store(place, layouts.digest)

    def tell(done: int, total: int) -> None:
        progress("rebuilding states", done, total)

    def tell_rejected(judged: list[tuple[Record, Verdict]]) -> None:
        log.quarantine(contradictions(judged, log.schema))

    workers = place.settings.engine.workers
    last = log.last_position()
    damaged = _damaged(store)
    if store.stale:
        logger.warning("%s It is built again from the log.", store.stale)
    applied = store.applied()
    if applied > last:
        store.close()
        raise LogDamaged(
            f"The event log ends at position {last}, but states were applied up to {applied}: accepted records are "
            f"missing. Restore {place.log.name} from a backup, or delete {place.state} to go on without them."
        )
    if last and not applied and up_to is None:
        up_to = _carry_from_earlier(place, store, last)
    if store.stale and up_to is None:  # its last scores may be lost: they are published again
        up_to = max(0, last - _CATCH_UP)
    if up_to != 0 and (store.stale or (last and not applied and (up_to is not None or last > _CATCH_UP))):
        if layouts.parts:
            rebuild_store(log, layouts, store, up_to=up_to, workers=workers, progress=tell, on_rejected=tell_rejected)
        else:  # nothing is served: states come back from the log one by one, when an event needs them
            store.clear()
            store.put_batch({}, watermark=last if up_to is None else up_to)
    elif damaged:
        rebuild_store(log, layouts, store, damaged, up_to=store.watermark(), workers=workers, progress=tell)
    return store


def prepare_store(place: Place, log: Log, live: LiveSet, models: Sequence[str], progress: Progress) -> None:
    """Build the states that models of the project file will need, beside those that are served.

    Args:
        place: The project directory; its project file is read as it is now.
        log: Where states are built from.
        live: What is served.
        models: The models; those that have a champion already are passed over, for they change nothing that is served.
        progress: Told how far the building is.
    """
    from streamgauge.models.policies import serving_programs

    project = load_project(place.project_file)
    new = [program for name in models if name not in live.models for program in serving_programs(project, name)]
    served = [program for model in live.models.values() for program in model.loaded.programs()]
    if new:
        fitting_store(place, log, Layouts.of([*served, *new]), progress, log.last_position()).close()


def carry_scores(source: StateStore, target: StateStore, after: int = 0) -> int:
    """Copy the scores still published by one store into another, behind a number; return the last one's number."""
    while entries := source.outbox_after(after, _AT_ONCE):
        target.put_batch({}, [body for _, body in entries])
        after = entries[-1][0]
    return after


def _carry_from_earlier(place: Place, store: StateStore, last: int) -> int | None:
    """Take over the scores of the store of another layout, and return the position it had applied, or None."""
    for earlier in wiring.open_other_stores(place, store.layout_digest):
        try:
            applied = earlier.applied()
            if 0 < applied <= last:
                carry_scores(earlier, store)
                return applied
        except StateDamaged as error:
            logger.warning("%s Its scores are no longer published.", error)
        finally:
            earlier.close()
    return None


def _damaged(store: StateStore) -> list[str]:
    """Return the entities whose states are to be built again; a store that cannot be read is put aside."""
    try:
        store.applied()
        return damaged_entities(store) if store.unclean else []
    except StateDamaged as error:
        store.renew(str(error))
        return []


def retire(place: Place, store: StateStore) -> None:
    """Close a store that is served from no more, and drop its files."""
    folder = wiring.store_folder(place, store.layout_digest)
    store.close()
    shutil.rmtree(folder, ignore_errors=True)


def sweep(place: Place, layouts: Layouts) -> None:
    """Drop the stores of other layouts that an earlier owner left behind."""
    kept = wiring.store_folder(place, layouts.digest)
    for folder in place.state.iterdir():
        if folder.is_dir() and folder != kept:
            shutil.rmtree(folder, ignore_errors=True)
