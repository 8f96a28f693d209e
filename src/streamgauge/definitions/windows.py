"""Durations, windows and moments as a user writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from streamgauge.definitions.place import Place, here, refuse
from streamgauge.definitions.specs import WindowSpec

SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND
LONGEST: Final = 10_000 * DAY
"""The longest window; ages within it stay below 2**30 seconds, which the 128-bit bounds of the kernel count on."""
LARGEST_N: Final = 2**23 - 1
"""The most live events an entity may have in one stream."""

_UNITS: Final = {"s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": DAY, "w": 7 * DAY}
_DURATION: Final = re.compile(r"([0-9]{1,12})([smhdw])")
_LAST: Final = re.compile(r"last ([1-9][0-9]{0,8})")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ANCHOR: Final = re.compile(r"(?:(\w{3}) )?([0-9]{2}):([0-9]{2}) UTC")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MONDAY: Final = 4 * DAY


@dataclass(frozen=True, slots=True)
class Window:
    """A parsed window: its spec, how it is written, and whether its reach is still to be said."""

    spec: WindowSpec
    text: str
    place: Place

    @property
    def needs_reach(self) -> bool:
        """Whether it is a ``last n`` without a reach."""
        return self.spec.kind == "last" and self.spec.width_us == 0

    @property
    def suffix(self) -> str:
        """What the window adds to a feature's name in a list of windows."""
        return "_" + self.text.replace(" ", "_")


def parse_duration(
    text: object, what: str, *, place: Place | None = None, zero: bool = False, argument: str = ""
) -> int:
    """Return a duration (``"30d"``; s, m, h, d, w) in µs.

    Raises:
        DefinitionError: It is no duration, is zero where it may not be, or is longer than 10,000 days.

    >>> parse_duration("2h", "lateness")
    7200000000
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise refuse(
            f'{what} {text!r} is no duration. Write a whole number and a unit: "45s", "10m", "2h", "30d" or "4w".',
            place,
            argument=argument,
        )
    value = int(match[1]) * _UNITS[match[2]]
    if value == 0 and not zero:
        raise refuse(f"{what} {text!r} must be longer than nothing.", place, argument=argument)
    if value > LONGEST:
        raise refuse(f"{what} {text!r} is longer than 10000d, the longest that is exact.", place, argument=argument)
    return value


def parse_window(text: object, reach: str | None) -> Window:
    """Return the window of an aggregate: a duration, ``"last n"`` or ``"life"``.

    Raises:
        DefinitionError: It is none of them.
    """
    place = here()
    if text == "life":
        return Window(WindowSpec("life"), "life", place)
    match = _LAST.fullmatch(text) if isinstance(text, str) else None
    if match is not None:
        n = int(match[1])
        if n > LARGEST_N:
            raise refuse(f"Window {text!r} takes more events than an entity may have in a stream ({LARGEST_N}).")
        width = 0 if reach is None else parse_duration(reach, "reach", argument="reach")
        return Window(WindowSpec("last", width, n), match[0], place)
    if isinstance(text, str) and _DURATION.fullmatch(text):
        return Window(WindowSpec("duration", parse_duration(text, "Window")), text, place)
    raise refuse(
        f'Window {text!r} is not understood. Write a duration ("45s", "10m", "2h", "30d", "4w"), "last 3" or "life".',
        argument="over",
    )


def parse_moment(text: object, what: str, *, argument: str = "") -> int:
    """Return an ISO 8601 moment with its offset (``"2005-11-01T00:00:00Z"``) in µs since the epoch.

    Raises:
        DefinitionError: It is no moment, or has no offset.

    >>> parse_moment("1970-01-01T00:00:01Z", "until")
    1000000
    """
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise refuse(f'{what} {text!r} is no moment. Write it like "2005-11-01T00:00:00Z".', argument=argument)
    if moment.tzinfo is None:
        raise refuse(f'{what} {text!r} has no offset. Write "{text}Z" if it is UTC.', argument=argument)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def parse_anchor(text: object) -> int:
    """Return one moment of a grid from ``"Mon 00:00 UTC"``, ``"00:00 UTC"`` or an ISO 8601 moment, in µs.

    Raises:
        DefinitionError: It is none of them.

    >>> parse_anchor("Mon 06:30 UTC") == parse_moment("1970-01-05T06:30:00Z", "anchor")
    True
    """
    match = _ANCHOR.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        if isinstance(text, str) and re.match(r"[0-9]{4}-", text):
            return parse_moment(text, "anchor", argument="anchor")
        raise refuse(
            f'anchor {text!r} is not understood. Write "Mon 00:00 UTC", "00:00 UTC" or "2024-01-01T00:00:00Z".',
            argument="anchor",
        )
    day, hour, minute = match[1], int(match[2]), int(match[3])
    if day is not None and day not in _DAYS:
        raise refuse(f"anchor {text!r} has no known weekday: {', '.join(_DAYS)}.", argument="anchor")
    if hour > 23 or minute > 59:  # noqa: PLR2004 - the clock's face
        raise refuse(f"anchor {text!r} has no time of day between 00:00 and 23:59.", argument="anchor")
    start = 0 if day is None else _FIRST_MONDAY + _DAYS.index(day) * DAY
    return start + (hour * 60 + minute) * 60 * SECOND
