"""Steps: one whole number for each of several equal windows back from t, summarized."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.kernels.apart import inlined, inner
from streamgauge.features.kernels.int128 import add, product
from streamgauge.features.kernels.moments import keeps
from streamgauge.features.kernels.opcodes import (
    BELOW,
    COUNT,
    CROSS_HIGH,
    CROSS_LOW,
    GREATEST,
    LEAST,
    MAX_STEPS,
    OVERFLOW,
    SQUARES_HIGH,
    SQUARES_LOW,
    STEP_DISTINCT,
    STEP_FIRST,
    STEP_LIMIT,
    STEP_MAX,
    STEP_MIN,
    STEP_SUM,
    STEPS_X,
    STEPS_XX,
    SUM,
)
from streamgauge.features.kernels.rows import clear_table, find_slot


@inner
def kept_steps(times: int, width: int, t: int, first: int, feed: int) -> int:
    """Return how many steps count: all, or for a feed those that end at or after its first event (NULL if none)."""
    if feed == 0:
        return times
    if first == NULL:
        return 0
    return min(times, (t - first) // width + 1)


@inner
def each(
    time: NDArray[np.int64],
    mask: NDArray[np.uint64],
    cols: NDArray[np.int64],
    low: int,
    high: int,
    skip: int,
    condition: int,
    column: int,
    reduce: int,
    steps: int,
    width: int,
    t: int,
    threshold: int,
    rows: NDArray[np.int64],
    at: int,
    free: int,
) -> None:
    """Write at ``rows[at:]`` the summary of the newest ``steps`` steps.

    A step's value S is by ``reduce`` the sum of its rows' values (1 a row without a column), the number of different
    ones, the least, greatest, oldest or newest. Steps without a value drop where one is picked.
    """
    kept = free + MAX_STEPS
    for step in range(steps):
        rows[free + step] = 0
        rows[kept + step] = 1 if reduce <= STEP_DISTINCT else 0
    table = kept + MAX_STEPS
    capacity = clear_table(rows, table, high - low) if reduce == STEP_DISTINCT else 0
    step = 0
    for row in range(high - 1, low - 1, -1):
        if row == skip or not keeps(mask, row, condition):
            continue
        while time[row] <= t - (step + 1) * width:
            step += 1
        if step >= steps:
            break
        value = cols[column, row] if column >= 0 else 1
        if value == NULL:
            continue
        if reduce == STEP_SUM:
            rows[free + step] += value
        elif reduce == STEP_DISTINCT:
            slot = find_slot(rows, table, capacity, value)
            if rows[slot] == NULL or rows[slot + capacity] != step:
                rows[slot] = value
                rows[slot + capacity] = step
                rows[free + step] += 1
        else:
            rows[free + step] = _picked(reduce, rows[kept + step], rows[free + step], value)
            rows[kept + step] = 1
    summarize(steps, threshold, rows, at, free)


@inlined
def _picked(reduce: int, held: int, value: int, older: int) -> int:
    """Return the value of a step to which an older one is added."""
    if held == 0 or reduce == STEP_FIRST:
        return older
    if reduce == STEP_MIN:
        return min(value, older)
    return max(value, older) if reduce == STEP_MAX else value


@inner
def summarize(steps: int, threshold: int, rows: NDArray[np.int64], at: int, free: int) -> None:
    """Write at ``rows[at:]`` the moments of the steps' values ``rows[free:]`` where ``rows[free + MAX_STEPS:]`` is 1.

    Beside them: BELOW, how many are below the threshold; CROSS, −Σ i·S; STEPS_X and STEPS_XX, −Σ i and Σ i². OVERFLOW
    is 1 where a value is too large for the squares of all to fit.
    """
    count = 0
    total = 0
    squares = (0, 0)
    cross = (0, 0)
    least = 0
    greatest = 0
    below = 0
    overflow = 0
    sum_x = 0
    sum_xx = 0
    for step in range(steps):
        if rows[free + MAX_STEPS + step] == 0:
            continue
        value = rows[free + step]
        if value > STEP_LIMIT or value < -STEP_LIMIT:
            overflow = 1
        total += value
        squares = add(squares, product(value, value))
        cross = add(cross, product(-step, value))
        least = value if count == 0 else min(least, value)
        greatest = value if count == 0 else max(greatest, value)
        if value < threshold:
            below += 1
        sum_x -= step
        sum_xx += step * step
        count += 1
    rows[at + COUNT] = count
    rows[at + SUM] = total
    rows[at + SQUARES_HIGH] = squares[0]
    rows[at + SQUARES_LOW] = squares[1]
    rows[at + CROSS_HIGH] = cross[0]
    rows[at + CROSS_LOW] = cross[1]
    rows[at + LEAST] = least
    rows[at + GREATEST] = greatest
    rows[at + BELOW] = below
    rows[at + OVERFLOW] = overflow
    rows[at + STEPS_X] = sum_x
    rows[at + STEPS_XX] = sum_xx
