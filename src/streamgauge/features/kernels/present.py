"""The window kernel where no event is observed: the sums of `streamgauge.features.kernels.stream`, in fewer steps.

Whole numbers add up to the same in any order; so sums run without branches, each step of an `each` is a sum of its own,
and all windows of a level share the rows that set it. What an aggregate does not read is not computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import int64, njit, uint64
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.kernels.apart import inner
from streamgauge.features.kernels.each import kept_steps, summarize
from streamgauge.features.kernels.int128 import add, mul, product, wide
from streamgauge.features.kernels.kept import distinct_of, gap_median_of, gaps_of, kept_rows, top_share_of
from streamgauge.features.kernels.moments import keeps, merge_before, moments
from streamgauge.features.kernels.stream import finish_table, first_after, pass_rows, resolve

if TYPE_CHECKING:
    from streamgauge.features.bind import BoundStream

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Floats = NDArray[np.float64]

SUMS: Final = 1
SQUARES: Final = 2
EXTREMES: Final = 4
OLDEST: Final = 8
NEWEST: Final = 16
CROSS: Final = 32
_ENDS: Final = OLDEST | NEWEST
_SECOND: Final = 1_000_000

_READS: Final = {
    oc.OP_COUNT: SUMS,
    oc.OP_SUM: SUMS,
    oc.OP_MEAN: SUMS,
    oc.OP_STD: SUMS | SQUARES,
    oc.OP_MIN: SUMS | EXTREMES,
    oc.OP_MAX: SUMS | EXTREMES,
    oc.OP_FIRST: OLDEST,
    oc.OP_LAST: NEWEST,
    oc.OP_SINCE_FIRST: OLDEST,
    oc.OP_SINCE_LAST: NEWEST,
    oc.OP_SHARE_COUNT: SUMS,
    oc.OP_SHARE_SUM: SUMS,
    oc.OP_LEVEL_MEAN: SUMS,
    oc.OP_LEVEL_STD: SUMS | SQUARES,
    oc.OP_LEVEL_SLOPE: SUMS | CROSS,
}
_ALL: Final = SUMS | SQUARES | EXTREMES | OLDEST | NEWEST | CROSS

LEVEL_WIDTH: Final = 4
"""How many values a row takes in the buffer of rows: its time, value and age where it sets a level, and its number."""


def reads_of(stream: BoundStream) -> Ints:
    """Return what the aggregates read of each group, int64[groups]."""
    reads = np.zeros(len(stream.groups), np.int64)
    for row in stream.table.tolist():
        for group in (row[oc.T_GROUP], row[oc.T_SECOND]):
            if group >= 0:
                reads[group] |= _READS.get(row[oc.T_OP], _ALL)
    return reads


@inner
def _total(bits: Words, words: int, condition: int, values: Ints, low: int, high: int) -> tuple[int, int]:
    """Return how many of the rows [low, high) are kept and known, and their sum."""
    count = int64(0)
    total = int64(0)
    if condition < 0:
        for value in values[low:high]:
            known = int64(value != NULL)
            count += known
            total += value & -known
        return count, total  # type: ignore[return-value]
    shift = uint64(condition & 63)
    own = bits[condition >> 6 :]
    if words == 1:
        rows = own[low:high]
        column = values[low:high]
        for row in range(len(rows)):
            known = int64((rows[row] >> shift) & uint64(1)) & int64(column[row] != NULL)
            count += known
            total += column[row] & -known
        return count, total  # type: ignore[return-value]
    for row in range(low, high):
        known = int64((own[row * words] >> shift) & uint64(1)) & int64(values[row] != NULL)
        count += known
        total += values[row] & -known
    return count, total  # type: ignore[return-value]


@inner
def _counted(bits: Words, words: int, condition: int, low: int, high: int) -> int:
    """Return how many of the rows [low, high) are kept."""
    if condition < 0:
        return max(0, high - low)
    shift = uint64(condition & 63)
    own = bits[condition >> 6 :]
    count = int64(0)
    if words == 1:
        for word in own[low:high]:
            count += int64((word >> shift) & uint64(1))
        return count  # type: ignore[return-value]
    for row in range(low, high):
        count += int64((own[row * words] >> shift) & uint64(1))
    return count  # type: ignore[return-value]


@inner
def _ends(
    time: Ints,
    mask: Words,
    cols: Ints,
    low: int,
    high: int,
    condition: int,
    column: int,
    reads: int,
    rows: Ints,
    at: int,
) -> None:
    """Write at ``rows[at:]`` the oldest and the newest of the rows that are kept, as far as they are read."""
    rows[at + oc.COUNT] = 0
    for row in range(high - 1, low - 1, -1):
        if keeps(mask, row, condition) and (column < 0 or cols[column, row] != NULL):
            rows[at + oc.COUNT] = 1
            rows[at + oc.LAST_TIME] = time[row]
            rows[at + oc.LAST] = cols[column, row] if column >= 0 else 0
            break
    if reads & OLDEST == 0 or rows[at + oc.COUNT] == 0:
        return
    for row in range(low, high):
        if keeps(mask, row, condition) and (column < 0 or cols[column, row] != NULL):
            rows[at + oc.FIRST_TIME] = time[row]
            rows[at + oc.FIRST] = cols[column, row] if column >= 0 else 0
            return


@inner
def _moments(
    time: Ints,
    mask: Words,
    bits: Words,
    cols: Ints,
    low: int,
    high: int,
    condition: int,
    column: int,
    reads: int,
    rows: Ints,
    at: int,
) -> None:
    """Write at ``rows[at:]`` what is read of the moments of the rows [low, high)."""
    if reads == SUMS:
        if column < 0:
            rows[at + oc.COUNT] = _counted(bits, mask.shape[1], condition, low, high)
            rows[at + oc.SUM] = 0
        else:
            count, total = _total(bits, mask.shape[1], condition, cols[column], low, high)
            rows[at + oc.COUNT] = count
            rows[at + oc.SUM] = total
    elif reads & ~_ENDS == 0:
        _ends(time, mask, cols, low, high, condition, column, reads, rows, at)
    else:
        moments(time, mask, cols, low, high, -1, condition, column, rows, at)


@inner
def _each_sum(
    time: Ints,
    mask: Words,
    bits: Words,
    cols: Ints,
    high: int,
    own: Ints,
    first: int,
    t: int,
    rows: Ints,
    at: int,
    free: int,
) -> None:
    """Write at ``rows[at:]`` the summary of steps that are sums."""
    width, column, condition = own[oc.G_STEP], own[oc.G_COLUMN], own[oc.G_CONDITION]
    steps = kept_steps(own[oc.G_EXTRA], width, t, first, own[oc.G_FEED])
    for step in range(steps):
        low = first_after(time, 0, high, t - (step + 1) * width)
        if column < 0:
            rows[free + step] = _counted(bits, mask.shape[1], condition, low, high)
        else:
            rows[free + step] = _total(bits, mask.shape[1], condition, cols[column], low, high)[1]
        rows[free + oc.MAX_STEPS + step] = 1
        high = low
    summarize(steps, own[oc.G_THRESHOLD], rows, at, free)


@inner
def _set_rows(time: Ints, mask: Words, cols: Ints, high: int, condition: int, column: int, t: int, level: Ints) -> int:
    """Write the time, value and age in seconds of each row that sets a level, and return how many do."""
    room = time.shape[0]
    count = 0
    for row in range(high):
        value = cols[column, row]
        level[count] = time[row]
        level[room + count] = value
        level[2 * room + count] = uint64(t - time[row]) // uint64(_SECOND)
        count += int64(value != NULL and keeps(mask, row, condition))  # type: ignore[assignment]
    return count


@inner
def _level(
    set_at: Ints, values: Ints, ages: Ints, low: int, high: int, held: int, width: int, reads: int, rows: Ints, at: int
) -> None:
    """Write at ``rows[at:]`` what is read of a level over the rows [low, high) that set it."""
    count = 0
    seconds = 0
    total, squares, cross = (0, 0), (0, 0), (0, 0)
    least, greatest = 0, 0
    start = width // _SECOND
    since = NULL
    for row in range(low, high + 1):
        now, age = NULL, 0
        if row < high:
            now, age = set_at[row], ages[row]
        if held != NULL and (row == high or now != since):
            weight = start - age
            total = add(total, product(held, weight))
            if reads & SQUARES:
                squares = add(squares, mul(product(held, held), wide(weight)))
            if reads & CROSS:
                cross = add(cross, product(held, start * start - age * age))
            seconds += weight
            least = held if count == 0 else min(least, held)
            greatest = held if count == 0 else max(greatest, held)
            count += 1
        if row < high:
            held = values[row]
            since = now
            start = age
    rows[at + oc.COUNT] = count
    rows[at + oc.SECONDS] = seconds
    rows[at + oc.SUM_HIGH] = total[0]
    rows[at + oc.SUM_LOW] = total[1]
    rows[at + oc.SQUARES_HIGH] = squares[0]
    rows[at + oc.SQUARES_LOW] = squares[1]
    rows[at + oc.CROSS_HIGH] = cross[0]
    rows[at + oc.CROSS_LOW] = cross[1]
    rows[at + oc.LEAST] = least
    rows[at + oc.GREATEST] = greatest


@inner
def _below(
    set_at: Ints,
    values: Ints,
    ages: Ints,
    low: int,
    high: int,
    held: int,
    width: int,
    threshold: int,
    rows: Ints,
    at: int,
) -> None:
    """Write at ``rows[at:]`` for how long a level lay below a threshold, over the rows [low, high) that set it."""
    seconds = 0
    ended = NULL
    start = width // _SECOND
    since = NULL
    for row in range(low, high):
        now, age = set_at[row], ages[row]
        below = held != NULL and now != since and held < threshold
        seconds += start - age if below else 0
        ended = now if below else ended
        held = values[row]
        since = now
        start = age
    below = held != NULL and held < threshold
    rows[at + oc.COUNT] = 0 if held == NULL else 1
    rows[at + oc.BELOW] = seconds + start if below else seconds
    rows[at + oc.LAST] = 1 if below else 0
    rows[at + oc.LAST_TIME] = ended


@inner
def _pass_level(
    folds: Ints, spans: Ints, own: Ints, reads: int, t: int, level: Ints, room: int, count: int, rows: Ints, at: int
) -> None:
    """Write at ``rows[at:]`` a group of a level whose rows are known."""
    kind, width = own[oc.G_KIND], spans[own[oc.G_SPAN], 1]
    low = count if kind == oc.LEVEL_NOW else first_after(level, 0, count, t - width)
    fold = own[oc.G_FOLD]
    held = NULL
    if low > 0:
        held = level[room + low - 1]
    elif folds[fold, oc.COUNT] > 0:
        held = folds[fold, oc.LAST]
    values, ages = level[room : 2 * room], level[2 * room : 3 * room]
    if kind == oc.LEVEL_NOW:
        rows[at + oc.COUNT] = 0 if held == NULL else 1
        rows[at + oc.LAST] = held
    elif kind == oc.LEVEL:
        _level(level, values, ages, low, count, held, width, reads, rows, at)
    else:
        _below(level, values, ages, low, count, held, width, own[oc.G_THRESHOLD], rows, at)


@inner
def _pass_kept(time: Ints, cols: Ints, own: Ints, kept: Ints, count: int, rows: Ints, at: int, free: int) -> None:
    """Write at ``rows[at:]`` a group that looks at each kept row."""
    kind, column = own[oc.G_KIND], own[oc.G_COLUMN]
    if kind == oc.GAPS:
        gaps_of(time, kept, count, rows, at)
    elif kind == oc.GAP_MEDIAN:
        gap_median_of(time, kept, count, rows, at, free)
    elif kind == oc.DISTINCT:
        distinct_of(cols[column], kept, count, rows, at, free)
    else:
        top_share_of(cols, own[oc.G_EXTRA], column, kept, count, rows, at, free)


@njit(cache=True, nogil=True, error_model="numpy")
def evaluate_present(
    time: Ints,
    mask: Words,
    bits: Words,
    cols: Ints,
    n: int,
    folds: Ints,
    folded_first: int,
    spans: Ints,
    groups: Ints,
    reads: Ints,
    table: Ints,
    t: int,
    level: Ints,
    scratch: Ints,
    out: Floats,
) -> None:
    """Compute what `streamgauge.features.kernels.stream.evaluate_stream` computes where no event is observed.

    Args:
        time: int64[n], event times in µs.
        mask: uint64[n, words].
        bits: The same as one array.
        cols: int64[columns, n].
        n: How many live events there are.
        folds: int64[folds, FOLD_WIDTH].
        folded_first: The event time of the first folded event, NULL if none was folded.
        spans: `BoundStream.spans`.
        groups: `BoundStream.groups`.
        reads: `reads_of`.
        table: `BoundStream.table`.
        t: The moment, µs.
        level: int64[≥ LEVEL_WIDTH · n], overwritten.
        scratch: int64[≥ `BoundStream.scratch_size(n)`], overwritten.
        out: float64[aggregates of the program]; the stream's are written.
    """
    resolve(time, n, folded_first, spans, t, -1, scratch)
    base = spans.shape[0] * oc.SPAN_WIDTH
    free = base + groups.shape[0] * oc.ROW_WIDTH
    set_condition, set_column, count = -2, -2, 0
    for group in range(groups.shape[0]):
        own = groups[group]
        at = base + group * oc.ROW_WIDTH
        kind, condition, column = own[oc.G_KIND], own[oc.G_CONDITION], own[oc.G_COLUMN]
        span = own[oc.G_SPAN] * oc.SPAN_WIDTH
        low, high = scratch[span + oc.S_LOW], scratch[span + oc.S_HIGH]
        if kind == oc.MOMENTS:
            _moments(time, mask, bits, cols, low, high, condition, column, reads[group], scratch, at)
            if own[oc.G_FOLD] >= 0:
                merge_before(folds, own[oc.G_FOLD], scratch, at)
        elif kind == oc.EACH and own[oc.G_REDUCE] == oc.STEP_SUM:
            _each_sum(time, mask, bits, cols, high, own, scratch[span + oc.S_FIRST], t, scratch, at, free)
        elif kind in (oc.LEVEL, oc.LEVEL_BELOW, oc.LEVEL_NOW):
            if condition != set_condition or column != set_column:
                count = _set_rows(time, mask, cols, high, condition, column, t, level)
                set_condition, set_column = condition, column
            _pass_level(folds, spans, own, reads[group], t, level, time.shape[0], count, scratch, at)
        elif kind in (oc.GAPS, oc.GAP_MEDIAN, oc.DISTINCT, oc.TOP_SHARE):
            kept = level[3 * time.shape[0] :]
            most = kept_rows(bits, mask.shape[1], condition, low, high, kept)
            _pass_kept(time, cols, own, kept, most, scratch, at, free)
        else:
            pass_rows(time, mask, cols, groups, group, t, -1, scratch, at, free)
    finish_table(groups, table, base, t, scratch, out)
