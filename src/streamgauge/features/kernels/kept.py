"""Aggregates that look at each kept row, where no event is observed: the kept rows are found first, without branches.

Which rows a condition keeps is as good as random to a processor, which guesses each time and is often wrong.
"""

from __future__ import annotations

import numpy as np
from numba import int64, uint64
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.kernels.apart import inner
from streamgauge.features.kernels.int128 import add, product
from streamgauge.features.kernels.rows import clear_table, find_slot, select

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]


@inner
def kept_rows(bits: Words, words: int, condition: int, low: int, high: int, kept: Ints) -> int:
    """Write the rows of [low, high) that a condition keeps, and return how many there are.

    Args:
        bits: uint64[n · words], the masks.
        words: How many words one has.
        condition: The condition; -1 keeps all.
        low: The first row.
        high: Where the rows end.
        kept: int64[≥ high - low], written.
    """
    count = 0
    if condition < 0:
        for row in range(low, high):
            kept[row - low] = row
        return max(0, high - low)
    shift = uint64(condition & 63)
    own = bits[condition >> 6 :]
    for row in range(low, high):
        kept[count] = row
        count += int64((own[row * words] >> shift) & uint64(1))
    return count


@inner
def gaps_of(time: Ints, kept: Ints, count: int, rows: Ints, at: int) -> None:
    """Write at ``rows[at:]`` what `streamgauge.features.kernels.rows.gaps` writes."""
    total = 0
    squares = (0, 0)
    least = 0
    greatest = 0
    for item in range(1, count):
        gap = time[kept[item]] - time[kept[item - 1]]
        total += gap
        squares = add(squares, product(gap, gap))
        least = gap if item == 1 else min(least, gap)
        greatest = max(greatest, gap)
    rows[at + oc.COUNT] = max(0, count - 1)
    rows[at + oc.SUM] = total
    rows[at + oc.SQUARES_HIGH] = squares[0]
    rows[at + oc.SQUARES_LOW] = squares[1]
    rows[at + oc.LEAST] = least
    rows[at + oc.GREATEST] = greatest


@inner
def gap_median_of(time: Ints, kept: Ints, count: int, rows: Ints, at: int, free: int) -> None:
    """Write at ``rows[at:]`` what `streamgauge.features.kernels.rows.gap_median` writes."""
    for item in range(1, count):
        rows[free + item - 1] = time[kept[item]] - time[kept[item - 1]]
    spacings = max(0, count - 1)
    rows[at + oc.COUNT] = spacings
    if spacings > 0:
        rows[at + oc.LEAST] = select(rows, free, free + spacings, (spacings - 1) >> 1)


@inner
def distinct_of(values: Ints, kept: Ints, count: int, rows: Ints, at: int, free: int) -> None:
    """Write at ``rows[at:]`` what `streamgauge.features.kernels.rows.distinct` writes."""
    capacity = clear_table(rows, free, count)
    found = 0
    for item in range(count):
        key = values[kept[item]]
        if key == NULL:
            continue
        slot = find_slot(rows, free, capacity, key)
        if rows[slot] == NULL:
            rows[slot] = key
            found += 1
    rows[at + oc.COUNT] = found


@inner
def top_share_of(
    cols: Ints, key_column: int, column: int, kept: Ints, count: int, rows: Ints, at: int, free: int
) -> None:
    """Write at ``rows[at:]`` what `streamgauge.features.kernels.rows.top_share` writes."""
    capacity = clear_table(rows, free, count)
    known = 0
    total = 0
    greatest = NULL
    for item in range(count):
        row = kept[item]
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
        known += 1
    for slot in range(free, free + capacity):
        if rows[slot] != NULL:
            greatest = max(greatest, rows[slot + capacity])
    rows[at + oc.COUNT] = known
    rows[at + oc.SUM] = total
    rows[at + oc.GREATEST] = greatest
