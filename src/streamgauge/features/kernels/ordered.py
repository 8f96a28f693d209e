"""Values in order, that come and go: any of them by its rank. They lie in chunks, each sorted, under a directory.

A store is an int64 array: the directory (chunks in order), how many values each chunk has, the free chunks, and the
chunks. Its head says how many chunks are in the directory, how many are free and how many were ever used.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.features.kernels.apart import inlined, inner

Ints = NDArray[np.int64]

CHUNK: Final = 256
"""How many values a chunk has room for."""

# A pass that rolls along (`streamgauge.features.kernels.rolls`): which group it serves, whether its store tells of the
# rows [low, high), how often in a row it did not, how many rows it keeps, their sum, how many numbers or chunks are
# used, how many chunks are free and were ever used, and where the store begins and its room: of keys, or of chunks.
R_KIND: Final = 0
R_CONDITION: Final = 1
R_COLUMN: Final = 2
R_KEY: Final = 3
R_SPAN: Final = 4
R_WIDTH: Final = 5
R_N: Final = 6
ROLL_KEY: Final = 7
R_ALIVE: Final = 7
R_LOW: Final = 8
R_HIGH: Final = 9
R_MISSES: Final = 10
R_COUNT: Final = 11
R_TOTAL: Final = 12
R_USED: Final = 13
R_FREE: Final = 14
R_EVER: Final = 15
R_STORE: Final = 16
R_ROOM: Final = 17
ROLL_WIDTH: Final = 18


@inlined
def _take(head: Ints, store: Ints) -> int:
    """Return a chunk without values, -1 where there is none."""
    room = head[R_ROOM]
    if head[R_FREE] > 0:
        head[R_FREE] -= 1
        chunk = store[2 * room + head[R_FREE]]
    elif head[R_EVER] < room:
        chunk = head[R_EVER]
        head[R_EVER] += 1
    else:
        return -1
    store[room + chunk] = 0
    return chunk  # type: ignore[no-any-return]


@inlined
def _find(head: Ints, store: Ints, value: int) -> int:
    """Return the place in the directory of the first chunk whose greatest value is not less; the last if none is."""
    room = head[R_ROOM]
    low, high = 0, head[R_USED] - 1
    while low < high:
        middle = (low + high) >> 1
        chunk = store[middle]
        if store[3 * room + chunk * CHUNK + store[room + chunk] - 1] < value:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def _first_not_less(store: Ints, start: int, size: int, value: int) -> int:
    low, high = start, start + size
    while low < high:
        middle = (low + high) >> 1
        if store[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@inner
def _put_value(head: Ints, store: Ints, value: int) -> bool:
    """Add a value; False where there is no room, and nothing of the store is of any worth then."""
    room = head[R_ROOM]
    if head[R_USED] == 0:
        store[0] = _take(head, store)
        head[R_USED] = 1
    place = _find(head, store, value)
    chunk = store[place]
    if store[room + chunk] == CHUNK:
        fresh = _take(head, store)
        if fresh < 0:
            return False
        half = CHUNK // 2
        low, new = 3 * room + chunk * CHUNK + half, 3 * room + fresh * CHUNK
        for i in range(half):
            store[new + i] = store[low + i]
        store[room + chunk] = half
        store[room + fresh] = half
        for i in range(head[R_USED], place + 1, -1):
            store[i] = store[i - 1]
        store[place + 1] = fresh
        head[R_USED] += 1
        if value > store[low - 1]:
            chunk = fresh
    start, size = 3 * room + chunk * CHUNK, store[room + chunk]
    at = _first_not_less(store, start, size, value)
    for i in range(start + size, at, -1):
        store[i] = store[i - 1]
    store[at] = value
    store[room + chunk] += 1
    head[R_TOTAL] += 1
    return True


@inner
def _drop_value(head: Ints, store: Ints, value: int) -> None:
    """Take out a value that is there."""
    room = head[R_ROOM]
    place = _find(head, store, value)
    chunk = store[place]
    start, size = 3 * room + chunk * CHUNK, store[room + chunk]
    for i in range(_first_not_less(store, start, size, value), start + size - 1):
        store[i] = store[i + 1]
    store[room + chunk] = size - 1
    head[R_TOTAL] -= 1
    if size == 1:
        for i in range(place, head[R_USED] - 1):
            store[i] = store[i + 1]
        head[R_USED] -= 1
        store[2 * room + head[R_FREE]] = chunk
        head[R_FREE] += 1


@inner
def value_at(head: Ints, store: Ints, rank: int) -> int:
    """Return the value of a rank, 0 for the least."""
    room = head[R_ROOM]
    place = 0
    while rank >= store[room + store[place]]:
        rank -= store[room + store[place]]
        place += 1
    return store[3 * room + store[place] * CHUNK + rank]  # type: ignore[no-any-return]


@inner
def change_value(head: Ints, store: Ints, value: int, sign: int) -> bool:
    """Add a value (sign 1), or take one out (sign -1); False where there is no room."""
    if sign > 0:
        return _put_value(head, store, value)
    _drop_value(head, store, value)
    return True
