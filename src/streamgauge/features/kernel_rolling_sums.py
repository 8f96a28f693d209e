"""Counts and sums of windows as differences of running sums: what entered so far, less what the window's edge passed.

Running sums wrap at 2**64 (2**128 for squares), and differences of them are exact all the same. An event that comes so
late that the edge has passed it is a **miss**: the difference lacks it from the moment at which the edge passed it to
the moment at which it enters, and each miss is put right by itself.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamgauge.features.int128 import add, product, sub
from streamgauge.features.rolling_plan import COUNTS, SQUARES

Ints = NDArray[np.int64]

WIDE: Final = SQUARES + 1
"""The level of squares whose sum may need more than 64 bits; below it their high words are 0."""


@njit(cache=True, nogil=True, error_model="numpy")
def accumulate(level: int, weights: Ints, values: Ints, sums: Ints) -> None:
    """Write the sums before each row and after the last into ``sums``, int64[4, rows + 1].

    Its rows are the count, and up to the level Σx and the high and the low word of Σx².
    """
    count = 0
    sums[0, 0] = 0
    for i in range(len(weights)):
        count += weights[i]
        sums[0, i + 1] = count
    if level == COUNTS:
        return
    total = 0
    sums[1, 0] = 0
    for i in range(len(weights)):
        total += values[i]
        sums[1, i + 1] = total
    if level == SQUARES:
        low = 0
        sums[3, 0] = 0
        for i in range(len(weights)):
            low += values[i] * values[i]
            sums[3, i + 1] = low
    elif level == WIDE:
        squares = (0, 0)
        sums[2, 0] = 0
        sums[3, 0] = 0
        for i in range(len(weights)):
            squares = add(squares, product(values[i], values[i]))
            sums[2, i + 1] = squares[0]
            sums[3, i + 1] = squares[1]


@njit(cache=True, nogil=True, error_model="numpy")
def take(events: Ints, values: Ints, out: Ints) -> None:
    """Write the values of some events."""
    for i in range(len(events)):
        out[i] = values[events[i]]


@njit(cache=True, nogil=True, error_model="numpy")
def windows(
    level: int,
    entered: Ints,
    ends: Ints,
    base: int,
    passed: Ints,
    lows: Ints,
    edge: int,
    carry: Ints,
    work: Ints,
) -> None:
    """Write the sums of the windows at some moments.

    Args:
        level: Up to which sum.
        entered: The sums over the events in the order in which they enter, from number ``base`` on.
        ends: int64[moments], how many have entered.
        base: Where ``entered`` begins.
        passed: The sums over the events in the stream's order, from event ``edge`` on.
        lows: int64[moments], the oldest event of each window.
        edge: Where ``passed`` begins.
        carry: int64[4], what to add.
        work: int64[4, ...], the sums as `accumulate` has them.
    """
    for at in range(len(lows)):
        work[0, at] = carry[0] + entered[0, ends[at] - base] - passed[0, lows[at] - edge]
    if level == COUNTS:
        return
    for at in range(len(lows)):
        work[1, at] = carry[1] + entered[1, ends[at] - base] - passed[1, lows[at] - edge]
    if level == SQUARES:
        for at in range(len(lows)):
            work[2, at] = 0
            work[3, at] = carry[3] + entered[3, ends[at] - base] - passed[3, lows[at] - edge]
    elif level == WIDE:
        for at in range(len(lows)):
            into, out = ends[at] - base, lows[at] - edge
            squares = add((carry[2], carry[3]), (entered[2, into], entered[3, into]))
            squares = sub(squares, (passed[2, out], passed[3, out]))
            work[2, at] = squares[0]
            work[3, at] = squares[1]


@njit(cache=True, nogil=True, error_model="numpy")
def find_misses(
    entry: Ints, starts: Ints, entering: Ints, before: int, lows: Ints, first: int, misses: Ints
) -> int:
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


@njit(cache=True, nogil=True, error_model="numpy")
def add_misses(level: int, misses: Ints, count: int, weights: Ints, values: Ints, lacking: Ints, work: Ints) -> None:
    """Add the misses to the sums of a block of moments; ``lacking`` is int64[moments] to work in."""
    _spread(misses, count, weights, lacking, work[0])
    if level == COUNTS:
        return
    _spread(misses, count, values, lacking, work[1])
    if level == SQUARES:
        lacking[:] = 0
        for i in range(count):
            event = misses[1, i]
            value = values[max(event, ~event)]
            lacking[misses[0, i]] += value * value if event >= 0 else -value * value
        _sum_up(lacking, work[3])
    elif level == WIDE:
        squares = (0, 0)
        at = 0
        for i in range(count + 1):
            until = misses[0, i] if i < count else len(lacking)
            while at < until:
                total = add((work[2, at], work[3, at]), squares)
                work[2, at] = total[0]
                work[3, at] = total[1]
                at += 1
            if i < count:
                event = misses[1, i]
                value = values[max(event, ~event)]
                one = product(value, value)
                squares = add(squares, one) if event >= 0 else sub(squares, one)


@njit(cache=True, nogil=True, error_model="numpy")
def _spread(misses: Ints, count: int, values: Ints, lacking: Ints, out: Ints) -> None:
    lacking[:] = 0
    for i in range(count):
        event = misses[1, i]
        lacking[misses[0, i]] += values[event] if event >= 0 else -values[~event]
    _sum_up(lacking, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _sum_up(lacking: Ints, out: Ints) -> None:
    total = 0
    for at in range(len(lacking)):
        total += lacking[at]
        out[at] += total
