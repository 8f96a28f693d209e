"""Packed columns read a word at a time, into the memory of one entity: only what a read of the present needs."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import int64, uint64
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.block import CAPACITY, COUNT, FOLDED_FIRST, HEAD, SUMMARY
from streamgauge.features.checksums import word_at
from streamgauge.features.kernels.apart import inlined, inner
from streamgauge.features.kernels.opcodes import FOLD_WIDTH
from streamgauge.features.packing import LEAST_BYTES

Ints = NDArray[np.int64]

_BYTE: Final = np.uint64(0xFF)
_WORD: Final = 8


@inlined
def _distances(width: int) -> int:
    """Return the mask of a distance of so many bytes."""
    ones = ~uint64(0)
    return ones if width >= _WORD else ~(ones << uint64(8 * width))  # type: ignore[return-value]


@inner
def _fits(address: int, at: int, end: int, values: int) -> bool:
    """Return whether a column of so many values ends where the state does, or before."""
    if at + LEAST_BYTES > end:
        return False
    width = int64(word_at(address + at) & _BYTE)
    return width <= _WORD and at + LEAST_BYTES + width * values <= end  # type: ignore[no-any-return]


@inner
def _behind(address: int, at: int, n: int) -> int:
    return at + LEAST_BYTES + int64(word_at(address + at) & _BYTE) * n  # type: ignore[no-any-return]


@inner
def _values(address: int, at: int, n: int, values: Ints, step: int) -> None:
    """Write a column of values, each ``step`` items behind the one before."""
    width = int64(word_at(address + at) & _BYTE)
    least = int64(word_at(address + at + 1))
    if width == 0:
        for i in range(n):
            values[i * step] = least
        return
    mask = _distances(width)
    before = uint64(least) - uint64(1)
    place = address + at + LEAST_BYTES
    for i in range(n):
        distance = word_at(place + i * width) & mask
        values[i * step] = NULL if distance == uint64(0) else int64(before + distance)


@inner
def _times(address: int, at: int, n: int, values: Ints) -> int:
    """Write event times from their steps, and return where they end."""
    now = int64(word_at(address + at))
    at += 8
    values[0] = now
    width = int64(word_at(address + at) & _BYTE)
    least = int64(word_at(address + at + 1))
    mask = _distances(width)
    before = uint64(least) - uint64(1)
    place = address + at + LEAST_BYTES
    for i in range(1, n):
        distance = word_at(place + (i - 1) * width) & mask
        if width == 0:
            now += least
        else:
            now += NULL if distance == uint64(0) else int64(before + distance)
        values[i] = now
    return at + LEAST_BYTES + width * (n - 1)  # type: ignore[no-any-return]


@inner
def unpack_present(
    address: int, at: int, end: int, n: int, words: int, columns: int, folds: int, kept: int, block: Ints
) -> int:
    """Fill a block with all but the sequences of packed events, and return where they end, -1 where they do not fit.

    Args:
        address: Where the bytes lie; 8 more may be read behind their end.
        at: Where the packed block begins among them.
        end: Where its state ends.
        n: How many events there are.
        words: How many words its masks have.
        columns: How many columns it has.
        folds: How many accumulators the block has.
        kept: How many of them are packed: all or 0.
        block: int64[exactly `streamgauge.features.block.block_size`], written.
    """
    if at + 8 * (1 + kept * FOLD_WIDTH) > end:
        return -1
    block[COUNT] = n
    block[CAPACITY] = n
    block[FOLDED_FIRST] = int64(word_at(address + at))
    block[SUMMARY] = 0
    at += 8
    for item in range(folds * FOLD_WIDTH):
        block[HEAD + item] = int64(word_at(address + at + 8 * item)) if kept > 0 else 0
    at += 8 * kept * FOLD_WIDTH
    start = HEAD + folds * FOLD_WIDTH
    if n > 0:
        if at + 8 > end or not _fits(address, at + 8, end, n - 1):
            return -1
        at = _times(address, at, n, block[start:])
    else:
        at = _behind(address, at, 0)
    for column in range(1 + words + columns):
        if not _fits(address, at, end, n):
            return -1
        if 1 <= column <= words:
            _values(address, at, n, block[start + 2 * n + column - 1 :], words)
        elif column > words:
            _values(address, at, n, block[start + (1 + column) * n :], 1)
        at = _behind(address, at, n)
    return at
