"""Which entities roll, and when events enter: the first of an entity's moments that sees each."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamgauge.events import array_types as ty
from streamgauge.features.kernels.apart import inner

Ints = NDArray[np.int64]


@njit(
    ty.NONE(ty.READ_INTS, ty.READ_INTS, ty.READ_INTS, ty.READ_FLAGS, ty.READ_INTS, ty.READ_INTS, ty.FLAGS),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def find_rolling(
    offsets: Ints,
    event: Ints,
    key: Ints,
    live: NDArray[np.bool_],
    moment_offsets: Ints,
    moment_t: Ints,
    rolls: NDArray[np.bool_],
) -> None:
    """Set which entities roll, as far as can be seen without the order of arrival."""
    for entity in range(len(offsets) - 1):
        start = offsets[entity]
        bad = 0
        for row in range(start, offsets[entity + 1]):
            bad |= (event[row] ^ (row - start)) | (key[row] ^ (row - start)) | (not live[row])
        for moment in range(moment_offsets[entity] + 1, moment_offsets[entity + 1]):
            bad |= moment_t[moment] < moment_t[moment - 1]
        rolls[entity] = bad == 0


@inner
def enter(
    order: Ints,
    row_first: Ints,
    row_second: Ints,
    time: Ints,
    rank: Ints,
    start: int,
    stop: int,
    moment_first: Ints,
    moment_second: Ints,
    t: Ints,
    entry: Ints,
    starts: Ints,
    entering: Ints,
) -> bool:
    """Write for each event, in the stream's order, the first moment that sees it; the moments' number if none does.

    And by moment, as `by_moment` does. Returns whether events enter in the stream's order.
    """
    count = len(t)
    moment = 0
    straight = True
    future = False
    starts[0] = 0
    for item in range(start, stop):
        row = order[item]
        while moment < count and (
            moment_first[moment] < row_first[row]
            or (moment_first[moment] == row_first[row] and moment_second[moment] < row_second[row])
        ):
            moment += 1
            starts[moment] = item - start
        seen = moment
        if seen < count and t[seen] < time[row]:
            future = True
            high = count
            while seen < high:
                middle = (seen + high) >> 1
                if t[middle] < time[row]:
                    seen = middle + 1
                else:
                    high = middle
        event = rank[row] - start
        entry[event] = seen
        entering[item - start] = event
        straight = straight and event == item - start
    starts[moment + 1 : count + 2] = stop - start
    return by_moment(entry, count, starts, entering) if future else straight


@inner
def leave_out(entry: Ints, rank: Ints, start: int, moment_key: Ints, prior: Ints) -> bool:
    """Write when each event enters windows that leave out the observed one: after the moments that observe it.

    False where an event is observed later than that, so that it would have to leave such a window again.
    """
    for event in range(len(entry)):
        prior[event] = entry[event]
    for moment in range(len(moment_key)):
        if moment_key[moment] >= 0:
            event = rank[start + moment_key[moment]] - start
            if prior[event] < moment:
                return False
            if prior[event] == moment:
                prior[event] = moment + 1
    return True


@inner
def by_moment(entry: Ints, moments: int, starts: Ints, entering: Ints) -> bool:
    """Write the events that enter at each moment: ``entering[starts[m]:starts[m + 1]]``, in the stream's order.

    Returns whether events enter in the stream's order.
    """
    starts[: moments + 2] = 0
    for event in range(len(entry)):
        starts[entry[event] + 1] += 1
    for moment in range(1, moments + 2):
        starts[moment] += starts[moment - 1]
    straight = True
    for event in range(len(entry)):
        at = entry[event]
        straight = straight and starts[at] == event
        entering[starts[at]] = event
        starts[at] += 1
    for moment in range(moments + 1, 0, -1):
        starts[moment] = starts[moment - 1]
    starts[0] = 0
    return straight


@inner
def greatest_delay(entry: Ints, time: Ints, t: Ints) -> int:
    """Return how much older an event is at most than a moment before the one that first sees it; -1 if none is."""
    most = -1
    for event in range(len(entry)):
        if entry[event] > 0:
            most = max(most, t[entry[event] - 1] - time[event])
    return most
