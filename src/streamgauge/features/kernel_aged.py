"""Slopes and levels over nodes: sums that depend on the age of each row as of the moment."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features import opcodes as oc
from streamgauge.features.apart import inner
from streamgauge.features.int128 import add, mul, product, sub
from streamgauge.features.kernel_levels import weigh
from streamgauge.features.kernel_moments import keeps
from streamgauge.features.kernel_nodes import (
    FRACTION,
    MIXED,
    N_ENDED,
    N_HELD,
    N_SECONDS,
    add_to,
    age_slope,
)
from streamgauge.features.kernel_rows import finish_slope
from streamgauge.features.kernel_tree import BLOCK_BITS, FAN_BITS, carried_value, widest

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

_SECOND: Final = 1_000_000
_HELD: Final = 0
_SINCE: Final = 1
_START: Final = 2


@inner
def _age_rows(
    kind: int,
    time: Ints,
    mask: Words,
    cols: Ints,
    low: int,
    high: int,
    own: Ints,
    t: int,
    hold: Ints,
    total: Ints,
    rows: Ints,
    at: int,
) -> None:
    """Add rows one by one to a slope's sums ``total``, or to a level's at ``rows[at:]``."""
    condition, column, threshold = own[oc.G_CONDITION], own[oc.G_COLUMN], own[oc.G_THRESHOLD]
    if kind == oc.SLOPE:
        _age_points(time, mask, cols, low, high, condition, column, t, total)
        return
    for row in range(low, high):
        value = cols[column, row]
        if value == NULL or not keeps(mask, row, condition):
            continue
        now = time[row]
        age = (t - now) // _SECOND
        _end(kind, now, age, threshold, hold, total, rows, at)
        hold[_HELD] = value
        hold[_SINCE] = now
        hold[_START] = age


@inner
def _age_points(
    time: Ints, mask: Words, cols: Ints, low: int, high: int, condition: int, column: int, t: int, total: Ints
) -> None:
    """Add rows one by one to a slope's sums."""
    count = 0
    sum_x = 0
    sum_y = 0
    sum_xy = (0, 0)
    sum_xx = (0, 0)
    for row in range(low, high):
        y = cols[column, row]
        if y == NULL or not keeps(mask, row, condition):
            continue
        x = -((t - time[row]) // _SECOND)
        sum_x += x
        sum_y += y
        sum_xy = add(sum_xy, product(x, y))
        sum_xx = add(sum_xx, product(x, x))
        count += 1
    total[oc.COUNT] += count
    total[oc.SUM] += sum_y
    total[N_SECONDS] += sum_x
    add_to(total, oc.SQUARES_HIGH, sum_xx[0], sum_xx[1])
    add_to(total, oc.CROSS_HIGH, sum_xy[0], sum_xy[1])


@inner
def _end(kind: int, now: int, age: int, threshold: int, hold: Ints, total: Ints, rows: Ints, at: int) -> None:
    """Let the value held end at a moment, unless it was replaced at the very time it was set."""
    if hold[_HELD] == NULL or now == hold[_SINCE]:
        return
    if kind == oc.LEVEL:
        weigh(rows, at, hold[_HELD], hold[_START], age)
    elif hold[_HELD] < threshold:
        total[oc.BELOW] += hold[_START] - age
        total[N_ENDED] = now


@inner
def _age_node(kind: int, node: Ints, threshold: int, t: int, hold: Ints, total: Ints, rows: Ints, at: int) -> None:
    """Add a node whose rows share a fraction of a second."""
    if kind == oc.SLOPE:
        age_slope(node, t, total)
        return
    _end(kind, node[oc.FIRST_TIME], (t - node[oc.FIRST_TIME]) // _SECOND, threshold, hold, total, rows, at)
    if kind == oc.LEVEL_BELOW:
        total[oc.BELOW] += node[oc.BELOW]
        if node[N_ENDED] != NULL:
            total[N_ENDED] = node[N_ENDED]
    elif node[N_HELD] > 0:
        held = rows[at + oc.COUNT]
        sums = (node[oc.SUM_HIGH], node[oc.SUM_LOW])
        cross = sub(mul(product(2, (t - node[FRACTION]) // _SECOND), sums), (node[oc.CROSS_HIGH], node[oc.CROSS_LOW]))
        add_to(rows, at + oc.SUM_HIGH, sums[0], sums[1])
        add_to(rows, at + oc.SQUARES_HIGH, node[oc.SQUARES_HIGH], node[oc.SQUARES_LOW])
        add_to(rows, at + oc.CROSS_HIGH, cross[0], cross[1])
        rows[at + oc.SECONDS] += node[oc.SECONDS]
        rows[at + oc.LEAST] = node[oc.LEAST] if held == 0 else min(rows[at + oc.LEAST], node[oc.LEAST])
        rows[at + oc.GREATEST] = node[oc.GREATEST] if held == 0 else max(rows[at + oc.GREATEST], node[oc.GREATEST])
        rows[at + oc.COUNT] = held + node[N_HELD]
    hold[_HELD] = node[oc.LAST]
    hold[_SINCE] = node[oc.LAST_TIME]
    hold[_START] = (t - node[oc.LAST_TIME]) // _SECOND


@inner
def _age(
    time: Ints,
    mask: Words,
    cols: Ints,
    low: int,
    high: int,
    own: Ints,
    t: int,
    nodes: Ints,
    levels: Ints,
    blocks: int,
    hold: Ints,
    total: Ints,
    rows: Ints,
    at: int,
) -> None:
    """Add rows to a slope or level: at the edges, and where blocks mix fractions of a second, one by one."""
    kind = own[oc.G_KIND]
    first, stop = (low + (1 << BLOCK_BITS) - 1) >> BLOCK_BITS, min(high >> BLOCK_BITS, blocks)
    if first >= stop:
        _age_rows(kind, time, mask, cols, low, high, own, t, hold, total, rows, at)
        return
    _age_rows(kind, time, mask, cols, low, first << BLOCK_BITS, own, t, hold, total, rows, at)
    block = first
    while block < stop:
        level = widest(levels, block, stop)
        node = nodes[levels[level] + (block >> (FAN_BITS * level))]
        while level > 0 and node[FRACTION] == MIXED:
            level -= 1
            node = nodes[levels[level] + (block >> (FAN_BITS * level))]
        if node[oc.COUNT] > 0:
            if node[FRACTION] == MIXED:
                start, end = block << BLOCK_BITS, (block + 1) << BLOCK_BITS
                _age_rows(kind, time, mask, cols, start, end, own, t, hold, total, rows, at)
            else:
                _age_node(kind, node, own[oc.G_THRESHOLD], t, hold, total, rows, at)
        block += 1 << (FAN_BITS * level)
    _age_rows(kind, time, mask, cols, stop << BLOCK_BITS, high, own, t, hold, total, rows, at)


@inner
def pass_aged(
    time: Ints,
    mask: Words,
    cols: Ints,
    folds: Ints,
    own: Ints,
    span: Ints,
    width: int,
    t: int,
    nodes: Ints,
    levels: Ints,
    blocks: int,
    hold: Ints,
    total: Ints,
    rows: Ints,
    at: int,
) -> None:
    """Write at ``rows[at:]`` what `slope`, `level` and `level_below` write."""
    kind, low, high, skip = own[oc.G_KIND], span[oc.S_LOW], span[oc.S_HIGH], span[oc.S_SKIP]
    total[:] = 0
    total[N_ENDED] = NULL
    hold[_SINCE] = NULL
    hold[_START] = width // _SECOND
    if kind != oc.SLOPE:
        hold[_HELD] = carried_value(mask, cols, low, skip, own, folds, nodes, levels, blocks)
        for item in range(oc.ROW_WIDTH):
            rows[at + item] = 0
    if low <= skip < high:
        _age(time, mask, cols, low, skip, own, t, nodes, levels, blocks, hold, total, rows, at)
        low = skip + 1
    _age(time, mask, cols, low, high, own, t, nodes, levels, blocks, hold, total, rows, at)
    if kind == oc.SLOPE:
        cross = (total[oc.CROSS_HIGH], total[oc.CROSS_LOW])
        squares = (total[oc.SQUARES_HIGH], total[oc.SQUARES_LOW])
        finish_slope(total[oc.COUNT], total[N_SECONDS], total[oc.SUM], cross, squares, rows, at)
    elif kind == oc.LEVEL:
        if hold[_HELD] != NULL:
            weigh(rows, at, hold[_HELD], hold[_START], 0)
    else:
        below = hold[_HELD] != NULL and hold[_HELD] < own[oc.G_THRESHOLD]
        rows[at + oc.COUNT] = 0 if hold[_HELD] == NULL else 1
        rows[at + oc.BELOW] = total[oc.BELOW] + hold[_START] if below else total[oc.BELOW]
        rows[at + oc.LAST] = 1 if below else 0
        rows[at + oc.LAST_TIME] = total[N_ENDED]
