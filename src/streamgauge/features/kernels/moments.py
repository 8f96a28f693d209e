"""Moments of rows: count, ΣS, Σx², least, greatest, first and last, in one pass, exactly.

A summary of older rows merges before one of newer rows; accumulators of folded events are such summaries.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types, uint64
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.kernels.apart import inlined
from streamgauge.features.kernels.int128 import add, product
from streamgauge.features.kernels.opcodes import (
    COUNT,
    FIRST,
    FIRST_TIME,
    FOLD_WIDTH,
    GREATEST,
    LAST,
    LAST_TIME,
    LEAST,
    SQUARES_HIGH,
    SQUARES_LOW,
    SUM,
)


@inlined
def keeps(mask: NDArray[np.uint64], row: int, condition: int) -> bool:
    """Return whether a row meets a condition; -1 keeps all."""
    if condition < 0:
        return True
    return (mask[row, condition >> 6] >> uint64(condition & 63)) & uint64(1) != uint64(0)  # type: ignore[no-any-return]


@inlined
def moments(
    time: NDArray[np.int64],
    mask: NDArray[np.uint64],
    cols: NDArray[np.int64],
    low: int,
    high: int,
    skip: int,
    condition: int,
    column: int,
    rows: NDArray[np.int64],
    at: int,
) -> None:
    """Write at ``rows[at:]`` the moments of the rows [low, high) without ``skip`` that the condition keeps.

    With a column, rows where it is null drop; without one each row counts and its value is 0.
    """
    count = 0
    total = 0
    squares = (0, 0)
    least = 0
    greatest = 0
    first = -1
    last = -1
    value = 0
    for row in range(low, high):
        if row == skip or not keeps(mask, row, condition):
            continue
        if column >= 0:
            value = cols[column, row]
            if value == NULL:
                continue
            total += value
            squares = add(squares, product(value, value))
            if count == 0 or value < least:
                least = value
            if count == 0 or value > greatest:
                greatest = value
        if count == 0:
            first = row
        last = row
        count += 1
    rows[at + COUNT] = count
    rows[at + SUM] = total
    rows[at + SQUARES_HIGH] = squares[0]
    rows[at + SQUARES_LOW] = squares[1]
    rows[at + LEAST] = least
    rows[at + GREATEST] = greatest
    if count > 0:
        rows[at + FIRST_TIME] = time[first]
        rows[at + FIRST] = cols[column, first] if column >= 0 else 0
        rows[at + LAST_TIME] = time[last]
        rows[at + LAST] = cols[column, last] if column >= 0 else 0


@njit(cache=True, nogil=True, error_model="numpy")
def merge_before(older: NDArray[np.int64], fold: int, rows: NDArray[np.int64], at: int) -> None:
    """Merge the summary ``older[fold]`` of older rows into the one at ``rows[at:]`` of newer rows."""
    if older[fold, COUNT] == 0:
        return
    if rows[at + COUNT] == 0:
        for item in range(FOLD_WIDTH):
            rows[at + item] = older[fold, item]
        return
    squares = add(
        (older[fold, SQUARES_HIGH], older[fold, SQUARES_LOW]), (rows[at + SQUARES_HIGH], rows[at + SQUARES_LOW])
    )
    rows[at + COUNT] += older[fold, COUNT]
    rows[at + SUM] += older[fold, SUM]
    rows[at + SQUARES_HIGH] = squares[0]
    rows[at + SQUARES_LOW] = squares[1]
    rows[at + LEAST] = min(rows[at + LEAST], older[fold, LEAST])
    rows[at + GREATEST] = max(rows[at + GREATEST], older[fold, GREATEST])
    rows[at + FIRST_TIME] = older[fold, FIRST_TIME]
    rows[at + FIRST] = older[fold, FIRST]


@njit(cache=True, nogil=True, error_model="numpy")
def fold_into(folds: NDArray[np.int64], fold: int, time: int, value: int) -> None:
    """Add the next event, in the stream's order, to an accumulator: its time and its value (0 without a column)."""
    if folds[fold, COUNT] == 0:
        folds[fold, LEAST] = value
        folds[fold, GREATEST] = value
        folds[fold, FIRST_TIME] = time
        folds[fold, FIRST] = value
    squares = add((folds[fold, SQUARES_HIGH], folds[fold, SQUARES_LOW]), product(value, value))
    folds[fold, COUNT] += 1
    folds[fold, SUM] += value
    folds[fold, SQUARES_HIGH] = squares[0]
    folds[fold, SQUARES_LOW] = squares[1]
    folds[fold, LEAST] = min(folds[fold, LEAST], value)
    folds[fold, GREATEST] = max(folds[fold, GREATEST], value)
    folds[fold, LAST_TIME] = time
    folds[fold, LAST] = value


_INTS1 = types.Array(types.int64, 1, "C", readonly=True)
_INTS2 = types.Array(types.int64, 2, "C", readonly=True)
_MASK = types.Array(types.uint64, 2, "C", readonly=True)


@njit(
    types.void(_INTS1, _MASK, _INTS2, types.int64, _INTS2, types.int64[:, ::1]),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def fold_events(
    time: NDArray[np.int64],
    mask: NDArray[np.uint64],
    cols: NDArray[np.int64],
    count: int,
    fold_table: NDArray[np.int64],
    folds: NDArray[np.int64],
) -> None:
    """Add the oldest ``count`` events of a stream to its accumulators; the caller then drops them.

    Args:
        time: int64[n], µs.
        mask: uint64[n, words].
        cols: int64[columns, n].
        count: How many events leave.
        fold_table: int64[folds, 2], `StreamLayout.fold_table`.
        folds: int64[folds, FOLD_WIDTH], changed in place.
    """
    for fold in range(fold_table.shape[0]):
        condition = fold_table[fold, 0]
        column = fold_table[fold, 1]
        for row in range(count):
            if not keeps(mask, row, condition):
                continue
            value = cols[column, row] if column >= 0 else 0
            if value != NULL:
                fold_into(folds, fold, time[row], value)
