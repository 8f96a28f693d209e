"""Counts and sums of windows as differences of running sums: what entered so far, less what the window's edge passed.

Running sums wrap at 2**64 (2**128 for squares), and differences of them are exact all the same. An event that comes so
late that the edge has passed it is a **miss**: the difference lacks it from the moment at which the edge passed it to
the moment at which it enters, and each miss is put right by itself.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.features.kernels.apart import inner
from streamgauge.features.kernels.int128 import add, product, sub
from streamgauge.features.rolling_plan import COUNTS, SQUARES

Ints = NDArray[np.int64]

WIDE: Final = SQUARES + 1
"""The level of squares whose sum may need more than 64 bits; below it their high words are 0."""

PARTS: Final = (1, 2, 4, 4)
"""How many columns of sums there are at each level: count, Σx and Σx² in two words."""

_HIGH: Final = 2
_LOW: Final = 3


@inner
def run(
    level: int,
    weights: Ints,
    values: Ints,
    low: int,
    high: int,
    entering: Ints,
    parts: int,
    spare: Ints,
    sums: Ints,
) -> None:
    """Write running sums of some events as they leave windows and of some as they enter.

    Args:
        level: Up to which sum.
        weights: int64[n], 1 for the events that are kept.
        values: int64[n], and 0 for others.
        low: The first event that leaves.
        high: The first after it that does not.
        entering: The events that enter, in the order in which they do.
        parts: 2, or 1 for those that leave alone.
        spare: int64[2, ...] to work in.
        sums: int64[2, 4, ...]: of those that leave and those that enter: count, Σx and Σx², its high and its low word,
            before each event and after the last.
    """
    for part in range(parts):
        kept, own = weights[low:high], values[low:high]
        if part == 1:
            for i in range(len(entering)):
                spare[0, i] = weights[entering[i]]
                spare[1, i] = values[entering[i]]
            kept, own = spare[0, : len(entering)], spare[1, : len(entering)]
        _accumulate(level, kept, own, sums[part])


@inner
def _accumulate(level: int, weights: Ints, values: Ints, sums: Ints) -> None:
    count, total, low = 0, 0, 0
    sums[:, 0] = 0
    if level == COUNTS:
        for i in range(len(weights)):
            count += weights[i]
            sums[0, i + 1] = count
    elif level == WIDE:
        squares = (0, 0)
        for i in range(len(weights)):
            count += weights[i]
            total += values[i]
            squares = add(squares, product(values[i], values[i]))
            sums[0, i + 1] = count
            sums[1, i + 1] = total
            sums[2, i + 1] = squares[0]
            sums[3, i + 1] = squares[1]
    else:
        for i in range(len(weights)):
            count += weights[i]
            total += values[i]
            sums[0, i + 1] = count
            sums[1, i + 1] = total
            if level == SQUARES:
                low += values[i] * values[i]
                sums[3, i + 1] = low


@inner
def windows(
    level: int, sums: Ints, into: int, ends: Ints, base: int, lows: Ints, edge: int, carry: Ints, work: Ints
) -> None:
    """Write the sums of the windows at some moments.

    Args:
        level: Up to which sum.
        sums: What `run` wrote.
        into: Which of them are those of the events that enter: 1, or 0 where they are the same that leave.
        ends: int64[moments], how many events have entered.
        base: How many had where those that enter begin.
        lows: int64[moments], the oldest event of each window.
        edge: The first of those that leave.
        carry: int64[4], what to add.
        work: int64[4, ...], the sums, as many as the level has.
    """
    if level == WIDE:
        for at in range(len(lows)):
            end, out = ends[at] - base, lows[at] - edge
            squares = add((carry[2], carry[3]), (sums[into, 2, end], sums[into, 3, end]))
            squares = sub(squares, (sums[0, 2, out], sums[0, 3, out]))
            work[2, at] = squares[0]
            work[3, at] = squares[1]
    elif level == SQUARES:
        work[2, : len(lows)] = 0
    for part in range(PARTS[level]):
        if part < _HIGH or (part == _LOW and level == SQUARES):
            more = carry[part]
            for at in range(len(lows)):
                work[part, at] = more + sums[into, part, ends[at] - base] - sums[0, part, lows[at] - edge]


@inner
def find_misses(entry: Ints, starts: Ints, entering: Ints, before: int, lows: Ints, first: int, misses: Ints) -> int:
    """Write the misses of a block of moments, and return how many.

    Args:
        entry: int64[n], the moment at which each event enters.
        starts: Where each moment's events begin in ``entering``.
        entering: The events by the moment at which they enter.
        before: The oldest event of the window before the block.
        lows: int64[moments], the oldest event of each window.
        first: The first moment.
        misses: int64[2, ...]: the moment, counted from the first, and the event that is lacking from then on; or its
            complement (~event) where it is no longer.
    """
    found = 0
    low = before
    for at in range(len(lows)):
        moment = first + at
        for item in range(starts[moment], starts[moment + 1]):
            if entering[item] < low:
                misses[0, found] = at
                misses[1, found] = ~entering[item]
                found += 1
        for event in range(low, lows[at]):
            if entry[event] > moment:
                misses[0, found] = at
                misses[1, found] = event
                found += 1
        low = lows[at]
    return found


@inner
def add_misses(level: int, misses: Ints, count: int, weights: Ints, values: Ints, lacking: Ints, work: Ints) -> None:
    """Add the misses to the sums of a block of moments; ``lacking`` is int64[moments] to work in."""
    if level == WIDE:
        _add_wide(misses, count, values, len(lacking), work)
    for part in range(PARTS[level]):
        if part < _HIGH or (part == _LOW and level == SQUARES):
            lacking[:] = 0
            for i in range(count):
                event = misses[1, i]
                own = max(event, ~event)
                value = weights[own] if part == 0 else values[own] if part == 1 else values[own] * values[own]
                lacking[misses[0, i]] += value if event >= 0 else -value
            total, now = 0, work[part]
            for at in range(len(lacking)):
                total += lacking[at]
                now[at] += total


@inner
def _add_wide(misses: Ints, count: int, values: Ints, moments: int, work: Ints) -> None:
    squares = (0, 0)
    found = 0
    for at in range(moments):
        while found < count and misses[0, found] == at:
            event = misses[1, found]
            value = values[max(event, ~event)]
            one = product(value, value)
            squares = add(squares, one) if event >= 0 else sub(squares, one)
            found += 1
        total = add((work[2, at], work[3, at]), squares)
        work[2, at] = total[0]
        work[3, at] = total[1]
