"""Which ids a segment may hold: so that looking up one that never came reads no segment."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streamgauge.events.batch import RecordBatch

Keys: TypeAlias = NDArray[np.uint64]

SUFFIX: Final = ".ids"
_HEADER: Final = struct.Struct("<8sQQ")
_MAGIC: Final = b"sg-ids-1"


class IdFilter:
    """The hashes of (entity, event id) of a segment, sorted; a file beside it that can be made again from it.

    Args:
        keys: uint64[n], ascending.

    >>> found = IdFilter(np.array([1, 7], np.uint64))
    >>> found.may_hold("account:A", "m-1"), found.may_hold_entity("account:A")
    (False, False)
    """

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    @staticmethod
    def keys_of(batch: RecordBatch) -> Keys:
        """Return the hash of each record's entity and id, uint64[n]."""
        entity = np.array([zlib.crc32(key.encode()) for key in batch.entities], np.uint64)
        ids = batch.event_id.tolist()
        event = np.fromiter(map(zlib.crc32, ids), np.uint64, len(ids))
        keys: Keys = (entity[batch.owner] << np.uint64(32)) | event
        return keys

    @classmethod
    def of(cls, parts: Sequence[Keys]) -> Self:
        """Return the filter of a segment's batches."""
        return cls(np.sort(np.concatenate([np.empty(0, np.uint64), *parts])))

    def may_hold(self, entity: str, event_id: str) -> bool:
        """Return False where an entity surely has no event of that id."""
        key = np.uint64((zlib.crc32(entity.encode()) << 32) | zlib.crc32(event_id.encode()))
        at = int(np.searchsorted(self.keys, key))
        return at < len(self.keys) and bool(self.keys[at] == key)

    def may_hold_entity(self, entity: str) -> bool:
        """Return False where there is surely no event of an entity."""
        first = zlib.crc32(entity.encode()) << 32
        at = int(np.searchsorted(self.keys, np.uint64(first)))
        return at < len(self.keys) and int(self.keys[at]) >> 32 == first >> 32

    @classmethod
    def write(cls, segment: Path, parts: Sequence[Keys]) -> None:
        """Write the filter beside its segment; it need not be durable, for it is checked when it is read."""
        data = cls.of(parts).keys.tobytes()
        path = segment.with_suffix(SUFFIX)
        path.write_bytes(_HEADER.pack(_MAGIC, len(data) // 8, zlib.crc32(data)) + data)

    @classmethod
    def read(cls, segment: Path, rows: int) -> Self | None:
        """Return the filter of a segment of so many rows, None where its file is missing or not what was written."""
        try:
            data = segment.with_suffix(SUFFIX).read_bytes()
        except OSError:
            return None
        if len(data) != _HEADER.size + 8 * rows:
            return None
        magic, count, check = _HEADER.unpack_from(data)
        if (magic, count, check) != (_MAGIC, rows, zlib.crc32(data[_HEADER.size :])):
            return None
        return cls(np.frombuffer(data, np.uint64, offset=_HEADER.size))
