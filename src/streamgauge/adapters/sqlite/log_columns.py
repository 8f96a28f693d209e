"""Rows of the log as columns: many bodies are checked and decoded at once, without an object for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numba import njit

from streamgauge.adapters.sqlite.log_rows import damaged
from streamgauge.events import array_types as ty
from streamgauge.events.batch import NOTHING, NUMBERS, RecordBatch
from streamgauge.events.cells import Bytes, Cells, Ints
from streamgauge.features.ordering import group_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS: Final = "SELECT position, CAST(entity AS BLOB), CAST(body AS BLOB) FROM records"
"""The rows that `batch_of` takes."""

_Plain: TypeAlias = tuple[Bytes, Ints, Ints]
_CHECK_BYTES: Final = 4
_SLICES: Final = 8


def _crc_tables() -> Ints:
    """Return the tables of CRC-32 (zlib's) for eight bytes at a time, int64[8, 256]."""
    tables = np.zeros((_SLICES, 256), np.int64)
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
        tables[0, value] = crc
    for table in range(1, _SLICES):
        tables[table] = (tables[table - 1] >> 8) ^ tables[0, tables[table - 1] & 0xFF]
    return tables


_DIGEST: Final = 8
_DIGEST_BYTES: Final = 16
_TABLES: Final = _crc_tables()

# The body's items and the columns of `NUMBERS` they go to; ids, units, texts and the digest have their own way.
_COLUMN_OF: Final = np.array([1, -1, 2, 3, 4, 5, -1, -1, -1, 6, 7, 8], np.int64)


class RowGatherer:
    """Rows of the log that become one batch, taken some at a time."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._keys: dict[bytes, int] = {}
        self._owners: list[Ints] = []
        self._numbers: list[Ints] = []
        self._places: list[Ints] = []
        self._bodies: list[Bytes] = []
        self._held = 0

    def add(self, rows: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Take some rows of (position, entity, body).

        Raises:
            LogDamaged: A row is not what was written.
        """
        positions, keys, bodies = zip(*rows, strict=True)
        entity, body = Cells.of(keys), Cells.of(bodies)
        numbers = np.empty((len(NUMBERS), len(rows)), np.int64)
        numbers[0] = positions
        places = np.empty((6, len(rows)), np.int64)
        bad = _decode(_plain(entity), _plain(body), _TABLES, numbers, places)
        if bad >= 0:
            raise damaged(positions[bad])
        places[::2] += self._held
        self._held += len(body.data)
        known = self._keys
        self._owners.append(np.array([known.setdefault(key, len(known)) for key in keys], np.int64))
        self._numbers.append(numbers)
        self._places.append(places)
        self._bodies.append(body.data)

    def batch(self, names: frozenset[str] | None = None) -> RecordBatch:
        """Return what was taken, or what is of some entities."""
        if not self._owners:
            return NOTHING
        keys = list(self._keys)
        by_key = sorted(range(len(keys)), key=keys.__getitem__)
        if names is not None:
            by_key = [number for number in by_key if keys[number].decode() in names]
        place = np.full(len(keys), len(by_key), np.int64)
        place[by_key] = np.arange(len(by_key))
        owner = place[np.concatenate(self._owners)]
        numbers = np.concatenate(self._numbers, axis=1)
        places, data = np.concatenate(self._places, axis=1), np.concatenate(self._bodies)
        order, offsets = group_rows(owner, len(by_key) + 1)
        order, offsets = order[: offsets[-2]], offsets[:-1]
        return RecordBatch(
            [keys[number].decode() for number in by_key],
            offsets,
            numbers[:, order],
            *(Cells(data, places[i][order], places[i + 1][order]) for i in (0, 2, 4)),
        )


def batch_of(rows: Sequence[tuple[int, bytes, bytes]]) -> RecordBatch:
    """Return rows of the log, in order of position, as a batch.

    Args:
        rows: (position, entity, body).

    Raises:
        LogDamaged: A row is not what was written.
    """
    gatherer = RowGatherer()
    if rows:
        gatherer.add(rows)
    return gatherer.batch()


def _plain(cells: Cells) -> _Plain:
    return cells.data, cells.start, cells.size


@njit(cache=True, nogil=True)
def _crc(tables: Ints, data: Bytes, first: int, last: int, crc: int) -> int:
    """Return zlib's CRC-32 of some bytes, going on from another."""
    crc ^= 0xFFFFFFFF
    at = first
    while at + 8 <= last:
        crc ^= data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) | (np.int64(data[at + 3]) << 24)
        crc = (
            tables[7, crc & 0xFF]
            ^ tables[6, (crc >> 8) & 0xFF]
            ^ tables[5, (crc >> 16) & 0xFF]
            ^ tables[4, (crc >> 24) & 0xFF]
            ^ tables[3, data[at + 4]]
            ^ tables[2, data[at + 5]]
            ^ tables[1, data[at + 6]]
            ^ tables[0, data[at + 7]]
        )
        at += 8
    while at < last:
        crc = (crc >> 8) ^ tables[0, (crc ^ data[at]) & 0xFF]
        at += 1
    return crc ^ 0xFFFFFFFF


