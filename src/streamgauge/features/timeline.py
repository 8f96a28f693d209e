"""The applied records of many entities as columns: what histories, backfills and rebuilt states begin with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamgauge.events.record import DELETE, Record
from streamgauge.features.batch_rows import BatchRows
from streamgauge.features.identity import Entry, Verdict, begin, judge, remembered, revise
from streamgauge.features.layout import evaluate_conditions
from streamgauge.features.ordering import order_rows, ranks_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from streamgauge.events.batch import RecordBatch
    from streamgauge.features.decode import Ints, SchemaBook
    from streamgauge.features.judging import Judged
    from streamgauge.features.layout import Layout, StreamLayout


@dataclass(frozen=True, slots=True)
class StreamTimeline:
    """The applied records of one stream, entity after entity, each in order of position.

    Attributes:
        layout: The stream's layout.
        offsets: int64[entities + 1]: where each entity's rows start.
        position: int64[n].
        known_at: int64[n], µs.
        time: int64[n], event times, µs.
        sequence: int64[n].
        rank: int64[n]: the place of the row's event by (entity, event time, sequence, id).
        event: int64[n]: the first row of the row's event, counted from its entity's first row.
        key: int64[n]: the first row of the row's id, counted likewise; differs where a forgotten id began anew.
        revision: int64[n].
        live: bool[n]: whether the revision is no delete.
        mask: uint64[n, words].
        cols: int64[n, columns].
        records: The records themselves.
    """

    layout: StreamLayout
    offsets: Ints
    position: Ints
    known_at: Ints
    time: Ints
    sequence: Ints
    rank: Ints
    event: Ints
    key: Ints
    revision: Ints
    live: NDArray[np.bool_]
    mask: NDArray[np.uint64]
    cols: Ints
    records: Sequence[Record]

    def ids(self, rows: Ints) -> list[str]:
        """Return the ids of some rows."""
        if isinstance(self.records, BatchRows):
            return self.records.ids(rows)
        return [self.records[row].event_id for row in rows.tolist()]

    @classmethod
    def of_columns(
        cls, layout: StreamLayout, offsets: Ints, position: Ints, known_at: Ints, time: Ints, units: Ints
    ) -> StreamTimeline:
        """Return the timeline of rows that are an event each: none was revised or deleted, and no two tie.

        Args:
            layout: The stream's layout.
            offsets: int64[entities + 1]: where each entity's rows begin; they are in order of position.
            position: int64[n].
            known_at: int64[n], µs.
            time: int64[n], event times, µs.
            units: int64[n, fields], C order, in the order of the layout's fields.

        Raises:
            ValueError: Two events of an entity have the same time: their order needs their ids.
        """
        place = np.arange(len(time))
        order, none = np.empty_like(place), np.zeros_like(place)
        if order_rows(offsets, time, none, order):
            raise ValueError("Two events of an entity have the same event time; their order needs their ids.")
        rank = np.empty_like(place)
        ranks_in(order, rank)
        own = place - np.repeat(offsets[:-1], np.diff(offsets))
        return cls(
            layout=layout,
            offsets=offsets,
            position=position,
            known_at=known_at,
            time=time,
            sequence=none,
            rank=rank,
            event=own,
            key=own,
            revision=none,
            live=np.ones(len(time), np.bool_),
            mask=evaluate_conditions(layout, units),
            cols=units.take(layout.column_fields, axis=1),
            records=(),
        )


@dataclass(slots=True)
class Identities:
    """The applied records of one stream of one entity, and the ids among them.

    Attributes:
        records: The records, in order of position.
        event: The first row of each row's event.
        key: The first row of each row's id.
        first: Each id's first row.
        entries: The newest entries of those ids that came more than once.
        newest: The first row of the newest event of those ids.
    """

    records: list[Record] = field(default_factory=list)
    event: list[int] = field(default_factory=list)
    key: list[int] = field(default_factory=list)
    first: dict[str, int] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)

    def judge(self, record: Record, book: SchemaBook) -> Verdict:
        """Return the verdict on the stream's next record, and keep it if it is applied."""
        row = len(self.records)
        first = self.first.setdefault(record.event_id, row)
        own = row
        if first != row:
            verdict, own = self._judge_again(record, first, book)
            if verdict != "applied":
                return verdict
        self.records.append(record)
        self.event.append(own)
        self.key.append(first)
        return "applied"

    def entry(self, event_id: str) -> Entry:
        """Return the newest entry of an id."""
        entry = self.entries.get(event_id)
        if entry is None:
            record = self.records[self.first[event_id]]
            entry = begin(record, live=record.op != DELETE)
        return entry

    def _judge_again(self, record: Record, first: int, book: SchemaBook) -> tuple[Verdict, int]:
        """Judge a record whose id came before; return the verdict and the first row of its event."""
        event_id = record.event_id
        entry = self.entry(event_id)
        found = remembered(entry, record, book.lateness_us(record))
        verdict = judge(found, record)
        if verdict != "applied":
            return verdict, first
        if found is None:
            self.entries[event_id] = begin(record, live=record.op != DELETE)
            self.newest[event_id] = len(self.records)
        else:
            revise(found, record, live=record.op != DELETE)
            self.entries[event_id] = found
        return verdict, self.newest.get(event_id, first)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The records of many entities, judged and decoded.

    Attributes:
        layout: What was kept of them.
        entities: Their keys.
        streams: The timelines of the layout's streams, in its order.
        identities: Of each entity, its streams by name, those outside the layout included.
        rejected: The verdicts other than ``applied``, by (number of the entity, number of its record).
        last_position: Of each entity, the position of its last record, applied or not; 0 where it has none.
        judged: The verdicts by column, where it was made of a batch.
    """

    layout: Layout
    entities: list[str]
    streams: tuple[StreamTimeline, ...]
    identities: Sequence[Mapping[str, Identities]]
    rejected: dict[tuple[int, int], Verdict]
    last_position: list[int]
    judged: Judged | None = None

    @classmethod
    def of(cls, layout: Layout, groups: Iterable[tuple[str, Sequence[Record]]], book: SchemaBook) -> Timeline:
        """Judge and decode records.

        Args:
            layout: What to keep.
            groups: (entity, all its records in order of position).
            book: The forms they were written under.
        """
        entities: list[str] = []
        identities: list[dict[str, Identities]] = []
        rejected: dict[tuple[int, int], Verdict] = {}
        last_position: list[int] = []
        for entity, records in groups:
            identities.append(judge_entity(len(entities), records, book, rejected))
            entities.append(entity)
            last_position.append(records[-1].position if records else 0)
        streams = tuple(_columns(one, [ids.get(one.stream.name) for ids in identities], book) for one in layout.streams)
        return cls(layout, entities, streams, identities, rejected, last_position)

    @classmethod
    def of_batch(cls, layout: Layout, batch: RecordBatch, book: SchemaBook) -> Timeline:
        """Judge and decode a batch: the same timeline as of its records, without an object for each.

        Args:
            layout: What to keep.
            batch: Whole entities of the layout's role.
            book: The forms they were written under.
        """
        from streamgauge.features.batch_timeline import timeline_of

        return timeline_of(layout, batch, book)

    def observed_keys(self, stream: str, entity: Ints, observed: Sequence[tuple[str, str] | None] | None) -> Ints:
        """Return int64[m]: the first row of each observed event's id within its entity, -1 where there is none.

        Args:
            stream: The stream whose rows are meant; events of others have none.
            entity: int64[m], each moment's entity.
            observed: Each moment's observed event, or None.
        """
        keys = np.full(len(entity), -1, np.int64)
        if observed is None:
            return keys
        ids = [event[1] if event is not None and event[0] == stream else None for event in observed]
        if self.judged is not None:
            from streamgauge.features.batch_timeline import observed_rows

            return observed_rows(self, self.judged, stream, entity, ids)
        for moment, (owner, event_id) in enumerate(zip(entity.tolist(), ids, strict=True)):
            if event_id is not None:
                held = self.identities[owner].get(stream)
                keys[moment] = -1 if held is None else held.first.get(event_id, -1)
        return keys


def judge_entity(
    number: int, records: Sequence[Record], book: SchemaBook, rejected: dict[tuple[int, int], Verdict]
) -> dict[str, Identities]:
    """Judge an entity's records, given in order of position; add to ``rejected`` by (``number``, record)."""
    ids: dict[str, Identities] = {}
    for index, record in enumerate(records):
        known = ids.get(record.stream)
        if known is None:
            known = ids[record.stream] = Identities()
        verdict = known.judge(record, book)
        if verdict != "applied":
            rejected[number, index] = verdict
    return ids


