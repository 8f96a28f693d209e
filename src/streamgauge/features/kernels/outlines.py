"""The outlines of many encoded states at once: who can tell, and where each packed block begins.

It reads what `streamgauge.features.codec` writes, and takes nothing that is not as it was written.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import int64, njit, types, uint64
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.checksums import crc32, word_at
from streamgauge.features.kernels.apart import inner

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

BLOCK_WIDTH: Final = 4
B_STREAM: Final = 0
B_EVENTS: Final = 1
B_FOLDED: Final = 2
B_AT: Final = 3

_MAGIC: Final = np.uint64(int.from_bytes(b"SGS\x02", "little"))
_WORD: Final = np.uint64(0xFFFFFFFF)
_PREFIX: Final = 12
_SCALARS: Final = 4
_DAMAGED: Final = -1


@inner
def _big_endian(data: Bytes, at: int, width: int) -> int:
    value = uint64(0)
    for i in range(width):
        value = (value << uint64(8)) | uint64(data[at + i])
    return int64(value)  # type: ignore[return-value]


@inner
def _measure(data: Bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return where the body of a MessagePack value begins, how many bytes it has and how many values follow in it.

    The beginning is -1 where it is none of those that a state's header has.
    """
    if at >= end:
        return _DAMAGED, 0, 0
    tag = int64(data[at])
    if tag < 0x80 or tag >= 0xE0 or 0xC0 <= tag <= 0xC3:  # noqa: PLR2004 - MessagePack's tags
        return at + 1, 0, 0
    if tag < 0x90:  # noqa: PLR2004
        return at + 1, 0, 2 * (tag & 15)
    if tag < 0xA0:  # noqa: PLR2004
        return at + 1, 0, tag & 15
    if tag < 0xC0:  # noqa: PLR2004
        return at + 1, tag & 31, 0
    if 0xCC <= tag <= 0xD3:  # noqa: PLR2004
        return at + 1, 1 << (tag & 3), 0
    width = 0
    if 0xC4 <= tag <= 0xC6:  # noqa: PLR2004
        width = 1 << (tag - 0xC4)
    elif 0xD9 <= tag <= 0xDB:  # noqa: PLR2004
        width = 1 << (tag - 0xD9)
    elif tag >= 0xDC:  # noqa: PLR2004
        width = 2 << (tag & 1)
    if width == 0 or at + 1 + width > end:
        return _DAMAGED, 0, 0
    size = _big_endian(data, at + 1, width)
    if tag < 0xDC:  # noqa: PLR2004
        return at + 1 + width, size, 0
    return at + 1 + width, 0, size if tag < 0xDE else 2 * size  # noqa: PLR2004


@inner
def _behind(data: Bytes, at: int, end: int, values: int) -> int:
    """Return where some values end that begin at a byte, -1 where they do not end before ``end``."""
    while values > 0:
        begin, size, more = _measure(data, at, end)
        at = begin + size
        if begin < 0 or size < 0 or more < 0 or at > end:
            return _DAMAGED
        values += more - 1
    return at


