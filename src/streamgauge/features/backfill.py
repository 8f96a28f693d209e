"""Backfill: features of many entities at many moments, straight from the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamgauge.features.chunks import CHUNK_RECORDS, in_chunks, in_order
from streamgauge.features.decode import SchemaBook
from streamgauge.features.history import Observed, features_of
from streamgauge.features.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Protocol

    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.record import Record
    from streamgauge.features.bind import BoundProgram
    from streamgauge.features.decode import Ints

    class EntityReader(Protocol):
        """The part of `streamgauge.log.port.Log` that a backfill reads."""

        def read_by_entity(
            self, entities: Sequence[str] | None = None, up_to: int | None = None
        ) -> Iterator[tuple[str, list[Record]]]:
            """Yield (entity, its records in order of position) for the named entities."""

        def schema(self, number: int) -> StreamSpec:
            """Return the stream as it was declared under a schema number."""


@dataclass(frozen=True, slots=True)
class Requests:
    """What a backfill computes: one row of features for each moment.

    Attributes:
        entities: The entities asked for, each once.
        entity: int64[m], each moment's entity by its number among them.
        t: int64[m], as of when, µs.
        position: int64[m], the positions of the cuts.
        known: int64[m], the knowledge moments of knowledge cuts, µs; None for position cuts.
        observed: Each moment's observed event, or None.
    """

    entities: list[str]
    entity: Ints
    t: Ints
    position: Ints
    known: Ints | None = None
    observed: Sequence[Observed | None] | None = None

    @classmethod
    def of(
        cls,
        keys: Sequence[str],
        t: Ints,
        position: Ints,
        known: Ints | None = None,
        observed: Sequence[Observed | None] | None = None,
    ) -> Requests:
        """Return the requests of moments given with their entities' keys."""
        numbers: dict[str, int] = {}
        entity = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
        return cls(list(numbers), entity, t, position, known, observed)

    def __len__(self) -> int:
        """Return how many moments there are."""
        return len(self.t)


def backfill(
    log: EntityReader,
    bound: BoundProgram,
    requests: Requests,
    *,
    up_to: int | None = None,
    workers: int = 2,
    chunk_records: int = CHUNK_RECORDS,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Return features float64[m, features] of the requests, in their order, NaN for null.

    Entities are read from the log one chunk after another while threads compute the chunks before; memory holds the
    result and a few chunks.

    Args:
        log: The log.
        bound: The program, bound to any layout that holds it.
        requests: The moments.
        up_to: The last position that may be read, or None; no cut lets a later record be seen.
        workers: How many threads compute.
        chunk_records: About how many records are computed at a time.
        progress: Called with (moments done, moments in all).
    """
    book = SchemaBook(log.schema)
    answer = np.full((len(requests), bound.features), np.nan)
    order = np.argsort(requests.entity, kind="stable")
    starts = np.searchsorted(requests.entity[order], np.arange(len(requests.entities) + 1))
    number = {name: index for index, name in enumerate(requests.entities)}

    def compute(groups: list[tuple[str, list[Record]]]) -> int:
        owners = [number[name] for name, _ in groups]
        rows = np.concatenate([order[starts[owner] : starts[owner + 1]] for owner in owners])
        local = np.repeat(np.arange(len(owners)), [starts[owner + 1] - starts[owner] for owner in owners])
        answer[rows] = features_of(
            Timeline.of(bound.layout, groups, book),
            bound,
            local,
            requests.t[rows],
            None if requests.known is None else requests.known[rows],
            requests.position[rows],
            None if requests.observed is None else [requests.observed[row] for row in rows.tolist()],
        )
        return len(rows)

    done = 0
    for count in in_order(compute, in_chunks(_with_absent(log, requests.entities, up_to), chunk_records), workers):
        done += count
        if progress is not None:
            progress(done, len(requests))
    return answer


def _with_absent(log: EntityReader, entities: Sequence[str], up_to: int | None) -> Iterator[tuple[str, list[Record]]]:
    """Yield each entity with its records, those that have none at the end."""
    absent = set(entities)
    for entity, records in log.read_by_entity(entities, up_to):
        absent.discard(entity)
        yield entity, records
    for entity in sorted(absent):
        yield entity, []
