"""Aggregates that weigh or pick rows by their place: quantiles, streaks, decayed sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.definitions.specs import QUANTILE_SCALE
from streamgauge.features.kernels.apart import inner
from streamgauge.features.kernels.decay import PARTS, WEIGHTS
from streamgauge.features.kernels.int128 import add, product
from streamgauge.features.kernels.moments import keeps
from streamgauge.features.kernels.opcodes import COUNT, LEAST, SUM_HIGH, SUM_LOW
from streamgauge.features.kernels.rows import select


@inner
def quantile(
    mask: NDArray[np.uint64],
    cols: NDArray[np.int64],
    low: int,
    high: int,
    skip: int,
    condition: int,
    column: int,
    order: int,
    rows: NDArray[np.int64],
    at: int,
    free: int,
) -> None:
    """Write at ``rows[at:]`` the count of values and, as the least, the one of nearest rank ⌈q·n⌉.

    ``order`` is q in units of 10⁻¹²; its product with fewer than 2²³ rows fits an int64.
    """
    count = 0
    for row in range(low, high):
        if row == skip or not keeps(mask, row, condition) or cols[column, row] == NULL:
            continue
        rows[free + count] = cols[column, row]
        count += 1
    rows[at + COUNT] = count
    if count > 0:
        rank = (order * count + QUANTILE_SCALE - 1) // QUANTILE_SCALE
        rows[at + LEAST] = select(rows, free, free + count, rank - 1)


@inner
def streak(
    mask: NDArray[np.uint64],
    low: int,
    high: int,
    skip: int,
    condition: int,
    matched: int,
    rows: NDArray[np.int64],
    at: int,
) -> None:
    """Write at ``rows[at:]`` how many of the newest kept rows meet the condition ``matched``, one after another."""
    count = 0
    for row in range(high - 1, low - 1, -1):
        if row == skip or not keeps(mask, row, condition):
            continue
        if not keeps(mask, row, matched):
            break
        count += 1
    rows[at + COUNT] = count


@inner
def decayed_sum(
    time: NDArray[np.int64],
    mask: NDArray[np.uint64],
    cols: NDArray[np.int64],
    low: int,
    high: int,
    skip: int,
    condition: int,
    column: int,
    half_life: int,
    t: int,
    rows: NDArray[np.int64],
    at: int,
) -> None:
    """Write at ``rows[at:]`` Σ x·W[⌊64·age / half-life⌋], ages and half-life in seconds, as SUM_HIGH and SUM_LOW."""
    total = (0, 0)
    for row in range(high - 1, low - 1, -1):
        if row == skip or not keeps(mask, row, condition) or cols[column, row] == NULL:
            continue
        part = (t - time[row]) // 1_000_000 * PARTS // half_life
        if part >= WEIGHTS.shape[0]:
            break
        total = add(total, product(cols[column, row], WEIGHTS[part]))
    rows[at + SUM_HIGH] = total[0]
    rows[at + SUM_LOW] = total[1]
