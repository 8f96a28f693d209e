"""Nodes: what is known of some neighbouring rows, so that a long window need not look at each of them again.

A node is an int64 row. COUNT is how many rows were kept, LAST the newest's value; the rest is up to its kind. Nodes of
neighbours join, older first. Slopes and levels weigh whole seconds of age, rounded down: their sums are over the whole
seconds of the event times, and `kernels.fractions` tells what is to be taken off for the fractions.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.kernels.apart import inlined, inner
from streamgauge.features.kernels.int128 import add, mul, product, sub, wide
from streamgauge.features.kernels.moments import keeps

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

NODE_WIDTH: Final = 18
# A slope's node: Σ seconds (SUM is Σy), Σ seconds² (SQUARES) and Σ seconds·y (CROSS).
N_SECONDS: Final = 15
# A level's node: SECONDS, S1 (SUM_HIGH, SUM_LOW), S2 (SQUARES), Σv(s'² − s²) (CROSS), LEAST, GREATEST, and how many
# values held between its first and its last row.
N_HELD: Final = 16
# A level below a threshold: BELOW in seconds, and when it last ceased, NULL if it did not.
N_ENDED: Final = 17

_SECOND: Final = 1_000_000


@inlined
def add_to(node: Ints, at: int, high: int, low: int) -> None:
    """Add to the 128-bit sum at a column and the next."""
    total = add((node[at], node[at + 1]), (high, low))
    node[at] = total[0]
    node[at + 1] = total[1]


@inlined
def _spread(node: Ints, value: int) -> None:
    """Take a value into the least and greatest of those that held."""
    node[oc.LEAST] = value if node[N_HELD] == 0 else min(node[oc.LEAST], value)
    node[oc.GREATEST] = value if node[N_HELD] == 0 else max(node[oc.GREATEST], value)
    node[N_HELD] += 1


@inner
def build_moments(
    time: Ints, mask: Words, cols: Ints, low: int, high: int, condition: int, column: int, node: Ints
) -> None:
    """Write the node of a group of moments, column by column as an accumulator has them."""
    count = 0
    total = 0
    squares = (0, 0)
    least = 0
    greatest = 0
    first = -1
    last = -1
    value = 0
    for row in range(low, high):
        if not keeps(mask, row, condition):
            continue
        if column >= 0:
            value = cols[column, row]
            if value == NULL:
                continue
            total += value
            squares = add(squares, product(value, value))
            least = value if count == 0 else min(least, value)
            greatest = value if count == 0 else max(greatest, value)
        if count == 0:
            first = row
        last = row
        count += 1
    node[oc.COUNT] = count
    if count > 0:
        node[oc.SUM] = total
        node[oc.SQUARES_HIGH] = squares[0]
        node[oc.SQUARES_LOW] = squares[1]
        node[oc.LEAST] = least
        node[oc.GREATEST] = greatest
        node[oc.FIRST_TIME] = time[first]
        node[oc.FIRST] = cols[column, first] if column >= 0 else 0
        node[oc.LAST_TIME] = time[last]
        node[oc.LAST] = cols[column, last] if column >= 0 else 0


@inner
def join_moments(older: Ints, newer: Ints) -> None:
    """Add the node of newer rows to that of older ones."""
    if newer[oc.COUNT] == 0:
        return
    if older[oc.COUNT] == 0:
        for item in range(oc.FOLD_WIDTH):
            older[item] = newer[item]
        return
    older[oc.COUNT] += newer[oc.COUNT]
    older[oc.SUM] += newer[oc.SUM]
    add_to(older, oc.SQUARES_HIGH, newer[oc.SQUARES_HIGH], newer[oc.SQUARES_LOW])
    older[oc.LEAST] = min(older[oc.LEAST], newer[oc.LEAST])
    older[oc.GREATEST] = max(older[oc.GREATEST], newer[oc.GREATEST])
    older[oc.LAST_TIME] = newer[oc.LAST_TIME]
    older[oc.LAST] = newer[oc.LAST]


@inner
def build_gaps(time: Ints, mask: Words, low: int, high: int, condition: int, node: Ints) -> None:
    """Write the node of the spacings between rows: COUNT counts rows, SUM and the rest are of the spacings within."""
    count = 0
    squares = (0, 0)
    greatest = 0
    before = 0
    begun = 0
    for row in range(low, high):
        if not keeps(mask, row, condition):
            continue
        now = time[row]
        if count == 0:
            begun = now
        else:
            squares = add(squares, product(now - before, now - before))
            greatest = max(greatest, now - before)
        before = now
        count += 1
    node[oc.COUNT] = count
    node[oc.SQUARES_HIGH] = squares[0]
    node[oc.SQUARES_LOW] = squares[1]
    node[oc.GREATEST] = greatest
    node[oc.FIRST_TIME] = begun
    node[oc.LAST_TIME] = before


@inner
def join_gaps(older: Ints, newer: Ints) -> None:
    """Add the node of newer rows to that of older ones, with the spacing between them."""
    if newer[oc.COUNT] == 0:
        return
    if older[oc.COUNT] == 0:
        for item in range(oc.FOLD_WIDTH):
            older[item] = newer[item]
        return
    gap = newer[oc.FIRST_TIME] - older[oc.LAST_TIME]
    squares = add(product(gap, gap), (newer[oc.SQUARES_HIGH], newer[oc.SQUARES_LOW]))
    add_to(older, oc.SQUARES_HIGH, squares[0], squares[1])
    older[oc.GREATEST] = max(older[oc.GREATEST], gap, newer[oc.GREATEST])
    older[oc.COUNT] += newer[oc.COUNT]
    older[oc.LAST_TIME] = newer[oc.LAST_TIME]


@inner
def build_slope(
    time: Ints, mask: Words, cols: Ints, low: int, high: int, condition: int, column: int, node: Ints
) -> None:
    """Write the node of a slope, over seconds since 1970."""
    node[:] = 0
    for row in range(low, high):
        if not keeps(mask, row, condition) or cols[column, row] == NULL:
            continue
        y = cols[column, row]
        second = time[row] // _SECOND
        node[oc.COUNT] += 1
        node[oc.SUM] += y
        node[N_SECONDS] += second
        squares, cross = product(second, second), product(second, y)
        add_to(node, oc.SQUARES_HIGH, squares[0], squares[1])
        add_to(node, oc.CROSS_HIGH, cross[0], cross[1])


@inner
def join_slope(older: Ints, newer: Ints) -> None:
    """Add the node of newer rows to that of older ones."""
    if newer[oc.COUNT] == 0:
        return
    older[oc.COUNT] += newer[oc.COUNT]
    older[oc.SUM] += newer[oc.SUM]
    older[N_SECONDS] += newer[N_SECONDS]
    add_to(older, oc.SQUARES_HIGH, newer[oc.SQUARES_HIGH], newer[oc.SQUARES_LOW])
    add_to(older, oc.CROSS_HIGH, newer[oc.CROSS_HIGH], newer[oc.CROSS_LOW])


@inlined
def _hold(node: Ints, value: int, seconds: int, squared: tuple[int, int], threshold: int, ended: int) -> None:
    """Add a value that held for so many seconds until ``ended``, ``squared`` being s'² − s²."""
    node[oc.SECONDS] += seconds
    total, squares = product(value, seconds), mul(product(value, value), wide(seconds))
    add_to(node, oc.SUM_HIGH, total[0], total[1])
    add_to(node, oc.SQUARES_HIGH, squares[0], squares[1])
    cross = mul(wide(value), squared)
    add_to(node, oc.CROSS_HIGH, cross[0], cross[1])
    _spread(node, value)
    if value < threshold:
        node[oc.BELOW] += seconds
        node[N_ENDED] = ended


