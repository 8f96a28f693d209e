"""Slopes and levels over nodes: sums that depend on the age of each row as of the moment."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.kernels.apart import inner
from streamgauge.features.kernels.fractions import L_SUMS
from streamgauge.features.kernels.int128 import add, mul, product, sub, wide
from streamgauge.features.kernels.levels import weigh
from streamgauge.features.kernels.nodes import N_ENDED, N_HELD, N_SECONDS, add_to
from streamgauge.features.kernels.rows import finish_slope

Ints = NDArray[np.int64]

_SECOND: Final = 1_000_000


@inner
def finish_aged(own: Ints, width: int, t: int, held: int, total: Ints, late: Ints, rows: Ints, at: int) -> None:
    """Write at ``rows[at:]`` what `slope`, `level` and `level_below` write.

    Args:
        own: int64[GROUP_WIDTH], the group.
        width: The window's, µs.
        t: The moment, µs.
        held: The value carried into the window, NULL if none.
        total: int64[NODE_WIDTH], the node of the window's rows.
        late: int64[LATE_WIDTH], the sums of those whose fraction of a second is greater than the moment's.
        rows: As for `slope`.
        at: As for `slope`.
    """
    if own[oc.G_KIND] == oc.SLOPE:
        _slope(t // _SECOND, total, late, rows, at)
    elif own[oc.G_KIND] == oc.LEVEL:
        for item in range(oc.ROW_WIDTH):
            rows[at + item] = 0
        _level(width // _SECOND, t, held, total, late, rows, at)
    else:
        _below(width // _SECOND, t, held, own[oc.G_THRESHOLD], total, late, rows, at)


@inner
def _slope(now: int, total: Ints, late: Ints, rows: Ints, at: int) -> None:
    """Finish a slope: x is the event's whole second − ``now``, and one more where its fraction is greater."""
    count, seconds = total[oc.COUNT], total[N_SECONDS]
    more, more_seconds, more_y = late[L_SUMS], late[L_SUMS + 1], late[L_SUMS + 2]
    squares = sub(mul(wide(count), product(now, now)), mul(product(2, now), wide(seconds)))
    squares = add(squares, (total[oc.SQUARES_HIGH], total[oc.SQUARES_LOW]))
    squares = add(squares, wide(2 * more_seconds - (2 * now - 1) * more))
    cross = sub((total[oc.CROSS_HIGH], total[oc.CROSS_LOW]), product(now, total[oc.SUM]))
    cross = add(cross, wide(more_y))
    finish_slope(count, seconds - count * now + more, total[oc.SUM], cross, squares, rows, at)


@inner
def _level(start: int, t: int, held: int, total: Ints, late: Ints, rows: Ints, at: int) -> None:
    """Finish a level: the value carried in until the first row, those between, and the last one until now."""
    if total[oc.COUNT] == 0:
        if held != NULL:
            weigh(rows, at, held, start, 0)
        return
    first, last = (t - total[oc.FIRST_TIME]) // _SECOND, (t - total[oc.LAST_TIME]) // _SECOND
    if held != NULL:
        weigh(rows, at, held, start, first)
    if total[N_HELD] > 0:
        _between(t, first, last, total, late, rows, at)
    weigh(rows, at, total[oc.LAST], last, 0)


@inner
def _between(t: int, first: int, last: int, total: Ints, late: Ints, rows: Ints, at: int) -> None:
    """Add the values that held between the first row and the last, whose ages are given."""
    now, value, second = t // _SECOND, total[oc.LAST], total[oc.LAST_TIME] // _SECOND
    weights, crossed, squares = (
        (late[L_SUMS], late[L_SUMS + 1]),
        (late[L_SUMS + 2], late[L_SUMS + 3]),
        (late[L_SUMS + 4], late[L_SUMS + 5]),
    )
    if now - second > last:  # the last row's own fraction is greater
        weights = add(weights, wide(value))
        crossed = add(crossed, product(value, second))
        squares = add(squares, product(value, value))
    sums = (total[oc.SUM_HIGH], total[oc.SUM_LOW])
    cross = sub(mul(wide(2 * now), sums), (total[oc.CROSS_HIGH], total[oc.CROSS_LOW]))
    cross = add(cross, sub(mul(wide(2 * now - 1), weights), mul((0, 2), crossed)))
    sums = add(sums, weights)
    squares = add(squares, (total[oc.SQUARES_HIGH], total[oc.SQUARES_LOW]))
    add_to(rows, at + oc.SUM_HIGH, sums[0], sums[1])
    add_to(rows, at + oc.SQUARES_HIGH, squares[0], squares[1])
    add_to(rows, at + oc.CROSS_HIGH, cross[0], cross[1])
    held = rows[at + oc.COUNT]
    rows[at + oc.SECONDS] += first - last
    rows[at + oc.LEAST] = total[oc.LEAST] if held == 0 else min(rows[at + oc.LEAST], total[oc.LEAST])
    rows[at + oc.GREATEST] = total[oc.GREATEST] if held == 0 else max(rows[at + oc.GREATEST], total[oc.GREATEST])
    rows[at + oc.COUNT] = held + total[N_HELD]


@inner
def _below(start: int, t: int, held: int, threshold: int, total: Ints, late: Ints, rows: Ints, at: int) -> None:
    """Finish a level below a threshold."""
    seconds, ended = 0, NULL
    if total[oc.COUNT] > 0:
        if held != NULL and held < threshold:
            seconds += start - (t - total[oc.FIRST_TIME]) // _SECOND
            ended = total[oc.FIRST_TIME]
        if total[N_ENDED] != NULL:
            ended = total[N_ENDED]
        held, start = total[oc.LAST], (t - total[oc.LAST_TIME]) // _SECOND
        seconds += total[oc.BELOW] + late[L_SUMS]
        if held < threshold and t // _SECOND - total[oc.LAST_TIME] // _SECOND > start:
            seconds += 1
    below = held != NULL and held < threshold
    rows[at + oc.COUNT] = 0 if held == NULL else 1
    rows[at + oc.BELOW] = seconds + start if below else seconds
    rows[at + oc.LAST] = 1 if below else 0
    rows[at + oc.LAST_TIME] = ended
