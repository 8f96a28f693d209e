"""The state that a timeline ends in."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from streamgauge.definitions.schema import NULL
from streamgauge.events.record import INSERT
from streamgauge.features.block import COUNT
from streamgauge.features.stream_state import StreamState

if TYPE_CHECKING:
    from streamgauge.features.decode import Ints, SchemaBook
    from streamgauge.features.state import EntityState
    from streamgauge.features.timeline import Identities, StreamTimeline, Timeline

_State = TypeVar("_State", bound="EntityState")


def fill_state(state: _State, timeline: Timeline, entity: int, book: SchemaBook) -> _State:
    """Fill an empty state with what an entity's timeline ends in.

    Args:
        state: The state to fill, of the timeline's layout.
        timeline: The timeline of some entities.
        entity: The entity's number in it.
        book: The forms that records were written under.
    """
    held = timeline.identities[entity]
    state.last_position = timeline.last_position[entity]
    applied = [record for ids in held.values() for record in ids.records]
    state.last_known_at = max((record.known_at for record in applied), default=NULL)
    state.last_event_time = max((record.event_time for record in applied), default=NULL)
    for name, ids in held.items():
        for number in {record.schema for record in ids.records}:
            book.spec(number)
        # A form that began after these records counts too: its first record may be what asked for this rebuild.
        lateness = book.greatest_lateness_us(name)
        index = state.layout.index(name)
        stream = StreamState(None if index < 0 else state.layout.streams[index], lateness)
        if index >= 0:
            fill_columns(stream, timeline.streams[index], entity)
            stream.fold(state.last_known_at, 1)
        _fill_entries(stream, ids, state.last_known_at)
        state.keep(name, stream)
    return state


def fill_columns(stream: StreamState, timeline: StreamTimeline, entity: int) -> None:
    """Fill a stream's empty state with an entity's live events."""
    rows = _live_rows(timeline, int(timeline.offsets[entity]), int(timeline.offsets[entity + 1]))
    n = len(rows)
    stream.reserve(n)
    stream.time[:n] = timeline.time[rows]
    stream.sequence[:n] = timeline.sequence[rows]
    stream.mask[:n] = timeline.mask[rows]
    stream.cols[:, :n] = timeline.cols[rows].T
    stream.block[COUNT] = n
    stream.ids = timeline.ids(rows)
    stream.hidden = 0


def _live_rows(timeline: StreamTimeline, start: int, stop: int) -> Ints:
    """Return the rows of live events in order: the highest revision of each event, unless it is a delete."""
    event = timeline.event[start:stop]
    by_event = np.lexsort((timeline.revision[start:stop], event))
    ordered = event[by_event]
    last = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]
    rows: Ints = start + by_event[last]
    rows = rows[timeline.live[rows]]
    return rows[np.argsort(timeline.rank[rows])]


def _fill_entries(stream: StreamState, ids: Identities, known_us: int) -> None:
    edge = known_us - stream.lateness_us
    del stream.ids[: max(0, int(stream.time[: stream.count].searchsorted(edge)) - stream.hidden)]
    held = set(stream.ids)
    remembered = 0
    for event_id, first in ids.first.items():
        record = ids.records[first]
        if event_id not in ids.entries and record.event_time < edge:
            continue
        entry = ids.entry(event_id)
        if entry.event_time < edge:
            continue
        remembered += 1
        if event_id in held and event_id not in ids.entries and record.op == INSERT:
            stream.fresh[event_id] = record.digest
        else:
            stream.entries[event_id] = entry
    stream.forgot = remembered < len(ids.first)
    stream.settle()
