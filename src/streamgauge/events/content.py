"""What a record says, in bytes: equal digests mean equal content."""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import Final

import msgspec

HEADER: Final = Struct("<Bqqi")
"""op, event time, sequence and the number of bytes of units, before units and texts."""

DIGEST_BYTES: Final = 16

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[str | None]).decode


def content_digest(op: int, event_time: int, sequence: int, units: bytes, texts: bytes) -> bytes:
    """Return 16 bytes of BLAKE2b over a record's content.

    >>> content_digest(0, 0, 0, b"", b"").hex()
    '99d8b4be6e268be0aee690739062d9db'
    """
    return blake2b(HEADER.pack(op, event_time, sequence, len(units)) + units + texts, digest_size=DIGEST_BYTES).digest()


def encode_texts(texts: list[str | None]) -> bytes:
    """Return the texts of a stream's text fields as one MessagePack array, empty where it has none."""
    return _encode(texts) if texts else b""


def decode_texts(encoded: bytes) -> list[str | None]:
    """Return the texts of a stream's text fields in order.

    >>> decode_texts(encode_texts(["acme", None]))
    ['acme', None]
    """
    return _decode(encoded) if encoded else []
