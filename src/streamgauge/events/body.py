"""A refused event's body: its JSON text, bounded, whatever it is."""

from __future__ import annotations

import json
from typing import Final

from streamgauge.events.values import shown

BODY_CHARACTERS: Final = 262_145
"""One more than the quarantine keeps, so that it can tell what was cut."""


def body_of(event: object) -> str:
    """Return an event as text for the quarantine: JSON, or as it came where it was no JSON, cut at 256 KiB.

    >>> body_of({"stream": "Movement", "amount": float("nan")})
    '{"stream": "Movement", "amount": NaN}'
    >>> body_of(b"{broken")
    '{broken'
    """
    if isinstance(event, (bytes, bytearray)):
        return bytes(event[:BODY_CHARACTERS]).decode("utf-8", "backslashreplace")[:BODY_CHARACTERS]
    if isinstance(event, str):
        return event[:BODY_CHARACTERS]
    try:
        return json.dumps(event, ensure_ascii=False, default=plain)[:BODY_CHARACTERS]
    except (RecursionError, TypeError, ValueError):  # too deep, circular, or a number too long to print
        return shown(event)


def plain(value: object) -> str:
    """Return the text of a value that JSON has no form for, as a frame may hold one."""
    return str(value) if type(value).__module__ in {"datetime", "decimal"} else shown(value)
