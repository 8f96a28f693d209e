"""From the passes' results to aggregates: one loop over the moments of a block for each aggregate."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamgauge.features import opcodes as oc
from streamgauge.features import rolling_plan as rp
from streamgauge.features.expressions import canonical
from streamgauge.features.int128 import product, rn, wide
from streamgauge.features.kernel_values import deviation, ratio, unit_value

Ints = NDArray[np.int64]


@njit(cache=True, nogil=True, error_model="numpy")
def finish_items(
    items: Ints,
    work: Ints,
    time: Ints,
    cols: Ints,
    entries: Ints,
    t: Ints,
    first: int,
    last: int,
    out: NDArray[np.float64],
) -> None:
    """Write the aggregates of all items but steps at the moments [first, last) into float64[moments, aggregates]."""
    for item in range(len(items)):
        op, scale, to = items[item, rp.I_OP], items[item, rp.I_SCALE], items[item, rp.I_OUT]
        if items[item, rp.I_COUNT] < 0:
            continue
        counts = work[items[item, rp.I_COUNT]]
        if op in (oc.OP_COUNT, oc.OP_SUM):
            values = counts if op == oc.OP_COUNT else work[items[item, rp.I_VALUE]]
            over = 1 if op == oc.OP_COUNT else scale
            begun = first
            if items[item, rp.I_FEED] == 1:
                begun = min(last, max(first, _begun(entries[items[item, rp.I_PRIOR], : len(time)])))
                out[first:begun, to] = np.nan
            for moment in range(begun, last):
                out[moment, to] = float(values[moment - first]) / float(over)
        elif op in (oc.OP_SHARE_COUNT, oc.OP_SHARE_SUM):
            wholes = counts if op == oc.OP_SHARE_COUNT else work[items[item, rp.I_VALUE]]
            parts = work[items[item, rp.I_PART]]
            for moment in range(first, last):
                out[moment, to] = canonical(ratio(parts[moment - first], wholes[moment - first]))
        elif op == oc.OP_STD:
            _deviations(counts, work, items[item, rp.I_VALUE], scale, first, last, to, out)
        else:
            values = work[items[item, rp.I_VALUE]]
            _picks(op, counts, values, time, cols[items[item, rp.I_COLUMN]], scale, t, first, last, to, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _begun(entry: Ints) -> int:
    """Return the first moment that sees any event."""
    least = 2**62
    for event in range(len(entry)):
        least = min(least, entry[event])
    return least


@njit(cache=True, nogil=True, error_model="numpy")
def _deviations(
    counts: Ints,
    work: Ints,
    slot: int,
    scale: int,
    first: int,
    last: int,
    to: int,
    out: NDArray[np.float64],
) -> None:
    for moment in range(first, last):
        at = moment - first
        value = np.nan
        if counts[at] > 0:
            squares = (work[slot + 1, at], work[slot + 2, at])
            value = canonical(deviation(counts[at], squares, wide(work[slot, at]), scale))
        out[moment, to] = value


@njit(cache=True, nogil=True, error_model="numpy")
def _picks(
    op: int,
    counts: Ints,
    values: Ints,
    time: Ints,
    column: Ints,
    scale: int,
    t: Ints,
    first: int,
    last: int,
    to: int,
    out: NDArray[np.float64],
) -> None:
    """Write means, extremes, first and last values and the times since; null where no row was kept."""
    for moment in range(first, last):
        at = moment - first
        value = np.nan
        if counts[at] > 0:
            if op == oc.OP_MEAN:
                value = float(values[at]) / rn(product(counts[at], scale))
            elif op in (oc.OP_MIN, oc.OP_MAX):
                value = unit_value(values[at], scale)
            elif op in (oc.OP_FIRST, oc.OP_LAST):
                value = unit_value(column[values[at]], scale)
            else:
                value = float(t[moment] - time[values[at]]) / 1e6
        out[moment, to] = canonical(value) if not math.isnan(value) else np.nan
