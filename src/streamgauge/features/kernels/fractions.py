"""What fractions of a second take off ages: sums over the rows whose fraction is greater than the moment's.

An age is the moment's whole seconds less the event's, and one less where the event's fraction of a second is greater.
So sums over whole seconds (`streamgauge.features.kernels.nodes`) serve any moment, once they are set right by sums over
just those rows. Sheets of 1,024 rows keep such sums in order of the fraction: one search tells a sheet's.

A level's interval from age a to age b weighs v·(a − b). Row by row that is the row's age times (its value − the one
before), so of its sums only the rows' own ages matter: a row weighs d = before − value, d·seconds and before² − value².
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.kernels.apart import inlined, inner
from streamgauge.features.kernels.int128 import product, sub, wide
from streamgauge.features.kernels.moments import keeps
from streamgauge.features.kernels.nodes import add_to
from streamgauge.features.kernels.tree import (
    BLOCK_BITS,
    FAN_BITS,
    FRACTIONS,
    K_COLUMN,
    K_CONDITION,
    K_KIND,
    K_SUMS,
    K_THRESHOLD,
)

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

SHEET_BITS: Final = BLOCK_BITS + FAN_BITS
_ROWS: Final = 1 << SHEET_BITS
_DIGIT: Final = 10
_SECOND: Final = 1_000_000

# A row's sums: of a slope how many, Σ seconds and Σy; of a level Σd, Σd·seconds and Σ(before² − value²), two words each
# but the first; of a level below its threshold Σd, the values being 1 below it and 0 else.
SLOPE_SUMS: Final = 3
LEVEL_SUMS: Final = 5
BELOW_SUMS: Final = 1

# What was summed before: the first row, the fraction, the row after the last (0 for none), the sums (those of a level
# two words each), the last value, and which one is to be replaced next.
LATE_WAYS: Final = 4
L_LOW: Final = 0
L_FRACTION: Final = 1
L_REACHED: Final = 2
L_SUMS: Final = 3
L_HELD: Final = 9
L_NEXT: Final = 10
LATE_WIDTH: Final = 11


@inner
def _sort(time: Ints, low: int, order: Ints, spare: Ints, starts: Ints) -> None:
    """Write a sheet's rows into ``order`` as (fraction << SHEET_BITS) + row, ascending."""
    for row in range(_ROWS):
        order[row] = ((time[low + row] % _SECOND) << SHEET_BITS) | row
    for shift in (SHEET_BITS, SHEET_BITS + _DIGIT):
        starts[:] = 0
        for row in range(_ROWS):
            starts[((order[row] >> shift) & (_ROWS - 1)) + 1] += 1
        for digit in range(_ROWS):
            starts[digit + 1] += starts[digit]
        for row in range(_ROWS):
            digit = (order[row] >> shift) & (_ROWS - 1)
            spare[starts[digit]] = order[row]
            starts[digit] += 1
        order[:] = spare


@inner
def _weigh_rows(time: Ints, mask: Words, cols: Ints, low: int, own: Ints, weights: Ints) -> None:
    """Write what each row of a sheet adds, int64[rows, LEVEL_SUMS]; the value before the first counts as 0."""
    kind, condition, column, threshold = own[K_KIND], own[K_CONDITION], own[K_COLUMN], own[K_THRESHOLD]
    before = 0
    weights[:] = 0
    for row in range(_ROWS):
        value = cols[column, low + row]
        if value == NULL or not keeps(mask, low + row, condition):
            continue
        second = time[low + row] // _SECOND
        if kind == oc.SLOPE:
            weights[row, 0] = 1
            weights[row, 1] = second
            weights[row, 2] = value
            continue
        if kind == oc.LEVEL_BELOW:
            value = 1 if value < threshold else 0
        weights[row, 0] = before - value
        if kind == oc.LEVEL:
            crossed, squared = product(before - value, second), sub(product(before, before), product(value, value))
            weights[row, 1] = crossed[0]
            weights[row, 2] = crossed[1]
            weights[row, 3] = squared[0]
            weights[row, 4] = squared[1]
        before = value


