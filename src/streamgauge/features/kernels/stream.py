"""The window kernel: every aggregate of one stream of one entity at one moment.

Compiled by Numba without fastmath: one IEEE operation at a time, so every host gets the same bits.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.events import array_types as ty
from streamgauge.features.expressions import canonical
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.kernels.apart import apart, inlined
from streamgauge.features.kernels.each import each, kept_steps
from streamgauge.features.kernels.levels import carried, level, level_below
from streamgauge.features.kernels.moments import merge_before, moments
from streamgauge.features.kernels.picks import decayed_sum, quantile, streak
from streamgauge.features.kernels.rows import distinct, gap_median, gaps, slope, top_share
from streamgauge.features.kernels.values import (
    decayed_value,
    each_value,
    level_value,
    moment_value,
    ratio,
    since_below,
    slope_value,
    unit_value,
)

IntArray = NDArray[np.int64]
MaskArray = NDArray[np.uint64]
FloatArray = NDArray[np.float64]


@inlined
def first_after(time: IntArray, low: int, high: int, moment: int) -> int:
    """Return the first row of the sorted ``time[low:high]`` later than a moment, ``high`` if none."""
    while low < high:
        middle = (low + high) >> 1
        if time[middle] <= moment:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def resolve(time: IntArray, n: int, folded_first: int, spans: IntArray, t: int, skip: int, rows: IntArray) -> None:
    """Write for each span at ``rows`` its rows [low, high), the row to skip, and the stream's first event's time."""
    high = first_after(time, 0, n, t)
    for span in range(spans.shape[0]):
        left_out = skip if spans[span, 3] == 1 and skip < high else -1
        low = 0
        if spans[span, 0] != oc.SPAN_LIFE:
            low = first_after(time, 0, high, t - spans[span, 1])
        if spans[span, 0] == oc.SPAN_LAST:
            newest = high - spans[span, 2]
            if left_out >= newest:
                newest -= 1
            low = max(low, newest)
        first = folded_first
        if first == NULL:
            row = 1 if left_out == 0 else 0
            first = time[row] if row < high else NULL
        at = span * oc.SPAN_WIDTH
        rows[at + oc.S_LOW] = low
        rows[at + oc.S_HIGH] = high
        rows[at + oc.S_SKIP] = left_out
        rows[at + oc.S_FIRST] = first


@njit(
    ty.NONE(
        ty.READ_INTS,
        ty.READ_WORDS2,
        ty.READ_INTS2,
        ty.READ_INTS2,
        ty.READ_INTS2,
        ty.READ_INTS2,
        ty.INT,
        ty.INT,
        ty.INTS,
        ty.INT,
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def _pass_level(
    time: IntArray,
    mask: MaskArray,
    cols: IntArray,
    folds: IntArray,
    spans: IntArray,
    groups: IntArray,
    group: int,
    t: int,
    rows: IntArray,
    at: int,
) -> None:
    """Write at ``rows[at:]`` a group of a level."""
    kind = groups[group, oc.G_KIND]
    span = groups[group, oc.G_SPAN]
    condition = groups[group, oc.G_CONDITION]
    column = groups[group, oc.G_COLUMN]
    low = rows[span * oc.SPAN_WIDTH + oc.S_LOW]
    high = rows[span * oc.SPAN_WIDTH + oc.S_HIGH]
    skip = rows[span * oc.SPAN_WIDTH + oc.S_SKIP]
    before = high if kind == oc.LEVEL_NOW else low
    held = carried(mask, cols, before, skip, condition, column, folds, groups[group, oc.G_FOLD])
    if kind == oc.LEVEL_NOW:
        rows[at + oc.COUNT] = 0 if held == NULL else 1
        rows[at + oc.LAST] = held
    elif kind == oc.LEVEL:
        level(time, mask, cols, low, high, skip, condition, column, held, spans[span, 1], t, rows, at)
    else:
        threshold = groups[group, oc.G_THRESHOLD]
        level_below(time, mask, cols, low, high, skip, condition, column, held, spans[span, 1], t, threshold, rows, at)


pass_level = apart(_pass_level)


@njit(
    ty.NONE(
        ty.READ_INTS, ty.READ_WORDS2, ty.READ_INTS2, ty.READ_INTS2, ty.INT, ty.INT, ty.INT, ty.INTS, ty.INT, ty.INT
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def _pass_rows(
    time: IntArray,
    mask: MaskArray,
    cols: IntArray,
    groups: IntArray,
    group: int,
    t: int,
    observed: int,
    rows: IntArray,
    at: int,
    free: int,
) -> None:
    """Write at ``rows[at:]`` a group that needs each row again, or the observed event's own value."""
    kind = groups[group, oc.G_KIND]
    condition = groups[group, oc.G_CONDITION]
    column = groups[group, oc.G_COLUMN]
    span = groups[group, oc.G_SPAN] * oc.SPAN_WIDTH
    low = rows[span + oc.S_LOW]
    high = rows[span + oc.S_HIGH]
    skip = rows[span + oc.S_SKIP]
    extra = groups[group, oc.G_EXTRA]
    if kind == oc.EACH:
        step = groups[group, oc.G_STEP]
        steps = kept_steps(extra, step, t, rows[span + oc.S_FIRST], groups[group, oc.G_FEED])
        threshold = groups[group, oc.G_THRESHOLD]
        reduce = groups[group, oc.G_REDUCE]
        each(time, mask, cols, low, high, skip, condition, column, reduce, steps, step, t, threshold, rows, at, free)
    elif kind == oc.GAPS:
        gaps(time, mask, low, high, skip, condition, rows, at)
    elif kind == oc.GAP_MEDIAN:
        gap_median(time, mask, low, high, skip, condition, rows, at, free)
    elif kind == oc.SLOPE:
        slope(time, mask, cols, low, high, skip, condition, column, t, rows, at)
    elif kind == oc.DISTINCT:
        distinct(mask, cols, low, high, skip, condition, column, rows, at, free)
    elif kind == oc.TOP_SHARE:
        top_share(mask, cols, low, high, skip, condition, extra, column, rows, at, free)
    elif kind == oc.QUANTILE:
        quantile(mask, cols, low, high, skip, condition, column, extra, rows, at, free)
    elif kind == oc.STREAK:
        streak(mask, low, high, skip, condition, extra, rows, at)
    elif kind == oc.DECAY:
        decayed_sum(time, mask, cols, low, high, skip, condition, column, extra, t, rows, at)
    else:
        held = cols[column, observed] if 0 <= observed < time.shape[0] else NULL
        rows[at + oc.COUNT] = 0 if held == NULL else 1
        rows[at + oc.LAST] = held


