"""From exact sums to one float64: every value is a rounded integer over a rounded integer.

No expression here adds a product to a float, so no contraction to a fused operation can exist.

Source: the formulas of the documentation's page on what a value means.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.kernels.apart import inlined, inner
from streamgauge.features.kernels.decay import SCALE_BITS
from streamgauge.features.kernels.int128 import Int128, mul, product, rn, sub, wide

_DAY = 86400.0


@inlined
def unit_value(units: int, scale: int) -> float:
    """Return rn(x)/10^d; for an open category (scale −1) 52 bits of its hash."""
    if scale == oc.HASHED:
        return float((units >> 12) & 0xFFFFFFFFFFFFF)
    return float(units) / float(scale)


@inlined
def deviation(n: int, squares: Int128, total: Int128, scale: int) -> float:
    """Return √rn(n·S2 − S1²) / rn(n·10^d)."""
    return math.sqrt(rn(sub(mul(wide(n), squares), mul(total, total)))) / rn(product(n, scale))


@inlined
def moment_value(op: int, rows: NDArray[np.int64], at: int, scale: int, t: int) -> float:
    """Return an aggregate of a row of moments that is null where no row was kept."""
    count = rows[at + oc.COUNT]
    if count == 0:
        return np.nan
    if op == oc.OP_MEAN:
        return float(rows[at + oc.SUM]) / rn(product(count, scale))
    if op == oc.OP_STD:
        squares = (rows[at + oc.SQUARES_HIGH], rows[at + oc.SQUARES_LOW])
        return deviation(count, squares, wide(rows[at + oc.SUM]), scale)
    if op == oc.OP_MIN:
        return unit_value(rows[at + oc.LEAST], scale)
    if op == oc.OP_MAX:
        return unit_value(rows[at + oc.GREATEST], scale)
    if op == oc.OP_FIRST:
        return unit_value(rows[at + oc.FIRST], scale)
    if op == oc.OP_LAST:
        return unit_value(rows[at + oc.LAST], scale)
    if op == oc.OP_SINCE_FIRST:
        return float(t - rows[at + oc.FIRST_TIME]) / 1e6
    return float(t - rows[at + oc.LAST_TIME]) / 1e6


@inlined
def ratio(part: int, whole: int) -> float:
    """Return rn(part)/rn(whole), null where the whole is 0."""
    return np.nan if whole == 0 else float(part) / float(whole)


@inner
def slope_value(rows: NDArray[np.int64], at: int, scale: int) -> float:
    """Return a slope per day."""
    if rows[at + oc.COUNT] == 0:
        return np.nan
    over = mul((rows[at + oc.SQUARES_HIGH], rows[at + oc.SQUARES_LOW]), wide(scale))
    return rn((rows[at + oc.CROSS_HIGH], rows[at + oc.CROSS_LOW])) * _DAY / rn(over)


@inner
def decayed_value(rows: NDArray[np.int64], at: int, scale: int) -> float:
    """Return a decayed sum: rn(ΣxW) / rn(10^d · 2^62)."""
    return rn((rows[at + oc.SUM_HIGH], rows[at + oc.SUM_LOW])) / rn(product(scale, 1 << SCALE_BITS))


@inner
def level_value(op: int, rows: NDArray[np.int64], at: int, scale: int) -> float:
    """Return the mean, standard deviation or slope per day of a level, null where no time is covered."""
    seconds = rows[at + oc.SECONDS]
    if seconds == 0:
        return np.nan
    total = (rows[at + oc.SUM_HIGH], rows[at + oc.SUM_LOW])
    if op == oc.OP_LEVEL_MEAN:
        return rn(total) / rn(product(seconds, scale))
    if op == oc.OP_LEVEL_STD:
        return deviation(seconds, (rows[at + oc.SQUARES_HIGH], rows[at + oc.SQUARES_LOW]), total, scale)
    length = wide(seconds)
    cross = sub(mul(length, total), (rows[at + oc.CROSS_HIGH], rows[at + oc.CROSS_LOW]))
    over = mul(mul(length, product(seconds, seconds)), wide(scale))
    return rn(mul(wide(6), cross)) * _DAY / rn(over)


@inner
def since_below(rows: NDArray[np.int64], at: int, t: int) -> float:
    """Return for how many seconds a level has not been below: 0 while it is, null if it never was."""
    if rows[at + oc.COUNT] == 0:
        return np.nan
    if rows[at + oc.LAST] == 1:
        return 0.0
    ended = rows[at + oc.LAST_TIME]
    return np.nan if ended == NULL else float(t - ended) / 1e6


@inner
def each_value(op: int, rows: NDArray[np.int64], at: int, scale: int) -> float:
    """Return a summary of steps, null where there is none or one is too large."""
    n = rows[at + oc.COUNT]
    if n == 0 or rows[at + oc.OVERFLOW] == 1:
        return np.nan
    total = rows[at + oc.SUM]
    if op == oc.OP_EACH_SUM:
        return unit_value(total, scale)
    if op == oc.OP_EACH_MEAN:
        return float(total) / rn(product(n, scale))
    if op == oc.OP_EACH_STD:
        squares = (rows[at + oc.SQUARES_HIGH], rows[at + oc.SQUARES_LOW])
        return deviation(n, squares, wide(total), scale)
    if op == oc.OP_EACH_MIN:
        return unit_value(rows[at + oc.LEAST], scale)
    if op == oc.OP_EACH_MAX:
        return unit_value(rows[at + oc.GREATEST], scale)
    if op == oc.OP_EACH_BELOW:
        return float(rows[at + oc.BELOW])
    if n < 2:  # noqa: PLR2004 - a slope needs two points
        return np.nan
    sum_x = rows[at + oc.STEPS_X]
    sum_xx = rows[at + oc.STEPS_XX]
    cross = mul(wide(n), (rows[at + oc.CROSS_HIGH], rows[at + oc.CROSS_LOW]))
    return rn(sub(cross, product(sum_x, total))) / rn(product(n * sum_xx - sum_x * sum_x, scale))
