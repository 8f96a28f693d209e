"""One stream of one entity: its live events in order, the folded ones as accumulators, and the ids remembered."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.compute import StreamArrays
from streamgauge.features.identity import Entry
from streamgauge.features.kernel_moments import fold_events

if TYPE_CHECKING:
    from streamgauge.features.decode import Ints
    from streamgauge.features.layout import StreamLayout

_FIRST_CAPACITY: Final = 8
_FIRST_SWEEP: Final = 16
_NO_FOLDS: Final = np.zeros((0, 1), np.int64)


class StreamState(StreamArrays):
    """Live events as columns with spare room, sorted by event time, sequence and id.

    An event that is appended costs O(1); a late one moves those after it. Ids of the oldest events may be empty
    strings: they are forgotten, and no record that can still come ties with them.

    Attributes:
        layout: What is kept, or None where only identity is (no live program reads the stream).
        lateness_us: The greatest lateness a record was accepted under; folding and forgetting wait for it.
        entries: What is remembered of each id.
        sequence: int64[capacity], beside the columns of `StreamArrays`.
        ids: The ids of the live events.
        folded_last: The event time of the last folded event, ``NULL`` before one is folded.
        forgot: Whether any id was ever forgotten.
        sweep_at: How many entries there may be before the old ones are looked for.
    """

    __slots__ = ("entries", "folded_last", "forgot", "ids", "lateness_us", "layout", "sequence", "sweep_at")

    def __init__(self, layout: StreamLayout | None, lateness_us: int, arrays: StreamArrays | None = None) -> None:
        """Begin empty, or with the arrays of live events (whose `sequence`, `ids` and `entries` the caller gives)."""
        if arrays is None:
            words, columns = (layout.words, len(layout.columns)) if layout is not None else (1, 0)
            self.time = np.empty(0, np.int64)
            self.mask = np.empty((0, words), np.uint64)
            self.cols = np.empty((columns, 0), np.int64)
            self.count = 0
            self.folds = layout.empty_folds() if layout is not None else _NO_FOLDS
            self.folded_first = NULL
        else:
            self.time, self.mask, self.cols = arrays.time, arrays.mask, arrays.cols
            self.count, self.folds, self.folded_first = arrays.count, arrays.folds, arrays.folded_first
        self.layout = layout
        self.lateness_us = lateness_us
        self.entries: dict[str, Entry] = {}
        self.sequence: Ints = np.empty(0, np.int64)
        self.ids: list[str] = []
        self.folded_last = NULL
        self.forgot = False
        self.sweep_at = _FIRST_SWEEP

    @property
    def is_empty(self) -> bool:
        """Whether there never was a record of the stream."""
        return not (self.entries or self.count or self.forgot or self.folded_last != NULL)

    @property
    def answers_from(self) -> int:
        """The earliest moment whose windows need no folded event."""
        if self.folded_last == NULL or self.layout is None:
            return NULL
        return self.folded_last + self.layout.horizon_us

    def insert(self, event_id: str, event_time: int, sequence: int, mask: NDArray[np.uint64], values: Ints) -> None:
        """Add a live event.

        Args:
            event_id: Its id.
            event_time: Its event time, µs.
            sequence: Its sequence.
            mask: uint64[words], the conditions that hold.
            values: int64[columns].
        """
        n = self.count
        if n == len(self.time):
            self._reserve(n + 1)
        at = self._place(event_id, event_time, sequence)
        if at < n:
            for row in (self.time, self.sequence, self.mask):
                row[at + 1 : n + 1] = row[at:n]
            self.cols[:, at + 1 : n + 1] = self.cols[:, at:n]
        self.time[at] = event_time
        self.sequence[at] = sequence
        self.mask[at] = mask
        self.cols[:, at] = values
        self.ids.insert(at, event_id)
        self.count = n + 1

    def find(self, event_id: str, event_time: int) -> int:
        """Return the number of a live event, -1 where it is not among the columns."""
        start = int(self.time[: self.count].searchsorted(event_time))
        try:
            at = self.ids.index(event_id, start)
        except ValueError:
            return -1
        return at if self.time[at] == event_time else -1

    def remove(self, event_id: str, event_time: int) -> None:
        """Take a live event out."""
        at, n = self.find(event_id, event_time), self.count
        for row in (self.time, self.sequence, self.mask):
            row[at : n - 1] = row[at + 1 : n]
        self.cols[:, at : n - 1] = self.cols[:, at + 1 : n]
        del self.ids[at]
        self.count = n - 1

    def fold(self, known_us: int, at_least: int) -> None:
        """Fold the events that no window and no record can reach any more, once there are enough of them.

        An event leaves when it is older than the longest window and the lateness together, strictly: one at that very
        edge could still be corrected or tie with a late one.
        """
        if self.layout is None or not self.count:
            return
        edge = known_us - self.lateness_us - self.layout.horizon_us
        if self.time[0] >= edge:
            return
        count = int(self.time[: self.count].searchsorted(edge))
        if count < at_least:
            return
        fold_events(self.time, self.mask, self.cols, count, self.layout.fold_table, self.folds)
        if self.folded_first == NULL:
            self.folded_first = int(self.time[0])
        self.folded_last = int(self.time[count - 1])
        self._drop(count)

    def forget(self, known_us: int) -> None:
        """Drop the ids that no live record can find any more, once there are twice as many as the last time."""
        if len(self.entries) < self.sweep_at:
            return
        edge = known_us - self.lateness_us
        kept = {event_id: entry for event_id, entry in self.entries.items() if entry.event_time >= edge}
        if len(kept) < len(self.entries):
            self.entries = kept
            self.forgot = True
        self.sweep_at = _FIRST_SWEEP + 2 * len(kept)

    def _drop(self, count: int) -> None:
        left = self.count - count
        for row in (self.time, self.sequence, self.mask):
            row[:left] = row[count : self.count]
        self.cols[:, :left] = self.cols[:, count : self.count]
        del self.ids[:count]
        self.count = left

    def _place(self, event_id: str, event_time: int, sequence: int) -> int:
        """Return where an event belongs by (event time, sequence, id); text sorts as its UTF-8 bytes do."""
        n = self.count
        if not n or event_time > self.time[n - 1]:
            return n
        low, high = self.time[:n].searchsorted((event_time, event_time + 1)).tolist()
        if low < high:
            among = self.sequence[low:high]
            low, high = (
                low + int(among.searchsorted(sequence, "left")),
                low + int(among.searchsorted(sequence, "right")),
            )
        return bisect_left(self.ids, event_id, low, high) if low < high else low

    def _reserve(self, size: int) -> None:
        capacity = max(_FIRST_CAPACITY, size + size // 2)
        n = self.count
        time, sequence = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
        mask = np.empty((capacity, self.mask.shape[1]), np.uint64)
        columns = np.empty((self.cols.shape[0], capacity), np.int64)
        time[:n], sequence[:n] = self.time[:n], self.sequence[:n]
        mask[:n], columns[:, :n] = self.mask[:n], self.cols[:, :n]
        self.time, self.sequence, self.mask, self.cols = time, sequence, mask, columns
