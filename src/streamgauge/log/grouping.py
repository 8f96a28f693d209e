"""Columns as records again, entity by entity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from streamgauge.events.batch import RecordBatch
    from streamgauge.events.record import Record

ENTITIES_AT_ONCE: Final = 20_000
_RECORDS_AT_ONCE: Final = 20_000


def groups_of(
    read: Callable[[Sequence[str] | None], Iterator[RecordBatch]],
    entities: Sequence[str] | None,
    streams: Callable[[], Mapping[int, str]],
) -> Iterator[tuple[str, list[Record]]]:
    """Yield (entity, its records in order of position) for the named entities, or for all in order of their key.

    Args:
        read: Reads some entities, or all, under one cut (`Log.read_columns`).
        entities: The entities, in the order wanted; one that has no records yields none.
        streams: The name of the stream of each schema number.
    """
    if entities is None:
        for batch in read(None):
            names = streams()
            for part in batch.split(_RECORDS_AT_ONCE):
                yield from part.groups(names)
        return
    for start in range(0, len(entities), ENTITIES_AT_ONCE):
        some = entities[start : start + ENTITIES_AT_ONCE]
        parts = [part for batch in read(some) for part in batch.split(1)]
        names = streams()
        held = {part.entities[0]: part for part in parts}
        for entity in some:
            yield entity, held[entity].records(names) if entity in held else []
