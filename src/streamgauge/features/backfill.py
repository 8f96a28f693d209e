"""Backfill: features of many entities at many moments, straight from the log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.features.chunks import CHUNK_RECORDS, batches_of, in_order
from streamgauge.features.compute import finish_rows
from streamgauge.features.decode import SchemaBook
from streamgauge.features.history import Observed, aggregate_part, features_of
from streamgauge.features.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from typing import Protocol

    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.batch import RecordBatch
    from streamgauge.features.bind import BoundPart, BoundProgram
    from streamgauge.features.decode import Ints

    class EntityReader(Protocol):
        """The part of `streamgauge.log.port.Log` that a backfill reads."""

        def read_columns(
            self, entities: Collection[str] | None = None, up_to: int | None = None
        ) -> Iterator[RecordBatch]:
            """Yield whole entities as columns, in order of their keys: those named that have records."""

        def schema(self, number: int) -> StreamSpec:
            """Return the stream as it was declared under a schema number."""


EARLIER: Final = -1
"""With a knowledge moment: the position of a cut that sees what was known strictly earlier."""


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
        others: By further role: its entities, each once, and int64[m], each moment's by its number among them. At an
            observed event under a knowledge cut these see what was known strictly earlier.
    """

    entities: list[str]
    entity: Ints
    t: Ints
    position: Ints
    known: Ints | None = None
    observed: Sequence[Observed | None] | None = None
    others: Mapping[str, tuple[list[str], Ints]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        keys: Sequence[str],
        t: Ints,
        position: Ints,
        known: Ints | None = None,
        observed: Sequence[Observed | None] | None = None,
        others: Mapping[str, Sequence[str]] | None = None,
    ) -> Requests:
        """Return the requests of moments given with their entities' keys; ``others`` are those of further roles."""
        further = {role: _numbered(named) for role, named in (others or {}).items()}
        return cls(*_numbered(keys), t, position, known, observed, further)

    def of_role(self, role: str) -> Requests:
        """Return the same moments with the entities of a further role, or themselves."""
        if role not in self.others:
            return self
        names, entity = self.others[role]
        earlier = self.known is not None and self.observed is not None
        position = np.full(len(self), EARLIER, np.int64) if earlier else self.position
        return replace(self, entities=names, entity=entity, position=position, others={})

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
        bound: The program, bound to any layout that holds it; all its roles' entities are in the requests.
        requests: The moments.
        up_to: The last position that may be read, or None; no cut lets a later record be seen.
        workers: How many threads compute.
        chunk_records: About how many records are computed at a time.
        progress: Called with (moments done, moments in all).
    """
    if len(bound.parts) > 1 or requests.others:
        return _of_roles(log, bound, requests, up_to, workers, chunk_records, progress)
    book = SchemaBook(log.schema)
    answer = np.full((len(requests), bound.features), np.nan)
    order = np.argsort(requests.entity, kind="stable")
    starts = np.searchsorted(requests.entity[order], np.arange(len(requests.entities) + 1))
    number = {name: index for index, name in enumerate(requests.entities)}

    def compute(batch: RecordBatch) -> int:
        owners = [number[name] for name in batch.entities]
        rows = np.concatenate([order[starts[owner] : starts[owner + 1]] for owner in owners])
        local = np.repeat(np.arange(len(owners)), [starts[owner + 1] - starts[owner] for owner in owners])
        answer[rows] = features_of(
            Timeline.of_batch(bound.layout, batch, book),
            bound,
            local,
            requests.t[rows],
            None if requests.known is None else requests.known[rows],
            requests.position[rows],
            None if requests.observed is None else [requests.observed[row] for row in rows.tolist()],
        )
        return len(rows)

    done = 0
    for count in in_order(compute, batches_of(log, requests.entities, up_to, chunk_records), workers):
        done += count
        if progress is not None:
            progress(done, len(requests))
    return answer


def backfill_part(
    log: EntityReader,
    part: BoundPart,
    requests: Requests,
    out: NDArray[np.float64],
    *,
    up_to: int | None = None,
    workers: int = 2,
    chunk_records: int = CHUNK_RECORDS,
) -> Iterator[int]:
    """Write what a part of a program reads into the rows of aggregates; yield how many moments each chunk was.

    Args:
        log: The log.
        part: The part.
        requests: The moments, with the entities of the part's role.
        out: float64[m, aggregates] of the whole program; the part's columns are written.
        up_to: The last position that may be read, or None.
        workers: How many threads compute.
        chunk_records: About how many records are computed at a time.
    """
    book = SchemaBook(log.schema)
    order = np.argsort(requests.entity, kind="stable")
    starts = np.searchsorted(requests.entity[order], np.arange(len(requests.entities) + 1))
    number = {name: index for index, name in enumerate(requests.entities)}

    def compute(batch: RecordBatch) -> int:
        owners = [number[name] for name in batch.entities]
        rows = np.concatenate([order[starts[owner] : starts[owner + 1]] for owner in owners])
        local = np.repeat(np.arange(len(owners)), [starts[owner + 1] - starts[owner] for owner in owners])
        own = np.full((len(rows), out.shape[1]), np.nan)
        aggregate_part(
            Timeline.of_batch(part.layout, batch, book),
            part,
            local,
            requests.t[rows],
            None if requests.known is None else requests.known[rows],
            requests.position[rows],
            None if requests.observed is None else [requests.observed[row] for row in rows.tolist()],
            own,
        )
        out[rows[:, None], part.outs] = own[:, part.outs]
        return len(rows)

    yield from in_order(compute, batches_of(log, requests.entities, up_to, chunk_records), workers)


def _of_roles(
    log: EntityReader,
    bound: BoundProgram,
    requests: Requests,
    up_to: int | None,
    workers: int,
    chunk_records: int,
    progress: Callable[[int, int], None] | None,
) -> NDArray[np.float64]:
    """Read each role's entities in turn, then finish every row."""
    aggregates = np.full((len(requests), bound.aggregates), np.nan)
    done, total = 0, len(requests) * len(bound.parts)
    for part in bound.parts:
        own = requests.of_role(part.role)
        for count in backfill_part(
            log, part, own, aggregates, up_to=up_to, workers=workers, chunk_records=chunk_records
        ):
            done += count
            if progress is not None:
                progress(done * len(requests) // total, len(requests))
    answer = np.empty((len(requests), bound.features))
    finish_rows(bound, aggregates, answer)
    return answer


def _numbered(keys: Sequence[str]) -> tuple[list[str], Ints]:
    """Return the distinct keys, and int64[m], each key's number among them."""
    numbers: dict[str, int] = {}
    entity = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    return list(numbers), entity
