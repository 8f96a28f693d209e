"""From the passes' results to aggregates: one loop over the moments of a block for each aggregate."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamgauge.features import opcodes as oc
from streamgauge.features import rolling_plan as rp
from streamgauge.features.expressions import canonical
from streamgauge.features.int128 import product, rn, wide
from streamgauge.features.kernel_values import deviation, ratio, unit_value

Ints = NDArray[np.int64]

_SAFE: Final = 2.0**62
_SMALL: Final = 2**39


@njit(cache=True, nogil=True, error_model="numpy")
def finish_items(
    items: Ints,
    work: Ints,
    time: Ints,
    values: Ints,
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
            sums = counts if op == oc.OP_COUNT else work[items[item, rp.I_VALUE]]
            over = float(1 if op == oc.OP_COUNT else scale)
            begun = first
            if items[item, rp.I_FEED] == 1:
                begun = min(last, max(first, _begun(entries[items[item, rp.I_PRIOR], : len(time)])))
                out[first:begun, to] = np.nan
            for moment in range(begun, last):
                out[moment, to] = float(sums[moment - first]) / over
        elif op in (oc.OP_SHARE_COUNT, oc.OP_SHARE_SUM):
            wholes = counts if op == oc.OP_SHARE_COUNT else work[items[item, rp.I_VALUE]]
            parts = work[items[item, rp.I_PART]]
            for moment in range(first, last):
                out[moment, to] = canonical(ratio(parts[moment - first], wholes[moment - first]))
        elif op == oc.OP_STD:
            _deviations(counts, work[items[item, rp.I_VALUE] :], scale, first, last, to, out)
        else:
            own = work[items[item, rp.I_VALUE]]
            _picks(op, counts, own, time, values[items[item, rp.I_KEY]], scale, t, first, last, to, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _begun(entry: Ints) -> int:
    """Return the first moment that sees any event."""
    least = 2**62
    for event in range(len(entry)):
        least = min(least, entry[event])
    return least


@njit(cache=True, nogil=True, error_model="numpy")
def _deviations(
    counts: Ints, sums: Ints, scale: int, first: int, last: int, to: int, out: NDArray[np.float64]
) -> None:
    """Write deviations, in 64 bits where no number of the block needs more: they are the same integers."""
    count, high, low = 0, 0, 0
    for at in range(last - first):
        count = max(count, counts[at])
        high |= sums[1, at] | (sums[2, at] >> 63)
        low = max(low, sums[2, at])
    if high == 0 and scale < _SMALL and float(count) * float(low) < _SAFE:
        for at in range(last - first):
            spread = counts[at] * sums[2, at] - sums[0, at] * sums[0, at]
            value = np.sqrt(float(spread)) / float(counts[at] * scale)
            out[first + at, to] = canonical(value)
        return
    for at in range(last - first):
        value = np.nan
        if counts[at] > 0:
            value = canonical(deviation(counts[at], (sums[1, at], sums[2, at]), wide(sums[0, at]), scale))
        out[first + at, to] = value


@njit(cache=True, nogil=True, error_model="numpy")
def _picks(
    op: int,
    counts: Ints,
    own: Ints,
    time: Ints,
    values: Ints,
    scale: int,
    t: Ints,
    first: int,
    last: int,
    to: int,
    out: NDArray[np.float64],
) -> None:
    """Write means, extremes, first and last values and the times since; null where no row was kept."""
    if op == oc.OP_MEAN and scale < _SMALL:
        for at in range(last - first):
            out[first + at, to] = canonical(float(own[at]) / float(counts[at] * scale))
    elif op in (oc.OP_MIN, oc.OP_MAX) and scale > 0:
        over = float(scale)
        for at in range(last - first):
            out[first + at, to] = float(own[at]) / over if counts[at] > 0 else np.nan
    else:
        for at in range(last - first):
            value = np.nan
            if counts[at] > 0:
                if op == oc.OP_MEAN:
                    value = float(own[at]) / rn(product(counts[at], scale))
                elif op in (oc.OP_MIN, oc.OP_MAX):
                    value = unit_value(own[at], scale)
                elif op in (oc.OP_FIRST, oc.OP_LAST):
                    value = unit_value(values[own[at]], scale)
                else:
                    value = float(t[first + at] - time[own[at]]) / 1e6
            out[first + at, to] = canonical(value)