@inner
def _integer(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return an integer or a truth, and where it ends; -1 where it is neither."""
    begin, size, _ = _measure(data, at, end)
    if begin < 0 or begin + size > end:
        return 0, _DAMAGED
    tag = int64(data[at])
    if tag < 0x80:  # noqa: PLR2004 - MessagePack's tags
        return tag, begin
    if tag >= 0xE0:  # noqa: PLR2004
        return tag - 256, begin
    if tag in (0xC2, 0xC3):
        return tag - 0xC2, begin
    if not 0xCC <= tag <= 0xD3:  # noqa: PLR2004
        return 0, _DAMAGED
    value = _big_endian(data, begin, size)
    if tag >= 0xD0 and size < 8:  # noqa: PLR2004
        half = int64(1) << (8 * size - 1)
        value = (value ^ half) - half  # type: ignore[assignment]
    return value, begin + size


@inner
def _array(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return how many values an array has and where the first begins; -1 where it is no array."""
    begin, _, more = _measure(data, at, end)
    if begin < 0:
        return 0, _DAMAGED
    tag = int64(data[at])
    return (more, begin) if 0x90 <= tag < 0xA0 or tag in (0xDC, 0xDD) else (0, _DAMAGED)  # noqa: PLR2004


@inner
def _is(data: Bytes, at: int, other: Bytes, low: int, high: int) -> bool:
    for i in range(high - low):  # noqa: SIM110 - Numba has no generators
        if data[at + i] != other[low + i]:
            return False
    return True


@inner
def _number(data: Bytes, at: int, size: int, names: Bytes, ends: Ints) -> int:
    """Return which of the names lies at a byte, -1 for none."""
    low = 0
    for number in range(len(ends)):
        if ends[number] - low == size and _is(data, at, names, low, ends[number]):
            return number
        low = ends[number]
    return -1


@inner
def _outline(
    data: Bytes,
    address: int,
    at: int,
    end: int,
    digest: Bytes,
    names: Bytes,
    ends: Ints,
    horizons: Ints,
    t: int,
    up_to: int,
    blocks: Ints,
    count: int,
) -> int:
    """Append a state's blocks to those there are and return how many there are then; -1 where it cannot tell."""
    if end - at < _PREFIX or word_at(address + at) & _WORD != _MAGIC:
        return _DAMAGED
    if crc32(address + at + 8, end - at - 8, 0) != word_at(address + at + 4) & _WORD:
        return _DAMAGED
    first = at + _PREFIX + int64(word_at(address + at + 8) & _WORD)
    if first > end:
        return _DAMAGED
    fields, at = _array(data, at + _PREFIX, first)
    if at < 0 or fields <= _SCALARS:
        return _DAMAGED
    begin, size, _ = _measure(data, at, first)
    if begin < 0 or size != len(digest) or begin + size > first or not _is(data, begin, digest, 0, size):
        return _DAMAGED
    position, at = _integer(data, begin + size, first)
    if at < 0 or position > up_to:
        return _DAMAGED
    at = _behind(data, at, first, 2)
    if at < 0:
        return _DAMAGED
    streams, at = _array(data, at, first)
    for _ in range(streams):
        if at < 0:
            return _DAMAGED
        own, at = _array(data, at, first)
        if at < 0 or own < _SCALARS:
            return _DAMAGED
        begin, size, _ = _measure(data, at, first)
        if begin < 0 or begin + size > first:
            return _DAMAGED
        number = _number(data, begin, size, names, ends)
        at = _behind(data, begin + size, first, 1)
        events, at = _integer(data, at, first)
        if at < 0:
            return _DAMAGED
        folded, at = _integer(data, at, first)
        if at < 0 or (number >= 0 and folded != NULL and t < folded + horizons[number]):
            return _DAMAGED
        at = _behind(data, at, first, own - _SCALARS)
        if number >= 0 and (events > 0 or folded != NULL):
            if count == len(blocks):
                return _DAMAGED
            blocks[count, B_STREAM] = number
            blocks[count, B_EVENTS] = events
            blocks[count, B_FOLDED] = 1 if folded != NULL else 0
            blocks[count, B_AT] = first
            count += 1
    return count


@njit(
    types.int64(
        types.Array(types.uint8, 1, "C", readonly=True),
        types.int64,
        types.int64[::1],
        types.int64[::1],
        types.Array(types.uint8, 1, "C", readonly=True),
        types.Array(types.uint8, 1, "C", readonly=True),
        types.int64[::1],
        types.int64[::1],
        types.int64,
        types.int64,
        types.int64[:, ::1],
        types.int64[::1],
        types.boolean[::1],
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def outlines(
    data: Bytes,
    address: int,
    starts: Ints,
    ends: Ints,
    digest: Bytes,
    names: Bytes,
    name_ends: Ints,
    horizons: Ints,
    t: int,
    up_to: int,
    blocks: Ints,
    firsts: Ints,
    found: NDArray[np.bool_],
) -> int:
    """Find the packed blocks of states that can tell, and return how many states those are.

    A state cannot that is damaged or of another layout, knows a record after the cut, or has folded what the moment
    needs.

    Args:
        data: uint8[…], the states, and `PADDING` bytes behind them.
        address: Where it lies.
        starts: int64[states], where each begins.
        ends: int64[states], where each ends; an empty one cannot tell.
        digest: uint8[32], the layout's.
        names: uint8[…], the names of the layout's streams one behind another.
        name_ends: int64[streams], where each ends.
        horizons: int64[streams], the longest window of each, µs.
        t: The moment, µs.
        up_to: The position of the cut.
        blocks: int64[≥ states · streams, BLOCK_WIDTH], written: each block's stream, events, whether accumulators are
            packed, and where the first block of its state begins.
        firsts: int64[states + 1], written: the first block of each state that can tell, and how many blocks there are.
        found: bool[states], written: which states can tell.
    """
    count = 0
    told = 0
    firsts[0] = 0
    for state in range(len(starts)):
        after = _outline(
            data, address, starts[state], ends[state], digest, names, name_ends, horizons, t, up_to, blocks, count
        )
        found[state] = after >= 0
        if after >= 0:
            count = after
            told += 1
            firsts[told] = count
    return told
