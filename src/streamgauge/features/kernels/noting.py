"""What a summary is told of changes among the events it summarizes."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from streamgauge.features.kernels.fractions import L_REACHED, LATE_WAYS, LATE_WIDTH
from streamgauge.features.kernels.rolls import roll_changed, roll_dropped
from streamgauge.features.kernels.summaries import NOTE
from streamgauge.features.kernels.tree import (
    BLOCK_BITS,
    BUILT,
    J_STOP,
    JOINED,
    JOINED_WAYS,
    JOINED_WIDTH,
    KINDS,
    LATE,
)

Ints = NDArray[np.int64]


@njit(cache=True, nogil=True, error_model="numpy")
def _forget_from(summary: Ints, row: int) -> None:
    """Take the events from a row on for changed."""
    block = row >> BLOCK_BITS
    summary[BUILT] = min(summary[BUILT], block)
    for way in range(summary[KINDS] * JOINED_WAYS):
        at = summary[JOINED] + way * JOINED_WIDTH + J_STOP
        if summary[at] > block:
            summary[at] = 0
    for way in range(summary[KINDS] * LATE_WAYS):
        at = summary[LATE] + way * LATE_WIDTH + L_REACHED
        if summary[at] > row:
            summary[at] = 0


@njit(
    NOTE,
    cache=True,
    nogil=True,
    error_model="numpy",
)
def note_changed(
    summary: Ints, rolls: Ints, time: Ints, mask: NDArray[np.uint64], cols: Ints, row: int, sign: int
) -> None:
    """Note that an event was inserted among others (sign 1), or is going to be removed (sign -1).

    Args:
        summary: The summary.
        rolls: What rolls along with it.
        time: int64[≥ n], with the event.
        mask: uint64[≥ n, words].
        cols: int64[columns, ≥ n].
        row: The event's number.
        sign: Which.
    """
    _forget_from(summary, row)
    roll_changed(rolls, time, mask, cols, row, sign)


@njit(types.void(types.int64[::1], types.int64[::1], types.int64), cache=True, nogil=True, error_model="numpy")
def note_dropped(summary: Ints, rolls: Ints, count: int) -> None:
    """Note that the oldest events were dropped."""
    _forget_from(summary, 0)
    roll_dropped(rolls, count)