pass_rows = apart(_pass_rows)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _value(table: IntArray, item: int, first: int, at: int, second: int, t: int, rows: IntArray) -> float:
    op = table[item, oc.T_OP]
    scale = table[item, oc.T_SCALE]
    if op in (oc.OP_COUNT, oc.OP_SUM, oc.OP_DECAY):
        if first == NULL and table[item, oc.T_FEED] == 1:
            return np.nan
        if op == oc.OP_DECAY:
            return decayed_value(rows, at, scale)
        return float(rows[at + oc.COUNT]) if op == oc.OP_COUNT else unit_value(rows[at + oc.SUM], scale)
    if op <= oc.OP_SINCE_LAST:
        return moment_value(op, rows, at, scale, t)
    if op == oc.OP_SHARE_COUNT:
        return ratio(rows[second + oc.COUNT], rows[at + oc.COUNT])
    if op == oc.OP_SHARE_SUM:
        return ratio(rows[second + oc.SUM], rows[at + oc.SUM])
    if op == oc.OP_TOP_SHARE:
        return ratio(rows[at + oc.GREATEST], rows[at + oc.SUM])
    if op == oc.OP_SLOPE:
        return slope_value(rows, at, scale)
    if op in (oc.OP_LEVEL_MEAN, oc.OP_LEVEL_STD, oc.OP_LEVEL_SLOPE):
        return level_value(op, rows, at, scale)
    if op == oc.OP_TIME_BELOW:
        return float(rows[at + oc.BELOW]) if rows[at + oc.COUNT] > 0 else np.nan
    if op == oc.OP_SINCE_BELOW:
        return since_below(rows, at, t)
    if op in (oc.OP_LEVEL_NOW, oc.OP_OBSERVED):
        return moment_value(oc.OP_LAST, rows, at, scale, t)
    return each_value(op, rows, at, scale)


