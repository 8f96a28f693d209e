"""CRC-32 of parts of an array, as `zlib.crc32` computes it, for kernels that let go of the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
from llvmlite import ir
from numba import int64, njit, types, uint64
from numba.extending import intrinsic
from numpy.typing import NDArray

_POLYNOMIAL: Final = 0xEDB88320
_ALL: Final = np.uint64(0xFFFFFFFF)
_BYTE: Final = np.uint64(0xFF)
_STRIDE: Final = 16

PADDING: Final = 8
"""How many bytes behind its last one `word_at` may read."""


def _tables() -> NDArray[np.uint32]:
    """Return what each byte adds to a checksum, by how many bytes follow it: uint32[16 · 256]."""
    tables = np.zeros((_STRIDE, 256), np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        tables[0, byte] = value
    for later in range(1, _STRIDE):
        before = tables[later - 1]
        tables[later] = (before >> np.uint32(8)) ^ tables[0][before & np.uint32(0xFF)]
    return tables.ravel()


_TABLES: Final = _tables()


def _word_at(typingctx: Any, address: Any) -> Any:  # noqa: ANN401, ARG001 - Numba's protocol

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401, ARG001
        return builder.load(builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()), align=1)

    return types.uint64(types.int64), build


word_at: Callable[[Any], Any] = cast("Callable[[Any], Any]", intrinsic(_word_at))
"""Returns the 8 bytes at an address, which need not be aligned, as a little-endian uint64."""


@njit(types.uint64(types.int64, types.int64, types.uint64), cache=True, nogil=True, error_model="numpy")
def crc32(address: int, length: int, start: int) -> int:
    """Return the CRC-32 of the bytes at an address, after that of what comes before them (0 for nothing).

    Source: Kounavis and Berry 2008, Novel Table Lookup-Based Algorithms for High-Performance CRC Generation.
    """
    value = uint64(start) ^ _ALL
    at = int64(0)
    tables = _TABLES
    while at + _STRIDE <= length:
        first = word_at(address + at)
        second = word_at(address + at + 8)
        # What does not wait for the value before comes first, and is done meanwhile.
        rest = uint64(0)
        for item in range(8):
            rest ^= uint64(tables[uint64((7 - item) * 256) | ((second >> uint64(8 * item)) & _BYTE)])
        for item in range(4, 8):
            rest ^= uint64(tables[uint64((15 - item) * 256) | ((first >> uint64(8 * item)) & _BYTE)])
        first ^= value
        value = uint64(0)
        for item in range(4):
            value ^= uint64(tables[uint64((15 - item) * 256) | ((first >> uint64(8 * item)) & _BYTE)])
        value ^= rest
        at += _STRIDE
    while at < length:
        value = (value >> uint64(8)) ^ uint64(tables[(value ^ word_at(address + at)) & _BYTE])
        at += 1
    return value ^ _ALL  # type: ignore[return-value]
