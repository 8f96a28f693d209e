"""Levels: a step function of time, where a value holds until the next row replaces it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.kernels.apart import inner
from streamgauge.features.kernels.int128 import add, mul, product, wide
from streamgauge.features.kernels.moments import keeps
from streamgauge.features.kernels.opcodes import (
    BELOW,
    COUNT,
    CROSS_HIGH,
    CROSS_LOW,
    GREATEST,
    LAST,
    LAST_TIME,
    LEAST,
    SECONDS,
    SQUARES_HIGH,
    SQUARES_LOW,
    SUM_HIGH,
    SUM_LOW,
)


@inner
def carried(
    mask: NDArray[np.uint64],
    cols: NDArray[np.int64],
    before: int,
    skip: int,
    condition: int,
    column: int,
    folds: NDArray[np.int64],
    fold: int,
) -> int:
    """Return the last value set by the rows before ``before``, folded ones included; NULL if none."""
    for row in range(before - 1, -1, -1):
        if row != skip and keeps(mask, row, condition) and cols[column, row] != NULL:
            return cols[column, row]  # type: ignore[no-any-return]
    return folds[fold, LAST] if folds[fold, COUNT] > 0 else NULL


@inner
def weigh(rows: NDArray[np.int64], at: int, value: int, older: int, newer: int) -> None:
    """Add a value that held from age ``older`` to age ``newer``, in seconds."""
    weight = older - newer
    total = add((rows[at + SUM_HIGH], rows[at + SUM_LOW]), product(value, weight))
    squares = add((rows[at + SQUARES_HIGH], rows[at + SQUARES_LOW]), mul(product(value, value), wide(weight)))
    cross = add((rows[at + CROSS_HIGH], rows[at + CROSS_LOW]), product(value, older * older - newer * newer))
    rows[at + SUM_HIGH] = total[0]
    rows[at + SUM_LOW] = total[1]
    rows[at + SQUARES_HIGH] = squares[0]
    rows[at + SQUARES_LOW] = squares[1]
    rows[at + CROSS_HIGH] = cross[0]
    rows[at + CROSS_LOW] = cross[1]
    rows[at + SECONDS] += weight
    rows[at + LEAST] = value if rows[at + COUNT] == 0 else min(rows[at + LEAST], value)
    rows[at + GREATEST] = value if rows[at + COUNT] == 0 else max(rows[at + GREATEST], value)
    rows[at + COUNT] += 1


@inner
def level(
    time: NDArray[np.int64],
    mask: NDArray[np.uint64],
    cols: NDArray[np.int64],
    low: int,
    high: int,
    skip: int,
    condition: int,
    column: int,
    held: int,
    width: int,
    t: int,
    rows: NDArray[np.int64],
    at: int,
) -> None:
    """Write at ``rows[at:]`` the level's SECONDS L, S1 (SUM), S2 (SQUARES), Σv(a²−b²) (CROSS), least and greatest.

    ``held`` is the value carried into the window, NULL if none; COUNT is how many values held.
    """
    for item in range(COUNT, SECONDS + 1):
        rows[at + item] = 0
    start = width // 1_000_000
    since = NULL
    for row in range(low, high):
        if row == skip or not keeps(mask, row, condition) or cols[column, row] == NULL:
            continue
        now = time[row]
        age = (t - now) // 1_000_000
        if held != NULL and now != since:
            weigh(rows, at, held, start, age)
        held = cols[column, row]
        since = now
        start = age
    if held != NULL:
        weigh(rows, at, held, start, 0)


@inner
def level_below(
    time: NDArray[np.int64],
    mask: NDArray[np.uint64],
    cols: NDArray[np.int64],
    low: int,
    high: int,
    skip: int,
    condition: int,
    column: int,
    held: int,
    width: int,
    t: int,
    threshold: int,
    rows: NDArray[np.int64],
    at: int,
) -> None:
    """Write at ``rows[at:]`` for how many seconds the level lay BELOW the threshold and when it last ceased to.

    COUNT is 0 where no value was ever set; LAST is 1 while the level is below, LAST_TIME the end in µs of the newest
    interval below, NULL if none ended in the window.
    """
    seconds = 0
    ended = NULL
    start = width // 1_000_000
    since = NULL
    for row in range(low, high):
        if row == skip or not keeps(mask, row, condition) or cols[column, row] == NULL:
            continue
        now = time[row]
        age = (t - now) // 1_000_000
        if held != NULL and now != since and held < threshold:
            seconds += start - age
            ended = now
        held = cols[column, row]
        since = now
        start = age
    below = held != NULL and held < threshold
    rows[at + COUNT] = 0 if held == NULL else 1
    rows[at + BELOW] = seconds + start if below else seconds
    rows[at + LAST] = 1 if below else 0
    rows[at + LAST_TIME] = ended
