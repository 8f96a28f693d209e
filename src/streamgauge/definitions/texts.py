"""The fixed 64-bit hash that stands for a text in int64 columns."""

from __future__ import annotations

from hashlib import blake2b

from streamgauge.definitions.schema import NULL


def hash_text(text: str) -> int:
    """Return the int64 that stands for a text: BLAKE2b with 8 bytes, little endian, signed; never ``NULL``.

    >>> hash_text("GB")
    -3126136948819313367
    """
    units = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
    return NULL + 1 if units == NULL else units


def open_code(text: str) -> float:
    """Return the float64 that stands for a text of an open category in a finished feature: 52 bits of its hash.

    >>> open_code("GB") == float((hash_text("GB") >> 12) & (2**52 - 1))
    True
    """
    return float((hash_text(text) >> 12) & (2**52 - 1))
