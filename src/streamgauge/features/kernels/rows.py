"""Aggregates of rows that need each row again: gaps, slope, distinct values, the top key's share."""

from __future__ import annotations

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.kernels.apart import inner
from streamgauge.features.kernels.int128 import Int128, add, mul, product, sub, wide
from streamgauge.features.kernels.moments import keeps
from streamgauge.features.kernels.opcodes import (
    COUNT,
    CROSS_HIGH,
    CROSS_LOW,
    GREATEST,
    LEAST,
    SQUARES_HIGH,
    SQUARES_LOW,
    SUM,
)


@inner
def gaps(
    time: NDArray[np.int64],
    mask: NDArray[np.uint64],
    low: int,
    high: int,
    skip: int,
    condition: int,
    rows: NDArray[np.int64],
    at: int,
) -> None:
    """Write at ``rows[at:]`` count, ΣS, Σx², least and greatest of the spacings in µs between consecutive kept rows."""
    count = 0
    total = 0
    squares = (0, 0)
    least = 0
    greatest = 0
    before = NULL
    for row in range(low, high):
        if row == skip or not keeps(mask, row, condition):
            continue
        now = time[row]
        if before != NULL:
            gap = now - before
            total += gap
            squares = add(squares, product(gap, gap))
            least = gap if count == 0 else min(least, gap)
            greatest = max(greatest, gap)
            count += 1
        before = now
    rows[at + COUNT] = count
    rows[at + SUM] = total
    rows[at + SQUARES_HIGH] = squares[0]
    rows[at + SQUARES_LOW] = squares[1]
    rows[at + LEAST] = least
    rows[at + GREATEST] = greatest


@inner
def select(values: NDArray[np.int64], low: int, high: int, rank: int) -> int:
    """Return the value of that rank (0-based, from ``low``) of ``values[low:high]``, which it reorders."""
    target = low + rank
    high -= 1
    while low < high:
        pivot = values[(low + high) >> 1]
        less = low
        row = low
        more = high
        while row <= more:
            value = values[row]
            if value < pivot:
                values[row] = values[less]
                values[less] = value
                less += 1
                row += 1
            elif value > pivot:
                values[row] = values[more]
                values[more] = value
                more -= 1
            else:
                row += 1
        if target < less:
            high = less - 1
        elif target > more:
            low = more + 1
        else:
            return pivot  # type: ignore[no-any-return]
    return values[target]  # type: ignore[no-any-return]


@inner
def gap_median(
    time: NDArray[np.int64],
    mask: NDArray[np.uint64],
    low: int,
    high: int,
    skip: int,
    condition: int,
    rows: NDArray[np.int64],
    at: int,
    free: int,
) -> None:
    """Write at ``rows[at:]`` the count of spacings and, as the least, the one of nearest rank ⌈n/2⌉."""
    count = 0
    before = NULL
    for row in range(low, high):
        if row == skip or not keeps(mask, row, condition):
            continue
        now = time[row]
        if before != NULL:
            rows[free + count] = now - before
            count += 1
        before = now
    rows[at + COUNT] = count
    if count > 0:
        rows[at + LEAST] = select(rows, free, free + count, (count - 1) >> 1)


@inner
def finish_slope(
    count: int, sum_x: int, sum_y: int, sum_xy: Int128, sum_xx: Int128, rows: NDArray[np.int64], at: int
) -> None:
    """Write at ``rows[at:]`` CROSS nΣxy − ΣxΣy, SQUARES nΣx² − (Σx)² and COUNT, 0 where the slope is null."""
    cross = sub(mul(wide(count), sum_xy), product(sum_x, sum_y))
    squares = sub(mul(wide(count), sum_xx), product(sum_x, sum_x))
    rows[at + COUNT] = 1 if count > 1 and squares != (0, 0) else 0
    rows[at + CROSS_HIGH] = cross[0]
    rows[at + CROSS_LOW] = cross[1]
    rows[at + SQUARES_HIGH] = squares[0]
    rows[at + SQUARES_LOW] = squares[1]