@inner
def _sum_sheet(kind: int, order: Ints, weights: Ints, sums: Ints) -> None:
    """Write for each place in the order what the rows from there on add."""
    width = SLOPE_SUMS if kind == oc.SLOPE else LEVEL_SUMS if kind == oc.LEVEL else BELOW_SUMS
    total = np.zeros(LEVEL_SUMS, np.int64)
    for place in range(_ROWS - 1, -1, -1):
        row = order[place] & (_ROWS - 1)
        total[0] += weights[row, 0]
        if kind == oc.LEVEL:
            add_to(total, 1, weights[row, 1], weights[row, 2])
            add_to(total, 3, weights[row, 3], weights[row, 4])
        elif kind == oc.SLOPE:
            total[1] += weights[row, 1]
            total[2] += weights[row, 2]
        sums[place * width : (place + 1) * width] = total[:width]


@inner
def build_sheets(time: Ints, mask: Words, cols: Ints, kinds: Ints, first: int, sheets: int, memory: Ints) -> None:
    """Build the sheets [first, sheets) of a summary, where it has any kind that needs them."""
    start = memory[FRACTIONS]
    if start == 0 or first >= sheets:
        return
    order, spare, starts = np.empty(_ROWS, np.int64), np.empty(_ROWS, np.int64), np.empty(_ROWS + 1, np.int64)
    weights = np.empty((_ROWS, LEVEL_SUMS), np.int64)
    for sheet in range(first, sheets):
        low = sheet << SHEET_BITS
        _sort(time, low, order, spare, starts)
        for place in range(_ROWS):
            memory[start + low + place] = order[place] >> SHEET_BITS
        for number in range(len(kinds)):
            own = kinds[number]
            if own[K_SUMS] > 0:
                width = LEVEL_SUMS if own[K_KIND] == oc.LEVEL else SLOPE_SUMS if own[K_KIND] == oc.SLOPE else BELOW_SUMS
                _weigh_rows(time, mask, cols, low, own, weights)
                _sum_sheet(own[K_KIND], order, weights, memory[own[K_SUMS] + low * width :])


@inlined
def _weigh(kind: int, second: int, value: int, before: int, late: Ints) -> None:
    """Add one row of a level, whose fraction is greater than the moment's."""
    if kind == oc.LEVEL_BELOW:
        late[L_SUMS] += before - value
        return
    crossed, squared = product(before - value, second), sub(product(before, before), product(value, value))
    weight = wide(before - value)
    add_to(late, L_SUMS, weight[0], weight[1])
    add_to(late, L_SUMS + 2, crossed[0], crossed[1])
    add_to(late, L_SUMS + 4, squared[0], squared[1])


@inner
def _late_row(time: Ints, mask: Words, cols: Ints, row: int, own: Ints, fraction: int, late: Ints) -> None:
    """Add a row."""
    value = cols[own[K_COLUMN], row]
    if value == NULL or not keeps(mask, row, own[K_CONDITION]):
        return
    second = time[row] // _SECOND
    greater = time[row] - second * _SECOND > fraction
    kind = own[K_KIND]
    if kind == oc.SLOPE:
        if greater:
            late[L_SUMS] += 1
            late[L_SUMS + 1] += second
            late[L_SUMS + 2] += value
        return
    if kind == oc.LEVEL_BELOW:
        value = 1 if value < own[K_THRESHOLD] else 0
    if greater:
        _weigh(kind, second, value, late[L_HELD], late)
    late[L_HELD] = value


