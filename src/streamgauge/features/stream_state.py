"""One stream of one entity: its live events in order, the folded ones as accumulators, and the ids remembered."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.block import CAPACITY, COUNT, FOLDED_FIRST, HEAD, SUMMARY, address_of, new_block
from streamgauge.features.identity import Entry
from streamgauge.features.kernels.moments import fold_events
from streamgauge.features.kernels.opcodes import FOLD_WIDTH
from streamgauge.features.kernels.tree import SUMMARIZED
from streamgauge.features.summary import makes_summaries, new_rolls, new_summary

if TYPE_CHECKING:
    from streamgauge.features.block import Ints
    from streamgauge.features.layout import StreamLayout

_FIRST_CAPACITY: Final = 8
_FIRST_SWEEP: Final = 16
_AN_ID: Final = 250
"""About how many bytes an id takes that is remembered: the text, its digest and their places."""

_LAST: Final = (-NULL, "")
"""A key that no event exceeds."""


class StreamState:
    """Live events as columns of one block with spare room, sorted by event time, sequence and id.

    An event that is appended costs O(1); a late one moves those after it. Most ids are of events that came once and
    were never revised: their digest is all that is remembered beside the columns. Ids of the oldest events are
    forgotten, and no record that can still come ties with them.

    Attributes:
        layout: What is kept, or None where only identity is (no live program reads the stream).
        lateness_us: The greatest lateness a record was accepted under; folding and forgetting wait for it.
        block: The memory of the columns (`streamgauge.features.block`); `time`, `sequence`, `mask`, `cols` and `folds`
            are views of it.
        address: Where it lies.
        summary: What summarizes the events, where there is room for a great many; in memory only.
        rolls: What rolls along with them there (`streamgauge.features.kernels.rolls`).
        ids: The ids of the newest live events.
        hidden: How many live events are before those: their ids are forgotten.
        fresh: The digests of the ids among them that came once, as an insert.
        entries: What is remembered of the other ids.
        newest: The event time that no live event exceeds, and `newest_key` the sequence and id among equal ones.
        folded_last: The event time of the last folded event, ``NULL`` before one is folded.
        forgot: Whether any id was ever forgotten.
        sweep_at: How many ids there may be before the old ones are looked for.
    """

    __slots__ = (
        "address",
        "block",
        "cols",
        "entries",
        "folded_last",
        "folds",
        "forgot",
        "fresh",
        "hidden",
        "ids",
        "lateness_us",
        "layout",
        "mask",
        "newest",
        "newest_key",
        "rolls",
        "sequence",
        "summary",
        "sweep_at",
        "time",
    )

    time: Ints
    sequence: Ints
    mask: NDArray[np.uint64]
    cols: Ints
    folds: Ints
    rolls: Ints

    def __init__(self, layout: StreamLayout | None, lateness_us: int, block: Ints | None = None) -> None:
        """Begin empty, or with a block of live events (whose ids the caller gives)."""
        self.layout = layout
        self.lateness_us = lateness_us
        self.entries: dict[str, Entry] = {}
        self.fresh: dict[str, bytes] = {}
        self.ids: list[str] = []
        self.hidden = 0
        self.folded_last = NULL
        self.forgot = False
        self.sweep_at = _FIRST_SWEEP
        self.newest = NULL
        self.newest_key = _LAST
        self._use(self._new_block(0) if block is None else block)

    @property
    def count(self) -> int:
        """How many live events there are."""
        return int(self.block[COUNT])

    @property
    def folded_first(self) -> int:
        """The event time of the first folded event, ``NULL`` if none was folded."""
        return int(self.block[FOLDED_FIRST])

    @property
    def is_empty(self) -> bool:
        """Whether there never was a record of the stream."""
        return not (self.entries or self.fresh or self.forgot or self.count or self.folded_last != NULL)

    @property
    def nbytes(self) -> int:
        """About how many bytes the columns and ids take."""
        summary = 0 if self.summary is None else self.summary.nbytes + self.rolls.nbytes
        return self.block.nbytes + summary + _AN_ID * (len(self.ids) + len(self.entries))

    @property
    def answers_from(self) -> int:
        """The earliest moment whose windows need no folded event."""
        if self.folded_last == NULL or self.layout is None:
            return NULL
        return self.folded_last + self.layout.horizon_us

    def entry(self, event_id: str) -> Entry | None:
        """Return what is remembered of an id, or None."""
        digest = self.fresh.get(event_id)
        if digest is None:
            return self.entries.get(event_id)
        at = self.ids.index(event_id) + self.hidden
        return Entry(int(self.time[at]), 0, digest, int(self.sequence[at]))

    def remember(self, event_id: str, entry: Entry) -> None:
        """Remember by an entry what the columns do not tell of an id."""
        self.fresh.pop(event_id, None)
        self.entries[event_id] = entry

    def release(self, event_id: str) -> None:
        """Forget an id under which a new event begins, for the one before is older than its lateness."""
        if event_id in self.fresh or event_id in self.entries:
            if event_id in self.ids:
                self._forget_first(self.hidden + self.ids.index(event_id) + 1)
            self.entries.pop(event_id, None)
            self.forgot = True

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
        self.reserve(1)
        at = self._place(event_id, event_time, sequence)
        if at < n:
            for row in (self.time, self.sequence, self.mask):
                row[at + 1 : n + 1] = row[at:n]
            self.cols[:, at + 1 : n + 1] = self.cols[:, at:n]
        self.time[at] = event_time
        self.sequence[at] = sequence
        self.mask[at] = mask
        self.cols[:, at] = values
        self.block[COUNT] = n + 1
        self._note(at, 1)
        self.inserted(event_id, at, event_time, sequence)

    def inserted(self, event_id: str, at: int, event_time: int, sequence: int) -> None:
        """Note the id of an event that was added to the columns."""
        behind = at - self.hidden
        if behind >= len(self.ids):
            self.ids.append(event_id)
        else:
            self.ids.insert(behind, event_id)
        key = (sequence, event_id)
        if event_time > self.newest:
            self.newest, self.newest_key = event_time, key
        elif event_time == self.newest:
            self.newest_key = max(self.newest_key, key)

    def settle(self) -> None:
        """Take note of columns and ids that were filled in from outside."""
        n = self.count
        self.newest = int(self.time[n - 1]) if n else NULL
        self.newest_key = _LAST
        self.hidden = n - len(self.ids)
        # An id may be remembered for its newer event while its older one is hidden.
        self.forgot |= self.hidden > 0
        self.sweep_at = _FIRST_SWEEP + 2 * (len(self.entries) + len(self.fresh))

    def find(self, event_id: str, event_time: int) -> int:
        """Return the number of a live event, -1 where it is not among the columns or its id is forgotten."""
        start = int(self.time[: self.count].searchsorted(event_time)) - self.hidden
        try:
            at = self.ids.index(event_id, max(start, 0)) + self.hidden
        except ValueError:
            return -1
        return at if self.time[at] == event_time else -1

    def remove(self, event_id: str, event_time: int) -> None:
        """Take a live event out."""
        at, n = self.find(event_id, event_time), self.count
        self._note(at, -1)
        del self.ids[at - self.hidden]
        for row in (self.time, self.sequence, self.mask):
            row[at : n - 1] = row[at + 1 : n]
        self.cols[:, at : n - 1] = self.cols[:, at + 1 : n]
        self.block[COUNT] = n - 1

    def fold(self, known_us: int, at_least: int) -> None:
        """Fold the events that no window and no record can reach any more, once there are enough of them.

        An event leaves when it is older than the longest window and the lateness together, strictly: one at that very
        edge could still be corrected or tie with a late one.
        """
        n = self.count
        if self.layout is None or not n:
            return
        edge = known_us - self.lateness_us - self.layout.horizon_us
        if self.time[0] >= edge:
            return
        count = int(self.time[:n].searchsorted(edge))
        if count < at_least:
            return
        self._forget_first(count)
        fold_events(self.time, self.mask, self.cols, count, self.layout.fold_table, self.folds)
        if self.folded_first == NULL:
            self.block[FOLDED_FIRST] = self.time[0]
        self.folded_last = int(self.time[count - 1])
        self._drop(count)

    def forget(self, known_us: int) -> None:
        """Drop the ids that no live record can find any more, once there are twice as many as the last time."""
        if len(self.entries) + len(self.fresh) < self.sweep_at:
            return
        edge = known_us - self.lateness_us
        self._forget_first(int(self.time[: self.count].searchsorted(edge)))
        kept = {event_id: entry for event_id, entry in self.entries.items() if entry.event_time >= edge}
        if len(kept) < len(self.entries):
            self.entries = kept
            self.forgot = True
        self.sweep_at = _FIRST_SWEEP + 2 * (len(kept) + len(self.fresh))

    def reserve(self, more: int) -> bool:
        """Make room for more events; return whether the block moved."""
        n = self.count
        if n + more <= self.block[CAPACITY]:
            return False
        block = self._new_block(max(_FIRST_CAPACITY, n + more + (n + more) // 2))
        time, sequence, mask, cols = self.time, self.sequence, self.mask, self.cols
        block[COUNT], block[FOLDED_FIRST] = n, self.block[FOLDED_FIRST]
        block[HEAD : HEAD + self.folds.size] = self.folds.ravel()
        self._use(block)
        self.time[:n], self.sequence[:n] = time[:n], sequence[:n]
        self.mask[:n], self.cols[:, :n] = mask[:n], cols[:, :n]
        return True

    def summarize(self) -> None:
        """Make the summary that was put off, where there are events enough for one."""
        if self.summary is None:
            self._use(self.block)

    def _forget_first(self, count: int) -> None:
        """Forget the ids of the oldest events."""
        named = count - self.hidden
        if named <= 0:
            return
        for event_id in self.ids[:named]:
            self.fresh.pop(event_id, None)
        del self.ids[:named]
        self.hidden = count
        self.forgot = True

    def _drop(self, count: int) -> None:
        n = self.count
        left = n - count
        for row in (self.time, self.sequence, self.mask):
            row[:left] = row[count:n]
        self.cols[:, :left] = self.cols[:, count:n]
        self.block[COUNT] = left
        if self.summary is not None:
            from streamgauge.features.kernels.noting import note_dropped

            note_dropped(self.summary, self.rolls, count)
        self.hidden -= count

    def _note(self, row: int, sign: int) -> None:
        """Tell the summary of an event that was inserted (sign 1), or is going to be removed (sign -1)."""
        if self.summary is None:
            return
        from streamgauge.features.kernels.noting import note_changed

        note_changed(self.summary, self.rolls, self.time, self.mask, self.cols, row, sign)

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
        low = max(low, min(high, self.hidden))
        return (
            bisect_left(self.ids, event_id, low - self.hidden, high - self.hidden) + self.hidden if low < high else low
        )

    def _new_block(self, capacity: int) -> Ints:
        layout = self.layout
        return new_block(1, 0, 0, 0) if layout is None else new_block(*shape_of(layout), capacity)

    def _use(self, block: Ints) -> None:
        """Look at a block."""
        words, columns, folds = (1, 0, 0) if self.layout is None else shape_of(self.layout)
        self.block, self.address = block, address_of(block)
        capacity, start = int(block[CAPACITY]), HEAD + folds * FOLD_WIDTH
        self.summary: Ints | None = None
        summed = self.layout is not None and capacity > SUMMARIZED and makes_summaries()
        if self.layout is not None and summed and len(self.layout.nodes) + len(self.layout.rolls):
            self.rolls = new_rolls(self.layout.rolls, capacity)
            self.summary = new_summary(self.layout.nodes, capacity, self.rolls)
        block[SUMMARY] = 0 if self.summary is None else address_of(self.summary)
        self.folds = block[HEAD:start].reshape(folds, FOLD_WIDTH)
        self.time, self.sequence = block[start : start + capacity], block[start + capacity : start + 2 * capacity]
        masks = start + 2 * capacity
        cols = masks + words * capacity
        self.mask = block[masks:cols].view(np.uint64).reshape(capacity, words)
        self.cols = block[cols : cols + columns * capacity].reshape(columns, capacity)


def shape_of(layout: StreamLayout) -> tuple[int, int, int]:
    """Return how many words, columns and accumulators a stream's block has."""
    return layout.words, len(layout.columns), len(layout.folds)