@inner
def slope(
    time: NDArray[np.int64],
    mask: NDArray[np.uint64],
    cols: NDArray[np.int64],
    low: int,
    high: int,
    skip: int,
    condition: int,
    column: int,
    t: int,
    rows: NDArray[np.int64],
    at: int,
) -> None:
    """Write at ``rows[at:]`` the numerator and denominator of the least-squares slope per second of age.

    CROSS is nΣxy − ΣxΣy and SQUARES nΣx² − (Σx)² with x = −age in whole seconds; COUNT is 0 where the slope is null.
    """
    count = 0
    sum_x = 0
    sum_y = 0
    sum_xy = (0, 0)
    sum_xx = (0, 0)
    for row in range(low, high):
        if row == skip or not keeps(mask, row, condition):
            continue
        y = cols[column, row]
        if y == NULL:
            continue
        x = -((t - time[row]) // 1_000_000)
        sum_x += x
        sum_y += y
        sum_xy = add(sum_xy, product(x, y))
        sum_xx = add(sum_xx, product(x, x))
        count += 1
    finish_slope(count, sum_x, sum_y, sum_xy, sum_xx, rows, at)


@inner
def clear_table(rows: NDArray[np.int64], free: int, events: int) -> int:
    """Clear an open-addressing table at ``rows[free:]`` for that many keys; return its capacity, a power of two."""
    capacity = 4
    while capacity <= 2 * events:
        capacity *= 2
    for slot in range(capacity):
        rows[free + slot] = NULL
    return capacity


@inner
def find_slot(rows: NDArray[np.int64], free: int, capacity: int, key: int) -> int:
    """Return where the key stands in the table, or the empty slot it belongs in."""
    slot = int(np.int64((uint64(key) * uint64(0x9E3779B97F4A7C15)) >> uint64(32))) & (capacity - 1)
    while rows[free + slot] not in (NULL, key):
        slot = (slot + 1) & (capacity - 1)
    return free + slot


@inner
def distinct(
    mask: NDArray[np.uint64],
    cols: NDArray[np.int64],
    low: int,
    high: int,
    skip: int,
    condition: int,
    column: int,
    rows: NDArray[np.int64],
    at: int,
    free: int,
) -> None:
    """Write at ``rows[at:]`` how many different values the kept rows have."""
    capacity = clear_table(rows, free, high - low)
    count = 0
    for row in range(low, high):
        if row == skip or not keeps(mask, row, condition):
            continue
        key = cols[column, row]
        if key == NULL:
            continue
        slot = find_slot(rows, free, capacity, key)
        if rows[slot] == NULL:
            rows[slot] = key
            count += 1
    rows[at + COUNT] = count


@inner
def top_share(
    mask: NDArray[np.uint64],
    cols: NDArray[np.int64],
    low: int,
    high: int,
    skip: int,
    condition: int,
    key_column: int,
    column: int,
    rows: NDArray[np.int64],
    at: int,
    free: int,
) -> None:
    """Write at ``rows[at:]`` the total weight (SUM) and the heaviest key's (GREATEST); 1 a row without a column."""
    capacity = clear_table(rows, free, high - low)
    count = 0
    total = 0
    for row in range(low, high):
        if row == skip or not keeps(mask, row, condition):
            continue
        key = cols[key_column, row]
        weight = cols[column, row] if column >= 0 else 1
        if NULL in (key, weight):
            continue
        slot = find_slot(rows, free, capacity, key)
        if rows[slot] == NULL:
            rows[slot] = key
            rows[slot + capacity] = 0
        rows[slot + capacity] += weight
        total += weight
        count += 1
    greatest = NULL
    for slot in range(free, free + capacity):
        if rows[slot] != NULL:
            greatest = max(greatest, rows[slot + capacity])
    rows[at + COUNT] = count
    rows[at + SUM] = total
    rows[at + GREATEST] = greatest