@inner
def _late_sheet(sheet: int, own: Ints, fraction: int, node: Ints, memory: Ints, late: Ints) -> None:
    """Add a whole sheet, of whose rows a node tells."""
    if node[oc.COUNT] == 0:
        return
    kind = own[K_KIND]
    start = memory[FRACTIONS] + (sheet << SHEET_BITS)
    low, high = 0, _ROWS
    while low < high:
        middle = (low + high) >> 1
        if memory[start + middle] <= fraction:
            low = middle + 1
        else:
            high = middle
    if low < _ROWS:
        width = LEVEL_SUMS if kind == oc.LEVEL else SLOPE_SUMS if kind == oc.SLOPE else BELOW_SUMS
        at = own[K_SUMS] + ((sheet << SHEET_BITS) + low) * width
        if kind == oc.LEVEL:
            weight = wide(memory[at])
            add_to(late, L_SUMS, weight[0], weight[1])
            add_to(late, L_SUMS + 2, memory[at + 1], memory[at + 2])
            add_to(late, L_SUMS + 4, memory[at + 3], memory[at + 4])
        else:
            for item in range(width):
                late[L_SUMS + item] += memory[at + item]
    if kind == oc.SLOPE:
        return
    second = node[oc.FIRST_TIME] // _SECOND
    if late[L_HELD] != 0 and node[oc.FIRST_TIME] - second * _SECOND > fraction:
        _weigh(kind, second, 0, late[L_HELD], late)
    value = node[oc.LAST]
    if kind == oc.LEVEL_BELOW:
        value = 1 if value < own[K_THRESHOLD] else 0
    late[L_HELD] = value


@inner
def add_late(
    time: Ints,
    mask: Words,
    cols: Ints,
    low: int,
    high: int,
    own: Ints,
    fraction: int,
    nodes: Ints,
    sheets: int,
    memory: Ints,
    late: Ints,
) -> None:
    """Add the rows [low, high) to sums over those with a greater fraction of a second.

    Args:
        time: int64[n].
        mask: uint64[n, words].
        cols: int64[columns, n].
        low: The first row.
        high: The row after the last.
        own: int64[KIND_WIDTH], the kind of nodes.
        fraction: The moment's fraction of a second, µs.
        nodes: int64[sheets, NODE_WIDTH], the sheets' nodes.
        sheets: How many sheets are built.
        memory: The summary.
        late: int64[LATE_WIDTH], the sums, changed in place; the value before the first row counts as 0.
    """
    row = low
    while row < high:
        if row & (_ROWS - 1) == 0 and row + _ROWS <= min(high, sheets << SHEET_BITS):
            _late_sheet(row >> SHEET_BITS, own, fraction, nodes[row >> SHEET_BITS], memory, late)
            row += _ROWS
        else:
            _late_row(time, mask, cols, row, own, fraction, late)
            row += 1


@inner
def late_sums(
    time: Ints,
    mask: Words,
    cols: Ints,
    low: int,
    high: int,
    skip: int,
    own: Ints,
    fraction: int,
    nodes: Ints,
    sheets: int,
    memory: Ints,
    before: Ints,
    late: Ints,
) -> None:
    """Write the sums of the rows [low, high) without ``skip`` into ``late``.

    Of rows that follow those summed before at an equal fraction, only the new ones are looked at.

    Args:
        time: As for `add_late`, like all that is not named here.
        mask: As there.
        cols: As there.
        low: As there.
        high: As there.
        skip: A row left out, -1 none.
        own: As there.
        fraction: As there.
        nodes: As there.
        sheets: As there.
        memory: As there.
        before: int64[LATE_WAYS, LATE_WIDTH], what was summed before, kept up to date.
        late: int64[LATE_WIDTH], written.
    """
    stop = skip if low <= skip < high else high
    found = -1
    for way in range(LATE_WAYS):
        reached = before[way, L_REACHED]
        if before[way, L_LOW] == low and before[way, L_FRACTION] == fraction and 0 < reached <= stop:
            found = way
    if found < 0:
        found = before[0, L_NEXT]
        before[0, L_NEXT] = (found + 1) % LATE_WAYS
        before[found, :L_NEXT] = 0
        before[found, L_LOW] = low
        before[found, L_FRACTION] = fraction
        before[found, L_REACHED] = low
    add_late(time, mask, cols, before[found, L_REACHED], stop, own, fraction, nodes, sheets, memory, before[found])
    before[found, L_REACHED] = stop
    late[:] = before[found]
    if stop < high:
        add_late(time, mask, cols, stop + 1, high, own, fraction, nodes, sheets, memory, late)
