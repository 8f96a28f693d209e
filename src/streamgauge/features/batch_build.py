"""The states that the timeline of a batch ends in, with no object for a record."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from streamgauge.definitions.schema import NULL
from streamgauge.events.record import DELETE, INSERT
from streamgauge.features.build import fill_columns
from streamgauge.features.identity import Entry
from streamgauge.features.stream_state import StreamState

if TYPE_CHECKING:
    from streamgauge.events.cells import Ints
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.judging import Judged
    from streamgauge.features.state import EntityState
    from streamgauge.features.timeline import Timeline

_State = TypeVar("_State", bound="EntityState")


class StateFiller:
    """Fills the states of a timeline's entities, as `streamgauge.features.build.fill_state` does from records.

    Args:
        timeline: The timeline of a batch.
        judged: Its verdicts.
        book: The forms that records were written under.
    """

    def __init__(self, timeline: Timeline, judged: Judged, book: SchemaBook) -> None:
        """Find the first rows of ids."""
        self._timeline = timeline
        self._judged = judged
        self._book = book
        rows = np.arange(len(judged.batch))
        self._applied = np.ones(len(rows), np.bool_)
        self._applied[list(judged.rejected)] = False
        self._first = self._applied & (judged.key == rows)

    def fill(self, state: _State, entity: int) -> _State:
        """Fill an empty state of the timeline's layout with what the timeline of an entity, by its number, ends in."""
        batch, timeline = self._judged.batch, self._timeline
        start, stop = int(batch.offsets[entity]), int(batch.offsets[entity + 1])
        rows = start + np.flatnonzero(self._applied[start:stop])
        state.last_position = timeline.last_position[entity]
        state.last_known_at = int(batch.known_at[rows].max(initial=NULL))
        state.last_event_time = int(batch.event_time[rows].max(initial=NULL))
        streams = self._judged.stream[rows]
        numbers, places = np.unique(streams, return_index=True)
        for number in numbers[np.argsort(places)].tolist():
            name = self._judged.streams[number]
            index = state.layout.index(name)
            lateness = self._book.greatest_lateness_us(name)
            stream = StreamState(None if index < 0 else state.layout.streams[index], lateness)
            if index >= 0:
                fill_columns(stream, timeline.streams[index], entity)
                stream.fold(state.last_known_at, 1)
            own = rows[streams == number]
            self._fill_entries(stream, own[self._first[own]], (entity, name), state.last_known_at)
            state.keep(name, stream)
        return state

    def _fill_entries(self, stream: StreamState, firsts: Ints, of: tuple[int, str], known_us: int) -> None:
        """Remember ids by their first rows."""
        edge = known_us - stream.lateness_us
        del stream.ids[: max(0, int(stream.time[: stream.count].searchsorted(edge)) - stream.hidden)]
        held = set(stream.ids)
        repeated = self._judged.repeated.get(of)
        batch = self._judged.batch
        young = batch.event_time[firsts] >= edge
        if repeated is not None:
            young |= np.isin(firsts, np.array(repeated.rows, np.int64))
        rows = firsts[young]
        remembered = 0
        time, sequence, revision, op = batch.numbers[2:6, rows].tolist()
        for i, (event_id, digest) in enumerate(
            zip(batch.event_id.take(rows).texts(), batch.digests(rows), strict=True)
        ):
            entry = repeated.identities.entries.get(event_id) if repeated is not None else None
            if entry is None:
                if time[i] < edge:
                    continue
                if event_id in held and op[i] == INSERT:
                    stream.fresh[event_id] = digest
                else:
                    stream.entries[event_id] = Entry(time[i], revision[i], digest, sequence[i], op[i] != DELETE)
            elif entry.event_time < edge:
                continue
            else:
                stream.entries[event_id] = entry
            remembered += 1
        stream.forgot = remembered < len(firsts)
        stream.settle()
