"""Passes that roll along an entity's moments: events enter a window at one edge and leave it at the other.

Events are numbered by their order in the stream. ``entry`` says at which moment an event is first seen; ``lows`` which
event is the oldest in the window at each moment. Both the sums and the queues are exact whatever the order of arrival.
"""

from __future__ import annotations

import numpy as np
from numba import int64, njit, uint64
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.int128 import add, product, sub
from streamgauge.features.rolling_plan import COUNTS, SQUARES

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def kept(words: Words, bit: int, event: int) -> int:
    """Return 1 where an event meets the condition of a bit of its word, 0 else; bit -1 keeps all."""
    return 1 if bit < 0 else int64((words[event] >> uint64(bit)) & uint64(1))


@njit(cache=True, nogil=True, error_model="numpy")
def roll_counts(
    words: Words,
    bit: int,
    entry: Ints,
    starts: Ints,
    entering: Ints,
    lows: Ints,
    first: int,
    last: int,
    state: Ints,
    counts: Ints,
) -> None:
    """Write how many events the window holds at each of the moments [first, last)."""
    low = state[0]
    count = state[1]
    for moment in range(first, last):
        for event in range(low, lows[moment - first]):
            if entry[event] < moment:
                count -= kept(words, bit, event)
        low = lows[moment - first]
        for item in range(starts[moment], starts[moment + 1]):
            if entering[item] >= low:
                count += kept(words, bit, entering[item])
        counts[moment - first] = count
    state[0] = low
    state[1] = count


@njit(cache=True, nogil=True, error_model="numpy")
def roll_sums(
    level: int,
    words: Words,
    bit: int,
    values: Ints,
    entry: Ints,
    starts: Ints,
    entering: Ints,
    lows: Ints,
    first: int,
    last: int,
    state: Ints,
    work: Ints,
    slot: int,
) -> None:
    """Write count, and up to the level ΣS and Σx², of the values that are not null."""
    low = state[0]
    count = state[1]
    total = state[2]
    squares = (state[3], state[4])
    for moment in range(first, last):
        at = moment - first
        for event in range(low, lows[at]):
            if entry[event] < moment:
                one = kept(words, bit, event) if values[event] != NULL else 0
                value = values[event] * one
                count -= one
                total -= value
                if level == SQUARES:
                    squares = sub(squares, product(value, value))
        low = lows[at]
        for item in range(starts[moment], starts[moment + 1]):
            event = entering[item]
            if event >= low:
                one = kept(words, bit, event) if values[event] != NULL else 0
                value = values[event] * one
                count += one
                total += value
                if level == SQUARES:
                    squares = add(squares, product(value, value))
        work[slot, at] = count
        if level > COUNTS:
            work[slot + 1, at] = total
        if level == SQUARES:
            work[slot + 2, at] = squares[0]
            work[slot + 3, at] = squares[1]
    state[0] = low
    state[1] = count
    state[2] = total
    state[3] = squares[0]
    state[4] = squares[1]


@njit(cache=True, nogil=True, error_model="numpy")
def roll_extreme(
    sign: int,
    words: Words,
    bit: int,
    values: Ints,
    starts: Ints,
    entering: Ints,
    lows: Ints,
    first: int,
    last: int,
    state: Ints,
    events: Ints,
    queue: Ints,
    out: Ints,
) -> None:
    """Write the least value (sign 1) or the greatest (sign -1) at each moment; anything where there is none.

    The queue holds events in order with values that rise: whatever is older and not smaller than a newer event can
    never again be the least.

    Source: the sliding-window minimum, D. Lemire, Nordic Journal of Computing 13 (2006), with insertion by order.
    """
    head = state[0]
    tail = state[1]
    for moment in range(first, last):
        low = lows[moment - first]
        while head < tail and events[head] < low:
            head += 1
        for item in range(starts[moment], starts[moment + 1]):
            event = entering[item]
            if event < low or values[event] == NULL or kept(words, bit, event) == 0:
                continue
            value = sign * values[event]
            at = tail
            while at > head and events[at - 1] > event:
                at -= 1
            if at < tail and queue[at] <= value:
                continue
            start = at
            while start > head and queue[start - 1] >= value:
                start -= 1
            tail = _make_room(events, queue, start, at, tail) if at < tail else start + 1
            events[start] = event
            queue[start] = value
        out[moment - first] = sign * queue[head] if head < tail else 0
    state[0] = head
    state[1] = tail


