"""Events as a finished log tells them: first heard of when, and what they are by now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamgauge.events.record import DELETE
from streamgauge.features.conditions import compile_conditions, run_conditions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.definitions.specs import Tree
    from streamgauge.events.record import Record
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.timeline import Identities

Ints: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(slots=True)
class ToldEvent:
    """One event over all its revisions.

    Attributes:
        first: The first record that showed it (a delete shows nothing), or None.
        live: Its live revision, or None where that is a delete.
    """

    first: Record | None
    live: Record | None


def told_events(identities: Identities) -> list[ToldEvent]:
    """Return the events that one entity's applied records of one stream tell, in order of their first record."""
    told: dict[int, ToldEvent] = {}
    newest: dict[int, int] = {}
    for record, first_row in zip(identities.records, identities.event, strict=True):
        shown = None if record.op == DELETE else record
        event = told.get(first_row)
        if event is None:
            told[first_row] = ToldEvent(shown, shown)
            newest[first_row] = record.revision
            continue
        if event.first is None:
            event.first = shown
        if record.revision > newest[first_row]:
            event.live, newest[first_row] = shown, record.revision
    return list(told.values())


@dataclass(frozen=True, slots=True)
class StreamEvents:
    """The live events of one stream, of many entities.

    Attributes:
        stream: The stream as it is declared now.
        entity: int64[n], the number of each event's entity.
        time: int64[n], event times, µs.
        units: int64[n, fields], in the order of the stream's fields.
    """

    stream: StreamSpec
    entity: Ints
    time: Ints
    units: Ints

    def kept(self, where: Tree | None) -> Mask:
        """Return which events a condition keeps, bool[n]."""
        if where is None:
            return np.ones(len(self.time), np.bool_)
        mask = np.zeros((len(self.time), 1), np.uint64)
        run_conditions(*compile_conditions(self.stream, [where]), np.ascontiguousarray(self.units), mask)
        kept: Mask = mask[:, 0] != 0
        return kept


class StreamCollector:
    """Gathers the live events of one stream, entity by entity."""

    def __init__(self, stream: StreamSpec) -> None:
        """Gather events of a stream in the form it has now."""
        self.stream = stream
        self._entity: list[int] = []
        self._time: list[int] = []
        self._units: list[bytes] = []
        self._schema: list[int] = []

    def add(self, entity: int, told: Iterable[ToldEvent]) -> None:
        """Take one entity's events."""
        for event in told:
            if event.live is not None:
                self._entity.append(entity)
                self._time.append(event.live.event_time)
                self._units.append(event.live.units)
                self._schema.append(event.live.schema)

    def events(self, book: SchemaBook) -> StreamEvents:
        """Return everything gathered."""
        fields = len(self.stream.fields)
        units = book.matrix(self._units, self._schema, self.stream) if self._units else np.empty((0, fields), np.int64)
        return StreamEvents(self.stream, np.array(self._entity, np.int64), np.array(self._time, np.int64), units)
