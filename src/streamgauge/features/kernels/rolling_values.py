"""From the passes' results to aggregates: one loop over the moments of a block for each aggregate."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.features import rolling_plan as rp
from streamgauge.features.expressions import canonical
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.kernels.apart import inner
from streamgauge.features.kernels.int128 import product, rn, wide
from streamgauge.features.kernels.values import deviation, ratio, unit_value

Ints = NDArray[np.int64]

_SAFE: Final = 2.0**62
_SMALL: Final = 2**39


@inner
def finish_items(
    items: Ints,
    work: Ints,
    time: Ints,
    values: Ints,
    entries: Ints,
    t: Ints,
    first: int,
    last: int,
    results: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Write the aggregates of all items but steps at the moments [first, last) into float64[moments, aggregates].

    Each is computed side by side for all moments in ``results``, float64[items, ...], and then all are written.
    """
    begin = 0
    while begin < len(items) and items[begin, rp.I_COUNT] < 0:
        begin += 1
    for item in range(begin, len(items)):
        op, scale, result = items[item, rp.I_OP], items[item, rp.I_SCALE], results[item, : last - first]
        counts = work[items[item, rp.I_COUNT]]
        if op in (oc.OP_COUNT, oc.OP_SUM):
            sums = counts if op == oc.OP_COUNT else work[items[item, rp.I_VALUE]]
            over = float(1 if op == oc.OP_COUNT else scale)
            for at in range(len(result)):
                result[at] = float(sums[at]) / over
            if items[item, rp.I_FEED] == 1:
                begun = _begun(entries[items[item, rp.I_PRIOR], : len(time)])
                result[: min(len(result), max(0, begun - first))] = np.nan
        elif op in (oc.OP_SHARE_COUNT, oc.OP_SHARE_SUM):
            wholes = counts if op == oc.OP_SHARE_COUNT else work[items[item, rp.I_VALUE]]
            parts = work[items[item, rp.I_PART]]
            for at in range(len(result)):
                result[at] = canonical(ratio(parts[at], wholes[at]))
        elif op == oc.OP_STD:
            _deviations(counts, work[items[item, rp.I_VALUE] :], scale, result)
        else:
            own = work[items[item, rp.I_VALUE]]
            _picks(op, counts, own, time, values[items[item, rp.I_KEY]], scale, t[first:last], result)
    _write(items, begin, results, out[first:last])


@inner
def _write(items: Ints, begin: int, results: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write the results of the items from ``begin`` on, moment by moment."""
    together = True
    for item in range(begin + 1, len(items)):
        together = together and items[item, rp.I_OUT] == items[item - 1, rp.I_OUT] + 1
    if together and begin < len(items):
        to = items[begin, rp.I_OUT]
        for at in range(len(out)):
            for item in range(len(items) - begin):
                out[at, to + item] = results[begin + item, at]
    else:
        for at in range(len(out)):
            for item in range(begin, len(items)):
                out[at, items[item, rp.I_OUT]] = results[item, at]


@inner
def _begun(entry: Ints) -> int:
    """Return the first moment that sees any event."""
    least = 2**62
    for event in range(len(entry)):
        least = min(least, entry[event])
    return least


@inner
def _deviations(counts: Ints, sums: Ints, scale: int, result: NDArray[np.float64]) -> None:
    """Write deviations, in 64 bits where no number of the block needs more: they are the same integers."""
    count, high, low = 0, 0, 0
    for at in range(len(result)):
        count = max(count, counts[at])
        high |= sums[1, at] | (sums[2, at] >> 63)
        low = max(low, sums[2, at])
    if high == 0 and scale < _SMALL and float(count) * float(low) < _SAFE:
        for at in range(len(result)):
            spread = counts[at] * sums[2, at] - sums[0, at] * sums[0, at]
            result[at] = canonical(np.sqrt(float(spread)) / float(counts[at] * scale))
        return
    for at in range(len(result)):
        value = np.nan
        if counts[at] > 0:
            value = canonical(deviation(counts[at], (sums[1, at], sums[2, at]), wide(sums[0, at]), scale))
        result[at] = value


@inner
def _picks(
    op: int,
    counts: Ints,
    own: Ints,
    time: Ints,
    values: Ints,
    scale: int,
    t: Ints,
    result: NDArray[np.float64],
) -> None:
    """Write means, extremes, first and last values and the times since; null where no row was kept."""
    if op == oc.OP_MEAN and scale < _SMALL:
        for at in range(len(result)):
            result[at] = canonical(float(own[at]) / float(counts[at] * scale))
    elif op in (oc.OP_MIN, oc.OP_MAX) and scale > 0:
        over = float(scale)
        for at in range(len(result)):
            value = float(own[at]) / over
            result[at] = value if counts[at] > 0 else np.nan
    else:
        for at in range(len(result)):
            value = np.nan
            if counts[at] > 0:
                if op == oc.OP_MEAN:
                    value = float(own[at]) / rn(product(counts[at], scale))
                elif op in (oc.OP_MIN, oc.OP_MAX):
                    value = unit_value(own[at], scale)
                elif op in (oc.OP_FIRST, oc.OP_LAST):
                    value = unit_value(values[own[at]], scale)
                else:
                    value = float(t[at] - time[own[at]]) / 1e6
            result[at] = canonical(value)
