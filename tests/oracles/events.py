"""Which events a moment sees: identity over the whole log, then the live revisions under a cut.

Written from the definition of a value, for reading: nothing here is shared with the code it judges.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamgauge.definitions.schema import NULL, FieldSpec, StreamSpec
from streamgauge.events.record import DELETE, Record

Schemas = Mapping[int, StreamSpec]
"""The forms that records were written under, by number."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What is known: the records up to a position, or those known by a moment."""

    position: int
    known: int | None = None

    def sees(self, record: Record) -> bool:
        """Return whether the record is known."""
        if self.known is None:
            return record.position <= self.position
        return (record.known_at, record.position) <= (self.known, self.position)


class Asked(Protocol):
    """A row that is asked for: of whom, as of when, knowing what, with which event observed."""

    @property
    def entity(self) -> str: ...
    @property
    def t(self) -> int: ...
    @property
    def cut(self) -> Cut: ...
    @property
    def observed(self) -> tuple[str, str] | None: ...


@dataclass(frozen=True, slots=True)
class Event:
    """A live event: its order within the stream, and its values in units by field, None for null."""

    time: int
    sequence: int
    event_id: str
    values: Mapping[str, int | None]

    @property
    def order(self) -> tuple[int, int, bytes]:
        """Its place among the stream's events."""
        return self.time, self.sequence, self.event_id.encode()


def judge(records: Sequence[Record], schemas: Schemas) -> tuple[list[str], dict[tuple[str, str], list[list[Record]]]]:
    """Return each record's verdict, and the applied records of each event, events of one id in their order.

    An id has several events where a live record came after the earlier one was forgotten.
    """
    verdicts: list[str] = []
    stories: dict[tuple[str, str], list[list[Record]]] = {}
    for record in records:
        told = stories.setdefault((record.stream, record.event_id), [])
        story = told[-1] if told else None
        if story is not None and not record.imported:
            forgotten = record.known_at > story[0].event_time + schemas[record.schema].lateness_us
            story = None if forgotten else story
        verdict = "applied" if story is None else _against(story, record)
        verdicts.append(verdict)
        if story is None:
            told.append([record])
        elif verdict == "applied":
            story.append(record)
    return verdicts, stories


def _against(story: list[Record], record: Record) -> str:
    if record.event_time != story[0].event_time:
        return "identity_changed"
    for first in story:
        if first.revision == record.revision:
            return "duplicate" if first.digest == record.digest else "conflict"
    return "applied"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one entity's moment sees.

    Attributes:
        t: As of when, µs.
        streams: The streams' present forms by name.
        events: The live events of each stream in order, those after `t` included.
        observed: The observed event's stream and the event, or None.
    """

    t: int
    streams: Mapping[str, StreamSpec]
    events: Mapping[str, Sequence[Event]]
    observed: tuple[str, Event] | None

    def up_to_now(self, stream: str, *, prior: bool) -> list[Event]:
        """Return a stream's live events up to the moment, without the observed one if `prior`."""
        events = [event for event in self.events[stream] if event.time <= self.t]
        if prior and self.observed is not None and self.observed[0] == stream:
            events = [event for event in events if event is not self.observed[1]]
        return events


def see(
    records: Sequence[Record],
    schemas: Schemas,
    streams: Mapping[str, StreamSpec],
    t: int,
    cut: Cut,
    observed: tuple[str, str] | None,
) -> Seen:
    """Return what a moment sees of an entity whose records are given in order of position."""
    _, stories = judge(records, schemas)
    live: dict[str, list[Event]] = {name: [] for name in streams}
    found: tuple[str, Event] | None = None
    for (stream, event_id), told in stories.items():
        if stream not in streams:
            continue
        for story in told:
            visible = [record for record in story if cut.sees(record)]
            if not visible:
                continue
            newest = max(visible, key=lambda record: record.revision)
            event = None if newest.op == DELETE else _event(newest, schemas[newest.schema], streams[stream])
            if event is not None:
                live[stream].append(event)
            if (stream, event_id) == observed:
                found = None if event is None else (stream, event)
    return Seen(t, streams, {name: sorted(events, key=lambda e: e.order) for name, events in live.items()}, found)


def _event(record: Record, written: StreamSpec, stream: StreamSpec) -> Event:
    units = struct.unpack(f"<{len(written.fields)}q", record.units)
    old = {field.name: (field, value) for field, value in zip(written.fields, units, strict=True)}
    values: dict[str, int | None] = {}
    for field in stream.fields:
        value = _brought(*old[field.name], field) if field.name in old else field.default
        values[field.name] = None if value == NULL else value
    return Event(record.event_time, record.sequence, record.event_id, values)


def _brought(was: FieldSpec, value: int, now: FieldSpec) -> int:
    if value == NULL:
        return value
    if was.levels is not None and now.levels is not None:
        return now.levels.index(was.levels[value])
    return value * int(10 ** (now.decimals - was.decimals))
