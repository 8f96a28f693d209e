"""Pages of entries in order of their keys, each read in a transaction of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from streamgauge.adapters.lmdb.values import CHECK, entity_of, state_of
from streamgauge.features.checksums import PADDING, crc32, word_at
from streamgauge.features.packed_states import PackedStates, StatePage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import lmdb

    Read: TypeAlias = Callable[[Callable[[lmdb.Transaction], Any]], Any]

Ints = NDArray[np.int64]

_KEYS: Final = 1_000
_STATES: Final = 2_000
_BYTES: Final = 1 << 21
_HASHED: Final = b"\xff"


def entities(read: Read, db: lmdb._Database) -> Iterator[str]:
    """Yield the keys of all entities."""
    start = b""
    while True:
        page = read(partial(_keys, db=db, start=start))
        yield from (name for key, value in page if (name := entity_of(key, value)) is not None)
        if len(page) < _KEYS:
            return
        start = page[-1][0] + b"\0"


def states(read: Read, db: lmdb._Database, prefix: str) -> Iterator[StatePage]:
    """Yield the states of all entities whose keys begin so: those with keys that LMDB keeps by their hashes last."""
    for key, pack in ((prefix.encode(), _packed), (_HASHED, _named)):
        start = key
        while True:
            keys, values = read(partial(_entries, db=db, start=start, prefix=key))
            if not keys:
                break
            page = pack(keys, values, prefix)
            if page.keys:
                yield page
            start = keys[-1] + b"\0"


def _keys(txn: lmdb.Transaction, db: lmdb._Database, start: bytes) -> list[tuple[bytes, bytes]]:
    cursor = txn.cursor(db=db)
    page: list[tuple[bytes, bytes]] = []
    if cursor.set_range(start) if start else cursor.first():
        for key, value in cursor.iternext():
            page.append((bytes(key), bytes(value) if key[:1] == _HASHED else b""))
            if len(page) >= _KEYS:
                break
    return page


def _entries(txn: lmdb.Transaction, db: lmdb._Database, start: bytes, prefix: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the next entries whose keys begin so: not too many, and not too many bytes."""
    cursor = txn.cursor(db=db)
    keys: list[bytes] = []
    values: list[bytes] = []
    size = 0
    if cursor.set_range(start):
        for entry, value in cursor.iternext():
            key = bytes(entry)
            if not key.startswith(prefix) or len(keys) >= _STATES or size >= _BYTES:
                break
            keys.append(key)
            values.append(bytes(value))
            size += len(value)
    return keys, values


def _packed(keys: list[bytes], values: list[bytes], prefix: str) -> StatePage:  # noqa: ARG001 - as `_named`
    """Return a page of states, each checked."""
    data = np.frombuffer(b"".join([*values, bytes(PADDING)]), np.uint8)
    names = PackedStates.of(keys)
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
    starts = np.empty_like(ends)
    states = PackedStates(data, starts, ends)
    _find_sound(names.address, names.ends, states.address, ends, starts)
    return StatePage([key.decode("utf-8", "replace") for key in keys], states)


def _named(keys: list[bytes], values: list[bytes], prefix: str) -> StatePage:
    """Return a page of states whose entities are spelled in their values, each checked."""
    found = [(entity_of(key, value), state_of(key, value)) for key, value in zip(keys, values, strict=True)]
    own = [(name, state) for name, state in found if name is not None and name.startswith(prefix)]
    return StatePage([name for name, _ in own], PackedStates.of([state for _, state in own]))


@njit(
    types.void(types.int64, types.int64[::1], types.int64, types.int64[::1], types.int64[::1]),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def _find_sound(keys: int, key_ends: Ints, values: int, ends: Ints, starts: Ints) -> None:
    """Find where states begin behind their checks: where they end, for those that are not as they were written.

    Args:
        keys: The address of the keys.
        key_ends: int64[n], where each ends.
        values: The address of the values.
        ends: int64[n], where each ends.
        starts: int64[n], written.
    """
    key, value = 0, 0
    for number in range(len(ends)):
        end = ends[number]
        body = value + CHECK
        starts[number] = end
        if body <= end:
            check = crc32(values + body, end - body, crc32(keys + key, key_ends[number] - key, 0))
            if check == word_at(values + value) & 0xFFFFFFFF:
                starts[number] = body
        key, value = key_ends[number], end
