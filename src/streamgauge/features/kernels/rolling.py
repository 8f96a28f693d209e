"""Passes that roll along an entity's moments: events enter a window at one edge and leave it at the other.

Events are numbered by their order in the stream. ``entry`` says at which moment an event is first seen; ``lows`` which
event is the oldest in the window at each moment. Counts are exact and extremes too, whatever the order of arrival.
``weights`` are 1 for the events that a pass keeps, those whose value is not null, and 0 for others.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import int64, uint64
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.kernels.apart import inner

Ints = NDArray[np.int64]

_MOST: Final = 2**63 - 1


@inner
def roll_extremes(
    weights: Ints,
    values: Ints,
    entry: Ints,
    starts: Ints,
    entering: Ints,
    lows: Ints,
    first: int,
    state: Ints,
    least: Ints,
    greatest: Ints,
    out: Ints,
) -> None:
    """Write the least and the greatest value at each moment into two rows; anything where there is none.

    Events from ``bound`` on are in the running extremes; of those before it, ``least`` and ``greatest`` have the
    extremes from each event up to the bound. Where the window's edge reaches the bound, the events seen since go there,
    and the bound moves behind them.

    Source: the queue of two stacks, with late events, which enter the stack that they belong to.
    """
    bound = state[0]
    top = state[1]
    low_run, high_run = state[2], state[3]
    for at in range(len(lows)):
        moment = first + at
        low = lows[at]
        if low >= bound:
            low_run, high_run = _MOST, -_MOST
            for event in range(top - 1, low - 1, -1):
                known = weights[event] & (entry[event] < moment)
                low_run = min(low_run, values[event] if known else _MOST)
                high_run = max(high_run, values[event] if known else -_MOST)
                least[event] = low_run
                greatest[event] = high_run
            low_run, high_run = _MOST, -_MOST
            bound = max(top, low)
        for item in range(starts[moment], starts[moment + 1]):
            event = entering[item]
            lower = values[event] if weights[event] else _MOST
            upper = values[event] if weights[event] else -_MOST
            if event >= bound:
                top = max(top, event + 1)
                low_run = min(low_run, lower)
                high_run = max(high_run, upper)
            else:
                earlier = event
                while earlier >= low and least[earlier] > lower:
                    least[earlier] = lower
                    earlier -= 1
                while event >= low and greatest[event] < upper:
                    greatest[event] = upper
                    event -= 1
        if low < bound:
            out[0, at] = min(low_run, least[low])
            out[1, at] = max(high_run, greatest[low])
        else:
            out[0, at] = low_run
            out[1, at] = high_run
    state[0] = bound
    state[1] = top
    state[2] = low_run
    state[3] = high_run


@inner
def roll_oldest(
    weights: Ints,
    entry: Ints,
    starts: Ints,
    entering: Ints,
    lows: Ints,
    first: int,
    state: Ints,
    out: Ints,
) -> None:
    """Write the oldest kept event at each moment; anything where there is none. The state begins as (events, 0)."""
    oldest = state[0]
    seen = state[1]
    for at in range(len(lows)):
        moment = first + at
        low = lows[at]
        if oldest < low:
            oldest = low
            while oldest < seen and (entry[oldest] >= moment or weights[oldest] == 0):
                oldest += 1
            if oldest >= seen:
                oldest = len(entry)
        for item in range(starts[moment], starts[moment + 1]):
            event = entering[item]
            seen = max(seen, event + 1)
            if low <= event < oldest and weights[event] == 1:
                oldest = event
        out[at] = oldest
    state[0] = oldest
    state[1] = seen


@inner
def roll_newest(weights: Ints, starts: Ints, entering: Ints, lows: Ints, first: int, state: Ints, out: Ints) -> None:
    """Write the newest kept event seen at each moment, in the window where the window has any."""
    newest = state[0]
    for at in range(len(lows)):
        for item in range(starts[first + at], starts[first + at + 1]):
            event = entering[item]
            if event > newest and weights[event] == 1:
                newest = event
        out[at] = newest
    state[0] = newest


@inner
def roll_distinct(
    weights: Ints,
    values: Ints,
    entry: Ints,
    starts: Ints,
    entering: Ints,
    lows: Ints,
    first: int,
    state: Ints,
    keys: Ints,
    held: Ints,
    capacity: int,
    out: Ints,
) -> None:
    """Write how many different values the window holds; a table counts how often it holds each."""
    low = state[0]
    distinct = state[1]
    for at in range(len(lows)):
        moment = first + at
        for event in range(low, lows[at]):
            if entry[event] < moment and weights[event] == 1:
                slot = _slot(keys, capacity, values[event])
                held[slot] -= 1
                distinct -= held[slot] == 0
        low = lows[at]
        for item in range(starts[moment], starts[moment + 1]):
            event = entering[item]
            if event >= low and weights[event] == 1:
                slot = _slot(keys, capacity, values[event])
                keys[slot] = values[event]
                distinct += held[slot] == 0
                held[slot] += 1
        out[at] = distinct
    state[0] = low
    state[1] = distinct


@inner
def _slot(keys: Ints, capacity: int, key: int) -> np.int64:
    slot = int64((uint64(key) * uint64(0x9E3779B97F4A7C15)) >> uint64(32)) & (capacity - 1)
    while keys[slot] != NULL and keys[slot] != key:
        slot = (slot + 1) & (capacity - 1)
    return slot