@inner
def _replace(node: Ints, now: int, threshold: int) -> None:
    """Let the last value end, where the next is set at another time."""
    if node[oc.COUNT] > 0 and now != node[oc.LAST_TIME]:
        older, newer = node[oc.LAST_TIME] // _SECOND, now // _SECOND
        squared = sub(product(newer, newer), product(older, older))
        _hold(node, node[oc.LAST], newer - older, squared, threshold, now)


@inner
def build_level(
    time: Ints, mask: Words, cols: Ints, low: int, high: int, condition: int, column: int, threshold: int, node: Ints
) -> None:
    """Write the node of a level: of the values that held between its first row and its last."""
    node[:] = 0
    node[N_ENDED] = NULL
    for row in range(low, high):
        value = cols[column, row]
        if value == NULL or not keeps(mask, row, condition):
            continue
        now = time[row]
        _replace(node, now, threshold)
        if node[oc.COUNT] == 0:
            node[oc.FIRST_TIME] = now
        node[oc.COUNT] += 1
        node[oc.LAST_TIME] = now
        node[oc.LAST] = value


@inner
def join_level(older: Ints, newer: Ints, threshold: int) -> None:
    """Add the node of newer rows to that of older ones, with the value that held from the one to the other."""
    if newer[oc.COUNT] == 0:
        return
    if older[oc.COUNT] == 0:
        for item in range(len(older)):
            older[item] = newer[item]
        return
    _replace(older, newer[oc.FIRST_TIME], threshold)
    older[oc.SECONDS] += newer[oc.SECONDS]
    add_to(older, oc.SUM_HIGH, newer[oc.SUM_HIGH], newer[oc.SUM_LOW])
    add_to(older, oc.SQUARES_HIGH, newer[oc.SQUARES_HIGH], newer[oc.SQUARES_LOW])
    add_to(older, oc.CROSS_HIGH, newer[oc.CROSS_HIGH], newer[oc.CROSS_LOW])
    if newer[N_HELD] > 0:
        held = older[N_HELD]
        older[oc.LEAST] = newer[oc.LEAST] if held == 0 else min(older[oc.LEAST], newer[oc.LEAST])
        older[oc.GREATEST] = newer[oc.GREATEST] if held == 0 else max(older[oc.GREATEST], newer[oc.GREATEST])
        older[N_HELD] += newer[N_HELD]
    older[oc.BELOW] += newer[oc.BELOW]
    if newer[N_ENDED] != NULL:
        older[N_ENDED] = newer[N_ENDED]
    older[oc.COUNT] += newer[oc.COUNT]
    older[oc.LAST_TIME] = newer[oc.LAST_TIME]
    older[oc.LAST] = newer[oc.LAST]