@njit(cache=True, nogil=True, error_model="numpy")
def _make_room(events: Ints, queue: Ints, start: int, stop: int, tail: int) -> int:
    """Replace the entries [start, stop) by one; return the new tail."""
    shift = start + 1 - stop
    if shift > 0:
        for i in range(tail - 1, stop - 1, -1):
            events[i + 1] = events[i]
            queue[i + 1] = queue[i]
    elif shift < 0:
        for i in range(stop, tail):
            events[i + shift] = events[i]
            queue[i + shift] = queue[i]
    return tail + shift


@njit(cache=True, nogil=True, error_model="numpy")
def roll_oldest(
    words: Words,
    bit: int,
    values: Ints,
    entry: Ints,
    starts: Ints,
    entering: Ints,
    lows: Ints,
    first: int,
    last: int,
    state: Ints,
    out: Ints,
) -> None:
    """Write the oldest kept event at each moment; anything where there is none. The state begins as (events, 0)."""
    oldest = state[0]
    seen = state[1]
    for moment in range(first, last):
        low = lows[moment - first]
        if oldest < low:
            oldest = low
            while oldest < seen and (
                entry[oldest] >= moment or values[oldest] == NULL or kept(words, bit, oldest) == 0
            ):
                oldest += 1
            if oldest >= seen:
                oldest = len(entry)
        for item in range(starts[moment], starts[moment + 1]):
            event = entering[item]
            seen = max(seen, event + 1)
            if low <= event < oldest and values[event] != NULL and kept(words, bit, event) == 1:
                oldest = event
        out[moment - first] = oldest
    state[0] = oldest
    state[1] = seen


@njit(cache=True, nogil=True, error_model="numpy")
def roll_newest(
    words: Words,
    bit: int,
    values: Ints,
    starts: Ints,
    entering: Ints,
    first: int,
    last: int,
    state: Ints,
    out: Ints,
) -> None:
    """Write the newest kept event seen at each moment, in the window where the window has any."""
    newest = state[0]
    for moment in range(first, last):
        for item in range(starts[moment], starts[moment + 1]):
            event = entering[item]
            if event > newest and values[event] != NULL and kept(words, bit, event) == 1:
                newest = event
        out[moment - first] = newest
    state[0] = newest


@njit(cache=True, nogil=True, error_model="numpy")
def roll_distinct(
    words: Words,
    bit: int,
    values: Ints,
    entry: Ints,
    starts: Ints,
    entering: Ints,
    lows: Ints,
    first: int,
    last: int,
    state: Ints,
    keys: Ints,
    held: Ints,
    capacity: int,
    out: Ints,
) -> None:
    """Write how many different values the window holds; a table counts how often it holds each."""
    low = state[0]
    distinct = state[1]
    for moment in range(first, last):
        for event in range(low, lows[moment - first]):
            if entry[event] < moment and values[event] != NULL and kept(words, bit, event) == 1:
                slot = _slot(keys, capacity, values[event])
                held[slot] -= 1
                distinct -= held[slot] == 0
        low = lows[moment - first]
        for item in range(starts[moment], starts[moment + 1]):
            event = entering[item]
            if event >= low and values[event] != NULL and kept(words, bit, event) == 1:
                slot = _slot(keys, capacity, values[event])
                keys[slot] = values[event]
                distinct += held[slot] == 0
                held[slot] += 1
        out[moment - first] = distinct
    state[0] = low
    state[1] = distinct


@njit(cache=True, nogil=True, error_model="numpy")
def _slot(keys: Ints, capacity: int, key: int) -> np.int64:
    slot = int64((uint64(key) * uint64(0x9E3779B97F4A7C15)) >> uint64(32)) & (capacity - 1)
    while keys[slot] != NULL and keys[slot] != key:
        slot = (slot + 1) & (capacity - 1)
    return slot
