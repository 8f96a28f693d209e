"""The states that the timeline of a batch ends in, with no object for a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.events.record import DELETE, INSERT
from streamgauge.features.block import COUNT, new_block
from streamgauge.features.identity import Entry
from streamgauge.features.stream_state import StreamState, shape_of

if TYPE_CHECKING:
    from streamgauge.events.cells import Ints
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.judging import Judged, Repeated
    from streamgauge.features.state import EntityState
    from streamgauge.features.timeline import StreamTimeline, Timeline

_State = TypeVar("_State", bound="EntityState")


class StateFiller:
    """Fills the states of a timeline's entities, as `streamgauge.features.build.fill_state` does from records.

    What can be told of all entities at once is: of each there is little.

    Args:
        timeline: The timeline of a batch.
        judged: Its verdicts.
        book: The forms that records were written under.
    """

    def __init__(self, timeline: Timeline, judged: Judged, book: SchemaBook) -> None:
        """Find the newest moments, the live events and the ids of all entities."""
        batch, owner = judged.batch, judged.batch.owner
        self._timeline = timeline
        applied = np.ones(len(batch), np.bool_)
        applied[list(judged.rejected)] = False
        rows = np.flatnonzero(applied)
        known, happened = np.full((2, len(batch.entities)), NULL, np.int64)
        np.maximum.at(known, owner[rows], batch.known_at[rows])
        np.maximum.at(happened, owner[rows], batch.event_time[rows])
        self._known, self._happened = known.tolist(), happened.tolist()
        firsts = rows[judged.key[rows] == rows]
        # Another thread may teach the book a form meanwhile.
        lateness = [book.greatest_lateness_us(name) for name in judged.streams]
        self._ids = [_Ids.of(judged, firsts, known, number, us) for number, us in enumerate(lateness)]
        self._live: dict[str, _Live] = {}
        for ids in self._ids:
            index = timeline.layout.index(ids.name)
            if index >= 0:
                self._live[ids.name] = _Live.of(timeline.streams[index], known - ids.lateness_us)
        self._streams: list[list[int]] = [[] for _ in batch.entities]
        width = max(1, len(judged.streams))
        pairs, places = np.unique(owner[rows] * width + judged.stream[rows], return_index=True)
        for pair in pairs[np.argsort(places)].tolist():
            self._streams[pair // width].append(pair % width)

    def fill(self, state: _State, entity: int) -> _State:
        """Fill an empty state of the timeline's layout with what the timeline of an entity, by its number, ends in."""
        state.last_position = self._timeline.last_position[entity]
        state.last_known_at = self._known[entity]
        state.last_event_time = self._happened[entity]
        for number in self._streams[entity]:
            ids = self._ids[number]
            index = state.layout.index(ids.name)
            if index < 0:
                stream = StreamState(None, ids.lateness_us)
            else:
                live = self._live[ids.name]
                stream = StreamState(state.layout.streams[index], ids.lateness_us, live.block(entity))
                # The ids of what is folded are as old as that: they are not among those that are remembered.
                stream.hidden = stream.count
                stream.fold(state.last_known_at, 1)
                stream.ids = live.ids_of(entity)
            ids.fill(stream, entity, state.last_known_at)
            state.keep(ids.name, stream)
        return state


