"""Keys and values of the LMDB file: each value behind a checksum over its key and itself."""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, Final

import lmdb
import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_KEY: Final = 500
CHECK: Final = 4
"""How many bytes of a value are its checksum."""

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(list[bytes])


def packed(bodies: Sequence[bytes]) -> bytes:
    """Return some entries of the outbox as one value."""
    return _ENCODER.encode(bodies)


def bodies_of(key: bytes, value: bytes) -> list[bytes]:
    """Return the entries of a value of the outbox, none where it is not the one that was written."""
    body = sound(key, value)
    return [] if body is None else _DECODER.decode(body)


def big(number: int) -> bytes:
    """Return a number as eight bytes that sort as it does."""
    return number.to_bytes(8, "big")


def checked(key: bytes, value: bytes) -> bytes:
    """Return a value behind its checksum, which is over the key too: no value passes under another key."""
    return zlib.crc32(value, zlib.crc32(key)).to_bytes(CHECK, "little") + value


def sound(key: bytes, value: bytes) -> bytes | None:
    """Return a value without its checksum, None where it is not the one that was written under the key."""
    body = value[CHECK:]
    return body if value[:CHECK] == zlib.crc32(body, zlib.crc32(key)).to_bytes(CHECK, "little") else None


def read_number(txn: lmdb.Transaction, db: lmdb._Database, key: bytes) -> int:
    """Return a number that was stored, 0 where there is none.

    Raises:
        CorruptedError: It is not what was written.
    """
    value = txn.get(key, db=db)
    if value is None:
        return 0
    number = sound(key, bytes(value))
    if number is None:
        raise lmdb.CorruptedError(f"its {key.decode()} is not what was written")
    return int.from_bytes(number, "big")


def key_of(entity: str) -> bytes:
    """Return the entity itself, or 0xFF (which begins no UTF-8 text) and a hash where it is longer than LMDB's keys."""
    key = entity.encode()
    return key if len(key) <= _LONGEST_KEY else b"\xff" + hashlib.blake2b(key, digest_size=32).digest()


def value_of(key: bytes, entity: str, state: bytes) -> bytes:
    """Return the value that keeps a state."""
    if key[:1] != b"\xff":
        return checked(key, state)
    name = entity.encode()
    return checked(key, len(name).to_bytes(4, "big") + name + state)


def state_of(key: bytes, value: bytes) -> bytes | None:
    """Return the state that a value keeps, None where it is not the one that was written."""
    body = sound(key, value)
    if body is None or key[:1] != b"\xff":
        return body
    return body[4 + int.from_bytes(body[:4], "big") :]


def entity_of(key: bytes, value: bytes) -> str | None:
    """Return the entity of an entry, None where it is spelled in a value that is not the one that was written."""
    if key[:1] != b"\xff":
        return key.decode("utf-8", "replace")
    body = sound(key, value)
    return None if body is None else body[4 : 4 + int.from_bytes(body[:4], "big")].decode()
