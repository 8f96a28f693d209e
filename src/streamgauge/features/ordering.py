"""Rows brought together by entity, and into the order of the stream, in linear time where they nearly are in it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from streamgauge.events import array_types as ty

Ints = NDArray[np.int64]

_RUN: Final = 12
"""So many rows are sorted by insertion before runs are merged."""


@njit(ty.NONE(ty.READ_INTS, ty.INTS), cache=True, nogil=True, error_model="numpy")
def _count(entity: Ints, offsets: Ints) -> None:
    for row in range(len(entity)):
        offsets[entity[row] + 1] += 1
    for number in range(1, len(offsets)):
        offsets[number] += offsets[number - 1]


@njit(ty.NONE(ty.READ_INTS, ty.READ_INTS, ty.INTS), cache=True, nogil=True, error_model="numpy")
def _place(entity: Ints, offsets: Ints, order: Ints) -> None:
    upcoming = offsets[:-1].copy()
    for row in range(len(entity)):
        order[upcoming[entity[row]]] = row
        upcoming[entity[row]] += 1


def group_rows(entity: Ints, entities: int) -> tuple[Ints, Ints]:
    """Return the rows of each entity together, in the order they came in, and where each entity's begin.

    Args:
        entity: int64[n], each row's entity, from 0.
        entities: How many entities there are.

    Returns:
        int64[n] and int64[entities + 1].

    >>> group_rows(np.array([1, 0, 1]), 2)
    (array([1, 0, 2]), array([0, 1, 3]))
    """
    offsets, order = np.zeros(entities + 1, np.int64), np.empty(len(entity), np.int64)
    _count(entity, offsets)
    _place(entity, offsets, order)
    return order, offsets


@njit(cache=True, nogil=True, error_model="numpy")
def take_rows(column: Ints, rows: Ints, field: int, out: Ints) -> None:
    """Write some rows of a column into a column of ``out``, int64[n, fields]."""
    for place in range(len(rows)):
        out[place, field] = column[rows[place]]


@njit(cache=True, nogil=True, error_model="numpy")
def ranks_in(order: Ints, ranks: Ints) -> None:
    """Write the place of each row in an order."""
    for place in range(len(order)):
        ranks[order[place]] = place


@njit(cache=True, nogil=True, error_model="numpy")
def ascend(first: Ints, second: Ints, third: Ints, fourth: Ints) -> bool:
    """Return whether rows ascend by four columns, the first weighing most; rows that are equal in all may follow."""
    for row in range(1, len(first)):
        if first[row] != first[row - 1]:
            if first[row] < first[row - 1]:
                return False
        elif second[row] != second[row - 1]:
            if second[row] < second[row - 1]:
                return False
        elif third[row] != third[row - 1]:
            if third[row] < third[row - 1]:
                return False
        elif fourth[row] < fourth[row - 1]:
            return False
    return True


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _after(time: Ints, sequence: Ints, a: int, b: int) -> bool:
    """Return whether row a comes after row b, being none of its ties."""
    return time[a] > time[b] or (time[a] == time[b] and sequence[a] > sequence[b])  # type: ignore[no-any-return]


@njit(cache=True, nogil=True, error_model="numpy")
def _sort(time: Ints, sequence: Ints, order: Ints, spare: Ints) -> None:
    """Sort the rows of an entity, stably: short runs by insertion, then runs merged where they overlap."""
    n = len(order)
    for low in range(0, n, _RUN):
        for item in range(low + 1, min(low + _RUN, n)):
            row = order[item]
            at = item
            while at > low and _after(time, sequence, order[at - 1], row):
                order[at] = order[at - 1]
                at -= 1
            order[at] = row
    size = _RUN
    while size < n:
        for low in range(0, n - size, 2 * size):
            middle, high = low + size, min(low + 2 * size, n)
            if not _after(time, sequence, order[middle - 1], order[middle]):
                continue
            spare[low:middle] = order[low:middle]
            left, right, to = low, middle, low
            while left < middle:
                if right < high and _after(time, sequence, spare[left], order[right]):
                    order[to] = order[right]
                    right += 1
                else:
                    order[to] = spare[left]
                    left += 1
                to += 1
        size *= 2


@njit(cache=True, nogil=True, error_model="numpy")
def _sort_late(time: Ints, sequence: Ints, order: Ints, spare: Ints) -> None:
    """Sort the rows of an entity, stably: those that came late by themselves, then in among the others."""
    n = len(order)
    kept, late = 0, 0
    for item in range(n):
        row = order[item]
        if kept > 0 and _after(time, sequence, order[kept - 1], row):
            spare[late] = row
            late += 1
        else:
            order[kept] = row
            kept += 1
    _sort(time, sequence, spare[:late], order[kept:])
    while late > 0:
        # Of rows that tie, the one that came first is the lesser number.
        a, b = order[kept - 1], spare[late - 1]
        if kept > 0 and (_after(time, sequence, a, b) or (a > b and not _after(time, sequence, b, a))):
            order[kept + late - 1] = a
            kept -= 1
        else:
            order[kept + late - 1] = b
            late -= 1


@njit(types.boolean(ty.READ_INTS, ty.READ_INTS, ty.READ_INTS, ty.INTS), cache=True, nogil=True, error_model="numpy")
def order_rows(offsets: Ints, time: Ints, sequence: Ints, order: Ints) -> bool:
    """Write each entity's rows in the order of time and sequence, stably; return whether any two tie.

    Args:
        offsets: int64[entities + 1], where each entity's rows begin.
        time: int64[n].
        sequence: int64[n].
        order: int64[n], overwritten.
    """
    spare = np.empty(len(order), np.int64)
    tied = False
    for entity in range(len(offsets) - 1):
        start, stop = offsets[entity], offsets[entity + 1]
        falls = 0
        for row in range(start, stop):
            order[row] = row
        for row in range(start + 1, stop):
            falls += time[row] <= time[row - 1]
        if falls == 0:
            continue
        _sort_late(time, sequence, order[start:stop], spare[start:stop])
        for item in range(start + 1, stop):
            a, b = order[item - 1], order[item]
            tied = tied or (time[a] == time[b] and sequence[a] == sequence[b])
    return tied