@dataclass(frozen=True, slots=True)
class _Live:
    """The live events of one stream, entity after entity, in order.

    Attributes:
        timeline: The stream.
        offsets: Where each entity's events begin.
        time: int64[n], and their other columns.
        ids: The ids of the events that a record can still find, entity after entity.
        named: Where those of each entity begin.
    """

    timeline: StreamTimeline
    offsets: list[int]
    time: Ints
    sequence: Ints
    mask: NDArray[np.uint64]
    cols: Ints
    ids: list[str]
    named: list[int]

    @classmethod
    def of(cls, timeline: StreamTimeline, edges: Ints) -> _Live:
        """Find the highest revision of each event, unless it is a delete.

        Args:
            timeline: The stream.
            edges: int64[entities], the event times before which no record can find an event.
        """
        numbers = np.arange(len(timeline.offsets))
        owner = np.repeat(numbers[:-1], np.diff(timeline.offsets))
        rows = np.arange(len(owner))
        first = timeline.offsets[owner] + timeline.event
        highest = np.full(len(rows), -1, np.int64)
        np.maximum.at(highest, first, timeline.revision)
        rows = rows[(timeline.revision == highest[first]) & timeline.live]
        rows = rows[np.lexsort((timeline.rank[rows], owner[rows]))]
        owner, time = owner[rows], timeline.time[rows]
        young = time >= edges[owner]
        return cls(
            timeline,
            np.searchsorted(owner, numbers).tolist(),
            time,
            timeline.sequence[rows],
            timeline.mask[rows],
            np.ascontiguousarray(timeline.cols[rows].T),
            timeline.ids(rows[young]),
            np.searchsorted(owner[young], numbers).tolist(),
        )

    def block(self, entity: int) -> Ints:
        """Return a block of an entity's events."""
        start, stop = self.offsets[entity], self.offsets[entity + 1]
        n, (words, columns, folds) = stop - start, shape_of(self.timeline.layout)
        block = new_block(words, columns, folds, n)
        block[COUNT] = n
        at = len(block) - n * (2 + words + columns)
        block[at : at + n] = self.time[start:stop]
        block[at + n : at + 2 * n] = self.sequence[start:stop]
        masks = at + (2 + words) * n
        block[at + 2 * n : masks] = self.mask[start:stop].view(np.int64).ravel()
        block[masks:].reshape(columns, n)[:] = self.cols[:, start:stop]
        return block

    def ids_of(self, entity: int) -> list[str]:
        """Return the ids of an entity's events that a record can still find."""
        return self.ids[self.named[entity] : self.named[entity + 1]]


@dataclass(frozen=True, slots=True)
class _Ids:
    """The ids of one stream that a record can still find, entity after entity, each by the record it began with.

    Attributes:
        name: The stream.
        lateness_us: Its lateness.
        counts: How many ids each entity had, with those that nothing can find any more.
        offsets: Where each entity's ids begin.
        ids: They.
        digests: The digests of the records.
        numbers: Event time, sequence, revision and op of each.
        repeated: The ids that came more than once, by the entity's number.
    """

    name: str
    lateness_us: int
    counts: list[int]
    offsets: list[int]
    ids: list[str]
    digests: list[bytes]
    numbers: list[list[int]]
    repeated: dict[int, Repeated]

    @classmethod
    def of(cls, judged: Judged, firsts: Ints, known: Ints, number: int, lateness_us: int) -> _Ids:
        """Gather them.

        Args:
            judged: The verdicts.
            firsts: int64[f], the applied rows that an id began with.
            known: int64[entities], the newest ``known_at``, µs.
            number: The number of the stream among those of the verdicts.
            lateness_us: Its lateness.
        """
        batch, name = judged.batch, judged.streams[number]
        repeated = {entity: one for (entity, of), one in judged.repeated.items() if of == name}
        rows = firsts[judged.stream[firsts] == number]
        owner = batch.owner[rows]
        young = batch.event_time[rows] >= known[owner] - lateness_us
        for one in repeated.values():
            young |= np.isin(rows, np.array(one.rows, np.int64))
        numbers, found = np.arange(len(batch.entities) + 1), rows[young]
        return cls(
            name,
            lateness_us,
            np.diff(np.searchsorted(owner, numbers)).tolist(),
            np.searchsorted(owner[young], numbers).tolist(),
            batch.event_id.take(found).texts(),
            batch.digests(found),
            batch.numbers[2:6, found].T.tolist(),
            repeated,
        )

    def fill(self, stream: StreamState, entity: int, known_us: int) -> None:
        """Remember an entity's ids."""
        start, stop = self.offsets[entity], self.offsets[entity + 1]
        edge, remembered = known_us - self.lateness_us, 0
        if start < stop:
            held, repeated = set(stream.ids), self.repeated.get(entity)
            entries = {} if repeated is None else repeated.identities.entries
            for i in range(start, stop):
                event_id, digest = self.ids[i], self.digests[i]
                time, sequence, revision, op = self.numbers[i]
                entry = entries.get(event_id)
                if entry is None:
                    if time < edge:
                        continue
                    if event_id in held and op == INSERT:
                        stream.fresh[event_id] = digest
                    else:
                        stream.entries[event_id] = Entry(time, revision, digest, sequence, op != DELETE)
                elif entry.event_time < edge:
                    continue
                else:
                    stream.entries[event_id] = entry
                remembered += 1
        stream.forgot = remembered < self.counts[entity]
        stream.settle()