@njit(
    ty.NONE(ty.READ_INTS2, ty.READ_INTS2, ty.INT, ty.INT, ty.INTS, ty.FLOATS),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def _finish_table(groups: IntArray, table: IntArray, base: int, t: int, rows: IntArray, out: FloatArray) -> None:
    """Write a stream's aggregates from its groups' rows, which begin at ``rows[base:]``, and its spans before them."""
    for item in range(table.shape[0]):
        group = table[item, oc.T_GROUP]
        at = base + group * oc.ROW_WIDTH
        second = base + table[item, oc.T_SECOND] * oc.ROW_WIDTH
        first = rows[groups[group, oc.G_SPAN] * oc.SPAN_WIDTH + oc.S_FIRST]
        out[table[item, oc.T_OUT]] = canonical(_value(table, item, first, at, second, t, rows))


finish_table = apart(_finish_table)

_SIGNATURE = ty.NONE(
    ty.READ_INTS,
    ty.READ_WORDS2,
    ty.READ_INTS2,
    ty.INT,
    ty.READ_INTS2,
    ty.INT,
    ty.READ_INTS2,
    ty.READ_INTS2,
    ty.READ_INTS2,
    ty.INT,
    ty.INT,
    ty.INTS,
    ty.FLOATS,
)


@njit(_SIGNATURE, cache=True, nogil=True, error_model="numpy")
def evaluate_stream(
    time: IntArray,
    mask: MaskArray,
    cols: IntArray,
    n: int,
    folds: IntArray,
    folded_first: int,
    spans: IntArray,
    groups: IntArray,
    table: IntArray,
    t: int,
    skip: int,
    scratch: IntArray,
    out: FloatArray,
) -> None:
    """Compute the aggregates of one stream of one entity at one moment.

    All arrays are C-contiguous. The first ``n`` rows are the live events sorted by event time, sequence and id; events
    after ``t`` are not seen.

    Args:
        time: int64[≥ n], event times in µs.
        mask: uint64[≥ n, words], the bits of the layout's conditions.
        cols: int64[columns, ≥ n], the layout's columns.
        n: How many live events there are.
        folds: int64[folds, FOLD_WIDTH], the accumulators of folded events.
        folded_first: The event time of the first folded event of the stream, NULL if none was folded.
        spans: `BoundStream.spans`.
        groups: `BoundStream.groups`.
        table: `BoundStream.table`.
        t: The moment, µs.
        skip: The row of the observed event where it is of this stream, else -1.
        scratch: int64[≥ `BoundStream.scratch_size(n)`], overwritten.
        out: float64[aggregates of the program]; the stream's are written.
    """
    resolve(time, n, folded_first, spans, t, skip, scratch)
    base = spans.shape[0] * oc.SPAN_WIDTH
    free = base + groups.shape[0] * oc.ROW_WIDTH
    for group in range(groups.shape[0]):
        at = base + group * oc.ROW_WIDTH
        kind = groups[group, oc.G_KIND]
        if kind == oc.MOMENTS:
            span = groups[group, oc.G_SPAN] * oc.SPAN_WIDTH
            low = scratch[span + oc.S_LOW]
            high = scratch[span + oc.S_HIGH]
            condition = groups[group, oc.G_CONDITION]
            column = groups[group, oc.G_COLUMN]
            moments(time, mask, cols, low, high, scratch[span + oc.S_SKIP], condition, column, scratch, at)
            if groups[group, oc.G_FOLD] >= 0:
                merge_before(folds, groups[group, oc.G_FOLD], scratch, at)
        elif kind in (oc.LEVEL, oc.LEVEL_BELOW, oc.LEVEL_NOW):
            pass_level(time, mask, cols, folds, spans, groups, group, t, scratch, at)
        else:
            pass_rows(time, mask, cols, groups, group, t, skip, scratch, at, free)
    finish_table(groups, table, base, t, scratch, out)


evaluate_stream_apart = apart(evaluate_stream)
