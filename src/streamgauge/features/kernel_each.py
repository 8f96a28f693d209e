"""Steps: a count or sum for each of several equal windows back from t, summarized."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.int128 import add, product
from streamgauge.features.kernel_moments import keeps
from streamgauge.features.opcodes import (
    BELOW,
    COUNT,
    CROSS_HIGH,
    CROSS_LOW,
    GREATEST,
    LEAST,
    OVERFLOW,
    SQUARES_HIGH,
    SQUARES_LOW,
    STEP_LIMIT,
    SUM,
)


@njit(cache=True, nogil=True, error_model="numpy")
def kept_steps(times: int, width: int, t: int, first: int, feed: int) -> int:
    """Return how many steps count: all, or for a feed those that end at or after its first event (NULL if none)."""
    if feed == 0:
        return times
    if first == NULL:
        return 0
    return min(times, (t - first) // width + 1)


@njit(cache=True, nogil=True, error_model="numpy")
def each(
    time: NDArray[np.int64],
    mask: NDArray[np.uint64],
    cols: NDArray[np.int64],
    low: int,
    high: int,
    skip: int,
    condition: int,
    column: int,
    steps: int,
    width: int,
    t: int,
    threshold: int,
    rows: NDArray[np.int64],
    at: int,
    free: int,
) -> None:
    """Write at ``rows[at:]`` the summary of the newest ``steps`` steps: moments, BELOW, and CROSS = −Σ i·S.

    Without a column a step's value S is its count of rows, else the sum of their values. OVERFLOW is 1 where a value is
    too large for the squares of all to fit.
    """
    for step in range(steps):
        rows[free + step] = 0
    step = 0
    for row in range(high - 1, low - 1, -1):
        if row == skip or not keeps(mask, row, condition):
            continue
        while time[row] <= t - (step + 1) * width:
            step += 1
        if step >= steps:
            break
        value = cols[column, row] if column >= 0 else 1
        if value != NULL:
            rows[free + step] += value
    _summarize(steps, threshold, rows, at, free)


@njit(cache=True, nogil=True, error_model="numpy")
def _summarize(steps: int, threshold: int, rows: NDArray[np.int64], at: int, free: int) -> None:
    total = 0
    squares = (0, 0)
    cross = (0, 0)
    least = 0
    greatest = 0
    below = 0
    overflow = 0
    for step in range(steps):
        value = rows[free + step]
        if value > STEP_LIMIT or value < -STEP_LIMIT:
            overflow = 1
        total += value
        squares = add(squares, product(value, value))
        cross = add(cross, product(-step, value))
        least = value if step == 0 else min(least, value)
        greatest = value if step == 0 else max(greatest, value)
        if value < threshold:
            below += 1
    rows[at + COUNT] = steps
    rows[at + SUM] = total
    rows[at + SQUARES_HIGH] = squares[0]
    rows[at + SQUARES_LOW] = squares[1]
    rows[at + CROSS_HIGH] = cross[0]
    rows[at + CROSS_LOW] = cross[1]
    rows[at + LEAST] = least
    rows[at + GREATEST] = greatest
    rows[at + BELOW] = below
    rows[at + OVERFLOW] = overflow
