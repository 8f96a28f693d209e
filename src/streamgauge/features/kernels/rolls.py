"""What does not join from nodes rolls along: rows enter a window at one edge and leave it at the other.

A pass keeps what it needs of the rows [low, high) it looked at last, from one evaluation of a state to the next, and
takes in only what differs. What is inserted or removed in between is told to it. Where a moment is too far from the one
before, the rows are looked at one by one (`streamgauge.features.kernels.stream.pass_rows`), unless that goes on.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.definitions.specs import QUANTILE_SCALE
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.kernels.apart import inner
from streamgauge.features.kernels.keyed import clear_keys, count_key, greatest_weight
from streamgauge.features.kernels.moments import keeps
from streamgauge.features.kernels.ordered import (
    R_ALIVE,
    R_COLUMN,
    R_CONDITION,
    R_COUNT,
    R_EVER,
    R_HIGH,
    R_KEY,
    R_KIND,
    R_LOW,
    R_MISSES,
    R_N,
    R_SPAN,
    R_STORE,
    R_TOTAL,
    R_WIDTH,
    ROLL_WIDTH,
    change_value,
    value_at,
)

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

PATIENCE: Final = 3
"""How often in a row a pass may be of no use before it begins anew where it is needed."""
_NEAR: Final = 64
_PART: Final = 8


@inner
def _change_gap(head: Ints, store: Ints, time: Ints, mask: Words, row: int, low: int, high: int, sign: int) -> bool:
    """Let a row come or go among the other rows of [low, high)."""
    condition = head[R_CONDITION]
    if not keeps(mask, row, condition):
        return True
    before, after = row - 1, row + 1
    while before >= low and not keeps(mask, before, condition):
        before -= 1
    while after < high and not keeps(mask, after, condition):
        after += 1
    head[R_COUNT] += sign
    for which in range(3):
        gap, way = -1, sign
        if which == 0 and before >= low and after < high:
            gap, way = time[after] - time[before], -sign
        elif which == 1 and before >= low:
            gap = time[row] - time[before]
        elif which == 2 and after < high:  # noqa: PLR2004 - the third of three
            gap = time[after] - time[row]
        if gap >= 0 and not change_value(head, store, gap, way):
            return False
    return True


@inner
def _change(
    head: Ints, store: Ints, time: Ints, mask: Words, cols: Ints, row: int, low: int, high: int, sign: int
) -> bool:
    """Let a row come (sign 1) or go (sign -1); False where there is no room for it."""
    kind, column = head[R_KIND], head[R_COLUMN]
    if kind == oc.GAP_MEDIAN:
        return _change_gap(head, store, time, mask, row, low, high, sign)
    if not keeps(mask, row, head[R_CONDITION]):
        return True
    value = cols[column, row] if column >= 0 else 1
    if value == NULL:
        return True
    if kind == oc.QUANTILE:
        head[R_COUNT] += sign
        return change_value(head, store, value, sign)
    key = value
    if kind == oc.TOP_SHARE:
        key = cols[head[R_KEY], row]
        if key == NULL:
            return True
    return count_key(head, store, key, value, sign)


@inner
def _begin(head: Ints, store: Ints, low: int) -> None:
    """Begin anew with no row."""
    if head[R_KIND] == oc.DISTINCT or head[R_KIND] == oc.TOP_SHARE:
        clear_keys(head, store)
    head[R_COUNT : R_EVER + 1] = 0
    head[R_ALIVE] = 1
    head[R_LOW] = low
    head[R_HIGH] = low


@inner
def _lose(head: Ints) -> bool:
    """Give up a pass that has no room; return False."""
    head[R_ALIVE] = 0
    head[R_MISSES] = 0
    return False


@inner
def _move(head: Ints, store: Ints, time: Ints, mask: Words, cols: Ints, low: int, high: int) -> bool:
    """Move a pass to the rows [low, high); False where it cannot be of use."""
    far = abs(head[R_LOW] - low) + abs(head[R_HIGH] - high) > _NEAR + (high - low) // _PART
    if head[R_ALIVE] == 0 or far:
        head[R_MISSES] += 1
        if head[R_MISSES] <= PATIENCE:
            return False
        _begin(head, store, low)
    head[R_MISSES] = 0
    while head[R_LOW] != low or head[R_HIGH] != high:
        if head[R_HIGH] < high:
            row, sign = head[R_HIGH], 1
        elif head[R_LOW] > low:
            row, sign = head[R_LOW] - 1, 1
        elif head[R_HIGH] > high:
            row, sign = head[R_HIGH] - 1, -1
            head[R_HIGH] = row
        else:
            row, sign = head[R_LOW], -1
            head[R_LOW] = row + 1
        if not _change(head, store, time, mask, cols, row, head[R_LOW], head[R_HIGH], sign):
            return _lose(head)
        if sign > 0:
            head[R_LOW] = min(head[R_LOW], row)
            head[R_HIGH] = max(head[R_HIGH], row + 1)
    return True


@inner
def find_roll(rolls: Ints, own: Ints, span: Ints) -> int:
    """Return where the pass that serves a group begins, -1 if none does.

    Args:
        rolls: The passes and their stores; how many there are comes first.
        own: int64[GROUP_WIDTH], the group.
        span: int64[SPAN_WIDTH], its window.
    """
    if len(rolls) == 0:
        return -1
    key = own[oc.G_EXTRA] if own[oc.G_KIND] == oc.TOP_SHARE else 0
    for number in range(rolls[0]):
        at = 1 + number * ROLL_WIDTH
        if (
            rolls[at + R_KIND] == own[oc.G_KIND]
            and rolls[at + R_CONDITION] == own[oc.G_CONDITION]
            and rolls[at + R_COLUMN] == own[oc.G_COLUMN]
            and rolls[at + R_KEY] == key
            and rolls[at + R_SPAN] == span[0]
            and rolls[at + R_WIDTH] == span[1]
            and rolls[at + R_N] == span[2]
        ):
            return at
    return -1


@inner
def pass_rolled(
    rolls: Ints,
    place: int,
    time: Ints,
    mask: Words,
    cols: Ints,
    low: int,
    high: int,
    skip: int,
    order: int,
    rows: Ints,
    at: int,
) -> bool:
    """Write at ``rows[at:]`` what `distinct`, `top_share`, `quantile` or `gap_median` writes; False where it cannot.

    Args:
        rolls: As for `find_roll`.
        place: Where the pass begins.
        time: int64[n].
        mask: uint64[n, words].
        cols: int64[columns, n].
        low: The first row.
        high: The row after the last.
        skip: A row left out, -1 none.
        order: Of a quantile, q in units of 10⁻¹².
        rows: As for `distinct`.
        at: As for `distinct`.
    """
    head = rolls[place : place + ROLL_WIDTH]
    store = rolls[head[R_STORE] :]
    if not _move(head, store, time, mask, cols, low, high):
        return False
    without = low <= skip < high
    if without and not _change(head, store, time, mask, cols, skip, low, high, -1):
        return _lose(head)
    kind, count = head[R_KIND], head[R_COUNT]
    if kind == oc.TOP_SHARE:
        rows[at + oc.SUM] = head[R_TOTAL]
        rows[at + oc.GREATEST] = greatest_weight(head, store)
    elif kind == oc.GAP_MEDIAN:
        count = max(0, count - 1)
        if count > 0:
            rows[at + oc.LEAST] = value_at(head, store, (count - 1) >> 1)
    elif kind == oc.QUANTILE and count > 0:
        rank = (order * count + QUANTILE_SCALE - 1) // QUANTILE_SCALE
        rows[at + oc.LEAST] = value_at(head, store, rank - 1)
    rows[at + oc.COUNT] = count
    if without and not _change(head, store, time, mask, cols, skip, low, high, 1):
        _lose(head)
    return True


@inner
def roll_changed(rolls: Ints, time: Ints, mask: Words, cols: Ints, row: int, sign: int) -> None:
    """Tell the passes of a row that was inserted (sign 1), or is going to be removed (sign -1)."""
    for number in range(rolls[0]):
        head = rolls[1 + number * ROLL_WIDTH : 1 + (number + 1) * ROLL_WIDTH]
        if head[R_ALIVE] == 0 or row >= head[R_HIGH]:
            continue
        head[R_HIGH] += sign
        # A row that is inserted before the first takes its place, outside.
        if row < head[R_LOW] or (row == head[R_LOW] and sign > 0):
            head[R_LOW] += sign
        elif not _change(
            head,
            rolls[head[R_STORE] :],
            time,
            mask,
            cols,
            row,
            head[R_LOW],
            max(head[R_HIGH], head[R_HIGH] - sign),
            sign,
        ):
            _lose(head)


@inner
def roll_dropped(rolls: Ints, count: int) -> None:
    """Tell the passes that the oldest rows were dropped."""
    for number in range(rolls[0]):
        head = rolls[1 + number * ROLL_WIDTH : 1 + (number + 1) * ROLL_WIDTH]
        if head[R_LOW] >= count:
            head[R_LOW] -= count
            head[R_HIGH] -= count
        else:
            _lose(head)
