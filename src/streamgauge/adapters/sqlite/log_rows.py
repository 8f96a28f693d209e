"""A record as a row of the log: compact, and with a checksum over everything in it."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.errors import LogDamaged
from streamgauge.events.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamgauge.events.record import NewRecord

Row = tuple[int, str, int, bytes]
"""Position, entity, hash of the id, body."""

_CHECK_BYTES: Final = 4
_encode: Final = msgspec.msgpack.Encoder().encode


class _Body(msgspec.Struct, array_like=True, gc=False):
    """What a row's body holds, in MessagePack."""

    schema: int
    event_id: str
    event_time: int
    sequence: int
    revision: int
    op: int
    units: bytes
    texts: bytes
    digest: bytes
    accepted_at: int
    known_at: int
    imported: bool


_decode: Final = msgspec.msgpack.Decoder(_Body).decode


def id_hash(stream: str, event_id: str) -> int:
    """Return the 32 bits by which the index finds an event among its entity's records.

    >>> id_hash("Movement", "m-1")
    217702900
    """
    return zlib.crc32(event_id.encode(), zlib.crc32(stream.encode()))


def row_of(record: Record) -> Row:
    """Return the row that keeps a record."""
    body = _encode(
        (
            record.schema,
            record.event_id,
            record.event_time,
            record.sequence,
            record.revision,
            record.op,
            record.units,
            record.texts,
            record.digest,
            record.accepted_at,
            record.known_at,
            record.imported,
        )
    )
    check = _check(record.position, record.entity, body)
    return record.position, record.entity, id_hash(record.stream, record.event_id), body + check


def record_of(position: int, entity: str, body: bytes, streams: Mapping[int, str]) -> Record:
    """Return the record that a row keeps.

    Args:
        position: The row's position.
        entity: The row's entity.
        body: The row's body.
        streams: The name of the stream of each schema number.

    Raises:
        LogDamaged: The row is not what was written.
    """
    try:
        if body[-_CHECK_BYTES:] != _check(position, entity, body[:-_CHECK_BYTES]):
            raise damaged(position)
        kept = _decode(body[:-_CHECK_BYTES])
        stream = streams[kept.schema]
    except (TypeError, AttributeError, KeyError, msgspec.DecodeError):
        raise damaged(position) from None
    return Record(
        position,
        stream,
        entity,
        kept.event_id,
        kept.event_time,
        kept.sequence,
        kept.revision,
        kept.op,
        kept.schema,
        kept.units,
        kept.texts,
        kept.digest,
        kept.accepted_at,
        kept.known_at,
        kept.imported,
    )


def accepted(new: NewRecord, position: int, schema: int, accepted_at: int, known_at: int) -> Record:
    """Return a new record with what the log gives it."""
    return Record(
        position,
        new.stream,
        new.entity,
        new.event_id,
        new.event_time,
        new.sequence,
        new.revision,
        new.op,
        schema,
        new.units,
        new.texts,
        new.digest,
        accepted_at,
        known_at,
        new.declared_known_at is not None,
    )


def _check(position: int, entity: str, body: bytes) -> bytes:
    """Return the checksum over all that a row means."""
    return zlib.crc32(body, zlib.crc32(entity.encode(), position & 0xFFFFFFFF)).to_bytes(_CHECK_BYTES, "little")


def damaged(position: int) -> LogDamaged:
    """Return the error of a row that is not what was written."""
    return LogDamaged(
        f"The record at position {position} of the event log is not what was written. "
        "Stop the engine and restore the log from a backup."
    )
