"""The state of one entity: what its features need, kept up to date event by event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.errors import BeyondState
from streamgauge.events.record import DELETE, INSERT, Record
from streamgauge.features import codec
from streamgauge.features.block import blank_of
from streamgauge.features.build import fill_state
from streamgauge.features.compute import finish_rows
from streamgauge.features.evaluating import evaluate_entity
from streamgauge.features.identity import Entry, Verdict, begin, judge, remembered, revise
from streamgauge.features.layout import evaluate_conditions
from streamgauge.features.stream_state import StreamState
from streamgauge.features.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.features.bind import BoundPart, BoundProgram
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.layout import Layout

FOLD_AFTER: Final = 32
"""How many events have to be beyond reach before they are folded, all at once."""

_A_STATE: Final = 1_500
"""About how many bytes a state takes beside the events of its streams."""

_BLANKS: Final[dict[str, NDArray[np.int64]]] = {}


class EntityState:
    """Live events, accumulators and remembered ids of one entity, at its newest position.

    It answers at the newest position and at moments that no folded event matters to, which includes every moment from
    `clock_floor` on; older positions and moments are answered by `streamgauge.features.history.EntityHistory`, with the
    same bits.

    Attributes:
        layout: What is kept.
        last_position: The position of the newest record seen, applied or not; 0 in the beginning.
        last_known_at: The greatest ``known_at`` of an applied record, µs; ``NULL`` in the beginning.
        last_event_time: The greatest event time of an applied record, µs; ``NULL`` in the beginning.
        streams: What is kept of each stream, by name.
        addresses: int64[streams of the layout], where the columns of each lie (`streamgauge.features.block`).
    """

    __slots__ = ("_fold_after", "addresses", "last_event_time", "last_known_at", "last_position", "layout", "streams")

    def __init__(self, layout: Layout, fold_after: int = FOLD_AFTER) -> None:
        """Begin with nothing.

        Args:
            layout: What to keep.
            fold_after: How many events have to be beyond reach before they are folded; values do not depend on it.
        """
        self.layout = layout
        self.last_position = 0
        self.last_known_at = NULL
        self.last_event_time = NULL
        self.streams: dict[str, StreamState] = {}
        self.addresses = _blanks(layout).copy()
        self._fold_after = fold_after

    @classmethod
    def rebuild(
        cls, layout: Layout, records: Sequence[Record], book: SchemaBook, fold_after: int = FOLD_AFTER
    ) -> EntityState:
        """Return the state that applying an entity's records one by one would give.

        Args:
            layout: What to keep.
            records: All records of the entity, in order of position.
            book: The forms they were written under.
            fold_after: As for a new state.
        """
        timeline = Timeline.of(layout, [("", records)], book)
        return fill_state(cls(layout, fold_after), timeline, 0, book)

    @classmethod
    def decode(cls, layout: Layout, data: bytes) -> EntityState:
        """Return the state that was encoded.

        Raises:
            StateDamaged: The bytes are damaged, or were written under another layout or format.
        """
        return codec.decode_state(cls(layout), data)

    def encode(self) -> bytes:
        """Return the state as bytes, with a checksum and the layout's digest."""
        return codec.encode_state(self)

    @property
    def clock_floor(self) -> int:
        """The moment that a read without `as_of` never lies before: the newest ``known_at`` or event time applied."""
        return max(self.last_known_at, self.last_event_time)

    @property
    def answers_from(self) -> int:
        """The earliest moment that the state can answer; never later than `last_known_at`."""
        return max((stream.answers_from for stream in self.streams.values()), default=NULL)

    @property
    def nbytes(self) -> int:
        """About how many bytes of memory the state takes."""
        return _A_STATE + sum(stream.nbytes for stream in self.streams.values())

    def keep(self, name: str, stream: StreamState) -> None:
        """Keep a stream, or note that its columns have moved."""
        self.streams[name] = stream
        index = self.layout.index(name)
        if index >= 0:
            self.addresses[index] = stream.address

    def begin(self, name: str, lateness_us: int) -> StreamState:
        """Begin a stream that has no record yet."""
        index = self.layout.index(name)
        stream = StreamState(None if index < 0 else self.layout.streams[index], lateness_us)
        self.keep(name, stream)
        return stream

    def tend(self, name: str) -> None:
        """Fold and forget what has grown too old in a stream, where it is enough to be worth it."""
        stream = self.streams[name]
        stream.fold(self.last_known_at, max(self._fold_after, stream.count >> 3))
        stream.forget(self.last_known_at)

    def apply(self, record: Record, book: SchemaBook) -> Verdict:
        """Take in the entity's next record.

        Args:
            record: A record with a greater position than all before it.
            book: The forms that records were written under.

        Returns:
            ``applied``, ``duplicate`` (nothing changes), or ``conflict`` or ``identity_changed`` (it is to be
            quarantined).

        Raises:
            BeyondState: An import reaches back to what was folded or forgotten: rebuild. The state is unchanged.
            ValueError: The position is not greater; the state is unchanged.
        """
        if record.position <= self.last_position:
            raise ValueError(f"Position {record.position} comes after {self.last_position}: it was applied already.")
        lateness = book.lateness_us(record)
        stream = self._stream(record, lateness)
        entry = remembered(stream.entry(record.event_id), record, lateness)
        verdict = judge(entry, record)
        self.last_position = record.position
        if verdict == "applied":
            self.last_known_at = max(self.last_known_at, record.known_at)
            self.last_event_time = max(self.last_event_time, record.event_time)
            self._take(stream, entry, record, book)
            self.tend(record.stream)
        return verdict

    def compute(self, bound: BoundProgram, t: int, observed: tuple[str, str] | None = None) -> NDArray[np.float64]:
        """Return the features as of a moment, knowing all that was applied.

        Args:
            bound: The program, which reads one role, bound to this state's layout.
            t: The moment, µs.
            observed: The stream and id of the observed event, which `prior` leaves out.

        Returns:
            float64[features], NaN for null.

        Raises:
            BeyondState: The moment, or the observed event, is older than what is kept.
        """
        aggregates = np.empty((1, bound.aggregates), np.float64)
        out = np.empty((1, bound.features), np.float64)
        self.evaluate(bound.only, t, aggregates[0], observed)
        finish_rows(bound, aggregates, out)
        features: NDArray[np.float64] = out[0]
        return features

    def evaluate(
        self,
        part: BoundPart,
        t: int,
        row: NDArray[np.float64],
        observed: tuple[str, str] | None = None,
        *,
        primary: bool = True,
    ) -> None:
        """Write what a part of a program reads of this entity into the program's row of aggregates.

        Args:
            part: The part, bound to this state's layout.
            t: The moment, µs.
            row: float64[aggregates] of the whole program.
            observed: The stream and id of the observed event, which `prior` leaves out.
            primary: Whether this is the observed event's primary entity. At its other entities an event that is not
                there has not been applied yet, rather than been forgotten.

        Raises:
            BeyondState: The moment, or the observed event, is older than what is kept.
        """
        if t < self.answers_from:
            raise BeyondState(f"The state answers from {self.answers_from} µs on, not as of {t}: read it from the log.")
        if part.layout is not self.layout and part.layout.digest != self.layout.digest:
            raise ValueError("The program is bound to another layout than the state keeps.")
        stream, at = self._observed(observed, primary=primary)
        events = max((one.count for one in self.streams.values()), default=0)
        evaluate_entity(part.packed, self.addresses, t, stream, at, np.empty(part.scratch_size(events), np.int64), row)

    def holds(self, stream: str, event_id: str) -> bool:
        """Return whether an event that is still remembered exists: its highest revision is no delete."""
        found = self.streams.get(stream)
        entry = None if found is None else found.entry(event_id)
        return entry is not None and entry.live

    def _stream(self, record: Record, lateness_us: int) -> StreamState:
        stream = self.streams.get(record.stream)
        if stream is None:
            return self.begin(record.stream, lateness_us)
        if (
            record.event_time <= stream.folded_last
            or (stream.forgot and (record.imported or lateness_us > stream.lateness_us))
            or (stream.folded_last != NULL and lateness_us > stream.lateness_us)
        ):
            raise BeyondState(
                f"Record {record.position} of {record.stream} reaches back to what this state has folded or forgotten: "
                "rebuild it from the log."
            )
        stream.lateness_us = max(stream.lateness_us, lateness_us)
        return stream

    def _take(self, stream: StreamState, entry: Entry | None, record: Record, book: SchemaBook) -> None:
        live = record.op != DELETE
        held = entry is not None and entry.live
        if entry is None:
            stream.release(record.event_id)
            entry = begin(record, live=live)
        elif not revise(entry, record, live=live):
            stream.remember(record.event_id, entry)
            return
        if held and stream.layout is not None:
            stream.remove(record.event_id, record.event_time)
        if record.op == INSERT and entry.older is None and stream.layout is not None:
            stream.fresh[record.event_id] = record.digest
        else:
            stream.remember(record.event_id, entry)
        if live and stream.layout is not None:
            units = book.units(record, stream.layout.stream).reshape(1, -1)
            mask = evaluate_conditions(stream.layout, units)[0]
            values = units[0].take(stream.layout.column_fields)
            stream.insert(record.event_id, record.event_time, record.sequence, mask, values)
            self.keep(record.stream, stream)

    def _observed(self, observed: tuple[str, str] | None, *, primary: bool) -> tuple[int, int]:
        """Return the number of the observed event's stream in the layout, and its own among live events, else -1."""
        if observed is None:
            return -1, -1
        name, event_id = observed
        stream = self.streams.get(name)
        index = self.layout.index(name)
        if stream is None:
            return index, -1
        entry = stream.entry(event_id)
        if stream.forgot and primary if entry is None else entry.event_time <= stream.folded_last:
            raise BeyondState(
                f"The state no longer holds the observed event {event_id} of {name}: read it from the log."
            )
        if entry is None or not entry.live or stream.layout is None:
            return index, -1
        return index, stream.find(event_id, entry.event_time)


def _blanks(layout: Layout) -> NDArray[np.int64]:
    """Return the addresses of a state that holds nothing."""
    found = _BLANKS.get(layout.digest)
    if found is None:
        found = _BLANKS[layout.digest] = np.array([blank_of(stream) for stream in layout.streams], np.int64)
    return found
