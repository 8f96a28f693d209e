"""Columns of int64 as few bytes: the least value once, then each value's distance from it in as many bytes as all need.

Null is distance 0. Event times are packed by their steps. A column whose values are all equal takes no bytes an event.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import int64, njit, types, uint64
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.block import CAPACITY, COUNT, FOLDED_FIRST, HEAD
from streamgauge.features.kernels.apart import inner
from streamgauge.features.kernels.opcodes import FOLD_WIDTH

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

_VALUES: Final = 0
_STEPS: Final = 1

LEAST_BYTES: Final = 9
"""What each column takes beside its values: the least one, and how many bytes a value has."""


@inner
def _put(out: Bytes, at: int, value: int, width: int) -> int:
    rest = uint64(value)
    for i in range(width):
        out[at + i] = np.uint8(rest & uint64(0xFF))
        rest >>= uint64(8)
    return at + width


@inner
def _get(data: Bytes, at: int, width: int) -> int:
    value = uint64(0)
    for i in range(width - 1, -1, -1):
        value = (value << uint64(8)) | uint64(data[at + i])
    return int64(value)  # type: ignore[return-value]


@inner
def _pack(values: Ints, start: int, step: int, n: int, steps: int, out: Bytes, at: int) -> int:
    """Pack ``n`` values, each ``step`` items behind the one before, or with ``steps`` their steps; return the end."""
    least = NULL
    greatest = NULL
    nulls = False
    before = 0
    for i in range(n):
        value = values[start + i * step]
        if steps:
            value, before = value - before, value
            if i == 0:
                at = _put(out, at, value, 8)
                continue
        if value == NULL:
            nulls = True
        elif least == NULL:
            least = value
            greatest = value
        else:
            least = min(least, value)
            greatest = max(greatest, value)
    width = 0
    if least == NULL:
        width = 0  # all null: the least value says so
    elif nulls or greatest != least:
        span = uint64(greatest) - uint64(least) + uint64(1)
        while span != uint64(0):
            width += 1
            span >>= uint64(8)
    out[at] = width
    at = _put(out, at + 1, least, 8)
    before = values[start]
    for i in range(1 if steps else 0, n):
        value = values[start + i * step]
        if steps:
            value, before = value - before, value
        if width:
            at = _put(out, at, 0 if value == NULL else int64(uint64(value) - uint64(least) + uint64(1)), width)
    return at


@inner
def _unpack(data: Bytes, at: int, n: int, steps: int, values: Ints, start: int, step: int) -> int:
    before = 0
    if steps and n:
        before = _get(data, at, 8)
        at += 8
        values[start] = before
    width = int(data[at])
    least = _get(data, at + 1, 8)
    at += LEAST_BYTES
    for i in range(1 if steps else 0, n):
        value = least
        if width:
            distance = _get(data, at, width)
            at += width
            value = NULL if distance == 0 else int64(uint64(least) + uint64(distance) - uint64(1))  # type: ignore[assignment]
        if steps:
            value += before
            before = value
        values[start + i * step] = value
    return at


@njit(
    types.int64(types.int64[::1], types.int64, types.int64, types.int64, types.uint8[::1]),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def pack_block(block: Ints, words: int, columns: int, folds: int, out: Bytes) -> int:
    """Write a block's events and accumulators as bytes, and return how many.

    Args:
        block: The block.
        words: How many words its masks have.
        columns: How many columns it has.
        folds: How many accumulators are written: all it has, or 0 before one is used.
        out: uint8[≥ `packed_bound`].
    """
    n = block[COUNT]
    capacity = block[CAPACITY]
    kept = (block.shape[0] - HEAD - capacity * (2 + words + columns)) // FOLD_WIDTH
    at = _put(out, 0, block[FOLDED_FIRST], 8)
    for item in range(folds * FOLD_WIDTH):
        at = _put(out, at, block[HEAD + item], 8)
    start = HEAD + kept * FOLD_WIDTH
    at = _pack(block, start, 1, n, _STEPS, out, at)
    at = _pack(block, start + capacity, 1, n, _VALUES, out, at)
    for word in range(words):
        at = _pack(block, start + 2 * capacity + word, words, n, _VALUES, out, at)
    for column in range(columns):
        at = _pack(block, start + (2 + words + column) * capacity, 1, n, _VALUES, out, at)
    return at


@njit(
    types.int64(
        types.Array(types.uint8, 1, "C", readonly=True),
        types.int64,
        types.int64,
        types.int64,
        types.int64,
        types.int64,
        types.int64[::1],
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def unpack_block(data: Bytes, at: int, n: int, words: int, columns: int, folds: int, block: Ints) -> int:
    """Fill a new block with ``n`` events from bytes, and return where they end.

    Args:
        data: uint8[≥ at], what `pack_block` wrote.
        at: Where it begins.
        n: How many events there are; the block has room for them.
        words: How many words its masks have.
        columns: How many columns it has.
        folds: How many accumulators were written.
        block: A new block.
    """
    capacity = block[CAPACITY]
    kept = (block.shape[0] - HEAD - capacity * (2 + words + columns)) // FOLD_WIDTH
    block[COUNT] = n
    block[FOLDED_FIRST] = _get(data, at, 8)
    at += 8
    for item in range(folds * FOLD_WIDTH):
        block[HEAD + item] = _get(data, at, 8)
        at += 8
    start = HEAD + kept * FOLD_WIDTH
    at = _unpack(data, at, n, _STEPS, block, start, 1)
    at = _unpack(data, at, n, _VALUES, block, start + capacity, 1)
    for word in range(words):
        at = _unpack(data, at, n, _VALUES, block, start + 2 * capacity + word, words)
    for column in range(columns):
        at = _unpack(data, at, n, _VALUES, block, start + (2 + words + column) * capacity, 1)
    return at


def packed_bound(words: int, columns: int, folds: int, events: int) -> int:
    """Return the most bytes that `pack_block` writes."""
    return 16 + 8 * folds * FOLD_WIDTH + (2 + words + columns) * (LEAST_BYTES + 8 * events)
