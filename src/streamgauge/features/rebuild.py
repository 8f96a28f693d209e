"""States from the log: at start where the stored ones do not fit, and after imports."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from streamgauge.definitions.roles import role_of
from streamgauge.errors import StateDamaged
from streamgauge.features.batch_build import StateFiller
from streamgauge.features.chunks import CHUNK_RECORDS, batches_of, in_order
from streamgauge.features.codec import check_state
from streamgauge.features.decode import SchemaBook
from streamgauge.features.judging import Judged
from streamgauge.features.state import EntityState
from streamgauge.features.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from streamgauge.events.batch import RecordBatch
    from streamgauge.events.record import Record
    from streamgauge.features.identity import Verdict
    from streamgauge.features.layout import Layouts
    from streamgauge.features.store import StateStore
    from streamgauge.log.port import Log


def rebuild_store(  # noqa: PLR0913 - what is rebuilt, and who is told of what
    log: Log,
    layouts: Layouts,
    store: StateStore,
    entities: Sequence[str] | None = None,
    *,
    up_to: int | None = None,
    workers: int = 2,
    chunk_records: int = CHUNK_RECORDS,
    progress: Callable[[int, int], None] | None = None,
    on_rejected: Callable[[list[tuple[Record, Verdict]]], None] | None = None,
) -> int:
    """Write the states of all entities, or of the named ones, as the log has them now.

    Without names the store is cleared first, and its watermark is set at the end to the log's last position; so a
    rebuild cut short leaves a watermark of 0. With names the watermark stays, and their states may be ahead of it: a
    record whose position is not greater than its state's `last_position` has been applied. Nothing may be applied to
    the store meanwhile.

    Args:
        log: The log.
        layouts: What to keep, by role; entities of a role that no program reads get none, and lose the one they have.
        store: Where to write; it must have been opened for these layouts.
        entities: The entities to rebuild, or None for all.
        up_to: The position to rebuild to, or None for the log's last.
        workers: How many threads work beside the one that reads.
        chunk_records: About how many records' states are written in one commit.
        progress: Called with (entities done, entities in all).
        on_rejected: Called with records that were not applied and their verdicts, before their entities' states are
            written.

    Returns:
        The log's position up to which the states are rebuilt.
    """
    if store.layout_digest != layouts.digest:
        raise ValueError("The store was opened for other layouts than the states are to be built for.")
    position = log.last_position() if up_to is None else up_to
    if entities is None:
        names = [entity for role in layouts.roles for entity in log.entities(role)]
    else:
        names = [entity for entity in entities if layouts.role(role_of(entity)) is not None]
        store.delete([entity for entity in entities if layouts.role(role_of(entity)) is None])
    if entities is None:
        store.clear()
    book = SchemaBook(log.schema)

    def build(batch: RecordBatch) -> tuple[dict[str, bytes], list[tuple[Record, Verdict]]]:
        states: dict[str, bytes] = {}
        rejected: list[tuple[Record, Verdict]] = []
        for part in _by_role(batch):
            layout = layouts.of_entity(part.entities[0])
            timeline = Timeline.of_batch(layout, part, book)
            judged = Judged.of(part, book) if timeline.judged is None else timeline.judged
            filler = StateFiller(timeline, judged, book)
            states |= {
                name: filler.fill(EntityState(layout), number).encode() for number, name in enumerate(timeline.entities)
            }
            rejected += judged.rejected_records(book)
        return states, rejected

    done = 0
    batches = batches_of(log, names, position, chunk_records)
    for states, rejected in in_order(build, batches, workers):
        if rejected and on_rejected is not None:
            on_rejected(rejected)
        store.put_batch(states)
        done += len(states)
        if progress is not None:
            progress(done, len(names))
    if entities is None:
        store.put_batch({}, watermark=position)
    return position


def _by_role(batch: RecordBatch) -> Iterator[RecordBatch]:
    """Yield the entities of each role; in order of keys they are neighbours."""
    first = 0
    for _, same in groupby(batch.entities, key=role_of):
        last = first + len(list(same))
        yield batch.slice(first, last)
        first = last


def damaged_entities(store: StateStore) -> list[str]:
    """Return the entities whose states do not have the checksum they were written with.

    For a store that was not closed (`StateStore.unclean`): rebuild these with `rebuild_store`.
    """
    damaged = []
    for entity in store.entities():
        state = store.get(entity)
        try:
            check_state(state or b"")
        except StateDamaged:
            damaged.append(entity)
    return damaged
