"""Keys that come and go, each with a weight: how many there are, and the greatest weight of one.

A store is an int64 array of zeros at first: a table of slots (a key's number and 1, 0 where empty), the keys by number,
how many rows have each, and for weights a tree whose leaves are the keys' and whose nodes hold the greater of two. A
weight is kept with its sign flipped, so that 0 is less than any, and compared without a sign.
"""

from __future__ import annotations

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.kernels.apart import inlined, inner
from streamgauge.features.kernels.ordered import R_COUNT, R_KIND, R_ROOM, R_TOTAL, R_USED

Ints = NDArray[np.int64]


@inner
def _number(head: Ints, store: Ints, key: int) -> int:
    """Return the number of a key, a new one if need be; -1 where there is no room."""
    room = head[R_ROOM]
    slots = 2 * room - 1
    slot = int(np.int64((uint64(key) * uint64(0x9E3779B97F4A7C15)) >> uint64(32))) & slots
    while store[slot] != 0:
        if store[2 * room + store[slot] - 1] == key:
            return store[slot] - 1  # type: ignore[no-any-return]
        slot = (slot + 1) & slots
    number = head[R_USED]
    if number == room:
        return -1
    head[R_USED] += 1
    store[slot] = number + 1
    store[2 * room + number] = key
    return number  # type: ignore[no-any-return]


@inner
def count_key(head: Ints, store: Ints, key: int, weight: int, sign: int) -> bool:
    """Add a row of a key (sign 1) or take one off (sign -1); False where there is no room for the key."""
    number, room = _number(head, store, key), head[R_ROOM]
    if number < 0:
        return False
    before = store[3 * room + number]
    store[3 * room + number] = before + sign
    if head[R_KIND] == oc.DISTINCT:
        if before == 0 or before + sign == 0:
            head[R_COUNT] += sign
        return True
    head[R_COUNT] += sign
    head[R_TOTAL] += sign * weight
    tree = 4 * room
    node = room + number
    held = 0 if before == 0 else store[tree + node] ^ NULL
    store[tree + node] = 0 if before + sign == 0 else (held + sign * weight) ^ NULL
    while node > 1:
        node >>= 1
        one, other = store[tree + 2 * node], store[tree + 2 * node + 1]
        greater = one if uint64(one) > uint64(other) else other
        if store[tree + node] == greater:
            break
        store[tree + node] = greater
    return True


@inlined
def greatest_weight(head: Ints, store: Ints) -> int:
    """Return the greatest weight of a key, NULL where there is no key."""
    return store[4 * head[R_ROOM] + 1] ^ NULL  # type: ignore[no-any-return]


@inner
def clear_keys(head: Ints, store: Ints) -> None:
    """Take out every key."""
    room, used = head[R_ROOM], head[R_USED]
    if used == 0:
        return
    store[: 2 * room] = 0
    store[3 * room : 3 * room + used] = 0
    if head[R_KIND] == oc.TOP_SHARE:
        first, last = room, room + used - 1
        while first > 0:
            store[4 * room + first : 4 * room + last + 1] = 0
            first >>= 1
            last >>= 1
    head[R_USED] = 0
