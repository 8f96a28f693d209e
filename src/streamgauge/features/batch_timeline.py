"""The timeline of a batch: columns to columns, with no object for a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

from streamgauge.events.cells import Cells
from streamgauge.events.record import DELETE
from streamgauge.features.batch_rows import BatchRows
from streamgauge.features.judging import Judged
from streamgauge.features.layout import evaluate_conditions
from streamgauge.features.timeline import Identities, StreamTimeline, Timeline, judge_entity, ranks_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamgauge.events.batch import RecordBatch
    from streamgauge.events.cells import Ints
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.identity import Verdict
    from streamgauge.features.layout import Layout, StreamLayout


class BatchIdentities(Sequence["Mapping[str, Identities]"]):
    """Of each entity of a batch, its streams by name, built when it is asked for."""

    def __init__(self, batch: RecordBatch, book: SchemaBook) -> None:
        """Keep the batch."""
        self._batch = batch
        self._book = book

    def __len__(self) -> int:
        return len(self._batch.entities)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Identities]: ...

    @overload
    def __getitem__(self, index: slice) -> list[Mapping[str, Identities]]: ...

    def __getitem__(self, index: int | slice) -> Mapping[str, Identities] | list[Mapping[str, Identities]]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        own = self._batch.slice(index, index + 1)
        names = {number: self._book.spec(number).name for number in np.unique(own.schema).tolist()}
        rejected: dict[tuple[int, int], Verdict] = {}
        return judge_entity(0, own.records(names), self._book, rejected)


def timeline_of(layout: Layout, batch: RecordBatch, book: SchemaBook) -> Timeline:
    """Judge and decode a batch (see `Timeline.of_batch`)."""
    judged = Judged.of(batch, book)
    last = np.zeros(len(batch.entities), np.int64)
    filled = np.diff(batch.offsets) > 0
    last[filled] = batch.position[batch.offsets[1:][filled] - 1]
    first = batch.offsets[:-1].tolist()
    owner = batch.owner
    rejected: dict[tuple[int, int], Verdict] = {}
    for row, verdict in judged.rejected.items():
        number = int(owner[row])
        rejected[number, row - first[number]] = verdict
    return Timeline(
        layout,
        batch.entities,
        tuple(_columns(one, judged, book) for one in layout.streams),
        BatchIdentities(batch, book),
        rejected,
        last.tolist(),
        judged,
    )


def _columns(layout: StreamLayout, judged: Judged, book: SchemaBook) -> StreamTimeline:
    batch = judged.batch
    rows = judged.applied(layout.stream.name)
    owner = batch.owner[rows]
    offsets = np.searchsorted(owner, np.arange(len(batch.entities) + 1)).astype(np.int64)
    own = np.empty(len(batch), np.int64)
    own[rows] = np.arange(len(rows)) - offsets[owner]
    time, sequence = batch.event_time[rows], batch.sequence[rows]
    units = book.matrix_of(batch.units.take(rows), batch.schema[rows], layout.stream)
    records = BatchRows(batch, rows, book)
    return StreamTimeline(
        layout=layout,
        offsets=offsets,
        position=batch.position[rows],
        known_at=batch.known_at[rows],
        time=time,
        sequence=sequence,
        rank=ranks_of(offsets, owner, time, sequence, records.ids),
        event=own[judged.event[rows]],
        key=own[judged.key[rows]],
        revision=batch.revision[rows],
        live=batch.op[rows] != DELETE,
        mask=evaluate_conditions(layout, units),
        cols=units.take(layout.column_fields, axis=1),
        records=records,
    )


def observed_rows(timeline: Timeline, judged: Judged, stream: str, entity: Ints, ids: Sequence[str | None]) -> Ints:
    """Return int64[m]: the first row of each observed event's id within its entity, -1 where there is none."""
    index = timeline.layout.index(stream)
    keys = np.full(len(entity), -1, np.int64)
    named = np.array([one is not None for one in ids], np.bool_)
    if index < 0 or not named.any():
        return keys
    cells = Cells.of([one.encode() for one in ids if one is not None])
    owner = entity[named]
    first = judged.first_rows(stream, owner, cells)
    rows = judged.applied(stream)
    offsets = timeline.streams[index].offsets
    own = np.full(len(judged.batch) + 1, -1, np.int64)
    own[rows] = np.arange(len(rows)) - offsets[judged.batch.owner[rows]]
    keys[named] = own[first]
    return keys
