"""How a row of a file came: what its import declared of its arrival."""

from __future__ import annotations

from typing import Final

import msgspec


class Arrival(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a file's row needs beside itself to be validated again; a live row declares nothing.

    Attributes:
        known_after_us: How long after its event time it became known, µs.
        column: The column that says when it became known.
        known_at_us: When it became known, µs.
    """

    known_after_us: int | None = None
    column: str | None = None
    known_at_us: int | None = None

    @property
    def declared(self) -> bool:
        """Whether it came as history."""
        return self != LIVE


LIVE: Final = Arrival()
"""Of a row that is known now."""