@njit(cache=True, nogil=True)
def _big(data: Bytes, at: int, size: int) -> int:
    """Return an unsigned number, its first byte the greatest."""
    value = 0
    for i in range(size):
        value = (value << 8) | int(data[at + i])
    return value


@njit(cache=True, nogil=True)
def _number(data: Bytes, at: int) -> tuple[int, int]:
    """Return MessagePack's integer or truth value at a place, and where the next begins; -1 where there is none."""
    kind = int(data[at])
    if kind < 0x80:  # noqa: PLR2004 - MessagePack's own numbers, here and below
        return kind, at + 1
    if kind >= 0xE0:  # noqa: PLR2004
        return kind - 256, at + 1
    if kind in (0xC2, 0xC3):
        return kind - 0xC2, at + 1
    if 0xCC <= kind <= 0xCF:  # noqa: PLR2004
        size = 1 << (kind - 0xCC)
        return _big(data, at + 1, size), at + 1 + size
    if 0xD0 <= kind <= 0xD3:  # noqa: PLR2004
        size = 1 << (kind - 0xD0)
        value = _big(data, at + 1, size)
        if size < 8 and value >= 1 << (8 * size - 1):  # noqa: PLR2004
            value -= 1 << (8 * size)
        return value, at + 1 + size
    return 0, -1


@njit(cache=True, nogil=True)
def _bytes(data: Bytes, at: int) -> tuple[int, int]:
    """Return where MessagePack's text or bytes at a place begin, and how many there are; -1 where there are none."""
    kind = int(data[at])
    if 0xA0 <= kind <= 0xBF:  # noqa: PLR2004
        return at + 1, kind - 0xA0
    if 0xC4 <= kind <= 0xC6:  # noqa: PLR2004
        size = 1 << (kind - 0xC4)
    elif 0xD9 <= kind <= 0xDB:  # noqa: PLR2004
        size = 1 << (kind - 0xD9)
    else:
        return 0, -1
    return at + 1 + size, _big(data, at + 1, size)


@njit(cache=True, nogil=True)
def _little(data: Bytes, at: int) -> int:
    """Return the signed number of eight bytes, its first byte the least."""
    value = 0
    for i in range(8):
        value |= int(data[at + i]) << (8 * i)
    return value


@njit(cache=True, nogil=True)
def _sound(entity: _Plain, body: _Plain, tables: Ints, row: int, position: int) -> bool:
    """Return whether a row has the checksum it was written with."""
    first, start = entity[1][row], body[1][row]
    end = start + body[2][row] - _CHECK_BYTES
    if end <= start:
        return False
    check = _crc(tables, entity[0], first, first + entity[2][row], position & 0xFFFFFFFF)
    check = _crc(tables, body[0], start, end, check)
    for i in range(_CHECK_BYTES):
        if body[0][end + i] != (check >> (8 * i)) & 0xFF:
            return False
    return bool(body[0][start] == 0x9C)  # noqa: PLR2004 - an array of twelve


@njit(ty.INT(ty.READ_CELLS, ty.READ_CELLS, ty.READ_INTS2, ty.INTS2, ty.INTS2), cache=True, nogil=True)
def _decode(entity: _Plain, body: _Plain, tables: Ints, numbers: Ints, places: Ints) -> int:
    """Fill columns from bodies; return the first row that is not what was written, or -1."""
    data = body[0]
    for row in range(numbers.shape[1]):
        if not _sound(entity, body, tables, row, numbers[0, row]):
            return row
        at = int(body[1][row]) + 1
        for item in range(12):
            column = _COLUMN_OF[item]
            if column >= 0:
                numbers[column, row], at = _number(data, at)
                if at < 0:
                    return row
                continue
            start, size = _bytes(data, at)
            if size < 0 or (item == _DIGEST and size != _DIGEST_BYTES):
                return row
            at = start + size
            if item == _DIGEST:
                numbers[9, row], numbers[10, row] = _little(data, start), _little(data, start + 8)
            else:
                cell = 0 if item == 1 else 2 * (item - 5)
                places[cell, row], places[cell + 1, row] = start, size
    return -1