def _columns(layout: StreamLayout, parts: Sequence[Identities | None], book: SchemaBook) -> StreamTimeline:
    held = [part or _NOTHING for part in parts]
    records = [record for part in held for record in part.records]
    sizes = np.array([len(part.records) for part in held], np.int64)
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    owner = np.repeat(np.arange(len(held)), sizes)
    time = np.array([record.event_time for record in records], np.int64)
    sequence = np.array([record.sequence for record in records], np.int64)
    units = book.matrix([record.units for record in records], [record.schema for record in records], layout.stream)
    return StreamTimeline(
        layout=layout,
        offsets=offsets,
        position=np.array([record.position for record in records], np.int64),
        known_at=np.array([record.known_at for record in records], np.int64),
        time=time,
        sequence=sequence,
        rank=ranks_of(offsets, owner, time, sequence, lambda rows: [records[row].event_id for row in rows.tolist()]),
        event=np.array([row for part in held for row in part.event], np.int64),
        key=np.array([row for part in held for row in part.key], np.int64),
        revision=np.array([record.revision for record in records], np.int64),
        live=np.array([record.op != DELETE for record in records], np.bool_),
        mask=evaluate_conditions(layout, units),
        cols=units.take(layout.column_fields, axis=1),
        records=records,
    )


def ranks_of(offsets: Ints, owner: Ints, time: Ints, sequence: Ints, ids: Callable[[Ints], list[str]]) -> Ints:
    """Return the place of each row by (entity, event time, sequence, id); text sorts as its UTF-8 bytes do.

    Args:
        offsets: int64[entities + 1].
        owner: int64[n], each row's entity.
        time: int64[n].
        sequence: int64[n].
        ids: Gives the ids of some rows; asked for those that tie.
    """
    order = np.empty(len(time), np.int64)
    if order_rows(offsets, time, sequence, order):
        _untie(order, (owner, time, sequence), ids)
    ranks = np.empty(len(order), np.int64)
    ranks_in(order, ranks)
    return ranks


def _untie(order: Ints, columns: Sequence[Ints], ids: Callable[[Ints], list[str]]) -> None:
    """Order rows that are equal in all columns by their ids."""
    tied = np.ones(len(order) + 1, np.bool_)
    tied[[0, -1]] = False
    for column in columns:
        ordered = column[order]
        tied[1:-1] &= ordered[1:] == ordered[:-1]
    edges = np.diff(tied.astype(np.int8))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) + 1
    places = np.flatnonzero(tied[:-1] | tied[1:])
    text_of = dict(zip(places.tolist(), ids(order[places]), strict=True))
    for low, high in zip(starts.tolist(), stops.tolist(), strict=True):
        order[low:high] = order[sorted(range(low, high), key=text_of.__getitem__)]


_NOTHING = Identities()
