"""Values as they arrive, and the int64 units and microseconds that they mean."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from streamgauge.definitions.schema import NULL, UNIT_LIMIT, FieldKind, FieldSpec
from streamgauge.errors import EventRejected, close_match

ID_BYTES: Final = 256
"""The longest entity or event id, in bytes of UTF-8."""

TEXT_BYTES: Final = 4096
"""The longest category, key or reference, in bytes of UTF-8."""

NUMBER_CHARACTERS: Final = 64
"""The longest text that is read as a number."""

EARLIEST_US: Final = -62_135_596_800_000_000
"""0001-01-01T00:00:00Z."""

LATEST_US: Final = 253_402_300_799_999_999
"""The last microsecond of 9999 in UTC."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

FLAGS: Final = {"true": 1, "True": 1, "TRUE": 1, "1": 1, "false": 0, "False": 0, "FALSE": 0, "0": 0}
"""The texts that a flag is read from."""

_SHOWN: Final = 40
_SAFE_BITS: Final = 256
_NUMBER: Final = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,3}))?")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,12})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def shown(value: object) -> str:
    """Return a value as an error message quotes it: bounded, printable, never the inside of a container.

    >>> shown("x" * 50)
    '"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…"'
    >>> shown([[[]]])
    'an array'
    """
    if isinstance(value, str):
        head = value[:_SHOWN]
        head = head if head.isprintable() else head.encode("unicode_escape").decode()
        return f'"{head}…"' if len(value) > _SHOWN else f'"{head}"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value) if value.bit_length() <= _SAFE_BITS else f"an integer of {value.bit_length()} bits"
    if isinstance(value, (float, Decimal, date)):
        return str(value)[:_SHOWN]
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "an array"
    return f"a {type(value).__name__[:_SHOWN]}"


def parse_decimal(value: object, spec: FieldSpec, place: str = "") -> int:
    """Return the units of a number: a text or integer exactly, a binary float if its shortest form fits the decimals.

    Args:
        value: Text, int, float or Decimal.
        spec: The field, whose `decimals`, `rounds`, `low` and `high` hold.
        place: How messages name the field; its name if empty.

    Raises:
        EventRejected: It is no number (``wrong_type``), has more decimals (``too_precise``), or is ``out_of_range``.

    >>> from streamgauge.definitions.schema import FieldKind, FieldSpec
    >>> parse_decimal("-12.50", FieldSpec("amount", FieldKind.MONEY, decimals=2))
    -1250
    >>> parse_decimal(0.1, FieldSpec("amount", FieldKind.MONEY, decimals=2))
    10
    """
    if isinstance(value, str):
        units = _units_of_text(value, spec, place or spec.name, value)
    elif isinstance(value, float):
        units = _units_of_text(repr(float(value)), spec, place or spec.name, value)
    elif isinstance(value, int) and not isinstance(value, bool):
        units = value * 10**spec.decimals if -UNIT_LIMIT <= value <= UNIT_LIMIT else UNIT_LIMIT + 1
    elif isinstance(value, Decimal):
        units = _units_of_text(str(value), spec, place or spec.name, value)
    else:
        raise _not_a_number(value, spec, place or spec.name)
    low = spec.low if spec.low is not None else -UNIT_LIMIT
    high = spec.high if spec.high is not None else UNIT_LIMIT
    if not (-UNIT_LIMIT <= units <= UNIT_LIMIT and low <= units <= high):
        raise _out_of_range(value, spec, place or spec.name)
    return units


def _units_of_text(text: str, spec: FieldSpec, place: str, value: object) -> int:
    """Return the exact units of a decimal text, or its half-even rounding where the field rounds; not range-checked."""
    match = _NUMBER.fullmatch(text) if len(text) <= NUMBER_CHARACTERS else None
    if match is None:
        raise _not_a_number(value, spec, place)
    sign, whole, fraction, exponent = match.groups()
    digits = whole + fraction if fraction else whole
    if not digits:
        raise _not_a_number(value, spec, place)
    units = int(digits)
    shift = spec.decimals - len(fraction or "") + (int(exponent) if exponent else 0)
    power: int = 10 ** abs(shift)
    if shift >= 0:
        units *= power
    else:
        units, rest = divmod(units, power)
        if rest:
            if not spec.rounds:
                raise EventRejected(
                    f"{place} is {shown(value)}, which has more than {spec.decimals} decimals. "
                    "Round it before sending it, or declare the field with round=True.",
                    reason="too_precise",
                    field=spec.name,
                )
            half = power // 2
            units += rest > half or (rest == half and units % 2 == 1)
    return -units if sign == "-" else units


def parse_flag(value: object, spec: FieldSpec, place: str = "") -> int:
    """Return 0 or 1 for true, false, 0 or 1, or a text that says so.

    Raises:
        EventRejected: It is none of them.

    >>> from streamgauge.definitions.schema import FieldKind, FieldSpec
    >>> parse_flag(True, FieldSpec("early", FieldKind.FLAG))
    1
    """
    if value is True:
        return 1
    if value is False:
        return 0
    if isinstance(value, str) and value in FLAGS:
        return FLAGS[value]
    if (
        isinstance(value, (int, float, Decimal))
        and not (isinstance(value, Decimal) and value.is_nan())
        and value in {0, 1}
    ):
        return int(value)
    raise EventRejected(
        f"{place or spec.name} is {shown(value)}. A flag is true or false.", reason="wrong_type", field=spec.name
    )


def parse_level(value: object, spec: FieldSpec, codes: dict[str, int], place: str = "") -> int:
    """Return the code of a closed category's level.

    Raises:
        EventRejected: It is no text (``wrong_type``) or no declared level (``unknown_level``).
    """
    if not isinstance(value, str):
        raise _not_a_text(value, spec.name, place or spec.name)
    code = codes.get(value)
    if code is None:
        raise EventRejected(
            f"{place or spec.name} is {shown(value)}, which is no declared level. {close_match(value[:_SHOWN], codes)}",
            reason="unknown_level",
            field=spec.name,
        )
    return code


def parse_text(value: object, spec: FieldSpec, place: str = "") -> str:
    """Return the text of an open category, key or reference once it is known to be one.

    Raises:
        EventRejected: It is no text, has lone surrogates, is is too long, or is a reference that no id can be.
    """
    if spec.kind is FieldKind.REF:
        return parse_id(value, spec.name, place)
    if not isinstance(value, str):
        raise _not_a_text(value, spec.name, place or spec.name)
    if not (value.isascii() and len(value) <= TEXT_BYTES):
        _check_length(value, TEXT_BYTES, spec.name, place or spec.name)
    return value


def parse_id(value: object, field: str, place: str = "") -> str:
    """Return an entity's or event's id once it is known to be one: 1 to 256 bytes of UTF-8, no control characters.

    Raises:
        EventRejected: It is not.
    """
    if not isinstance(value, str):
        if type(value) is int:
            raise EventRejected(
                f"{place or field} is the number {shown(value)}. An id is a text: put it in quotes.",
                reason="wrong_type",
                field=field,
            )
        raise _not_a_text(value, field, place or field)
    if value.isascii() and value.isprintable() and 0 < len(value) <= ID_BYTES:
        return value
    if not value:
        raise EventRejected(f"{place or field} is empty. Give every event an id.", reason="malformed", field=field)
    _check_length(value, ID_BYTES, field, place or field)
    if _CONTROL.search(value):
        raise EventRejected(
            f"{place or field} is {shown(value)}, which has control characters. Remove them.",
            reason="malformed",
            field=field,
        )
    return value


def _check_length(value: str, limit: int, field: str, place: str) -> None:
    """Refuse a text that has no UTF-8 or too much of it."""
    try:
        size = len(value.encode()) if len(value) <= limit else len(value)
    except UnicodeEncodeError:
        raise EventRejected(
            f"{place} is {shown(value)}, which is no valid Unicode. Send UTF-8.", reason="malformed", field=field
        ) from None
    if size > limit:
        raise EventRejected(
            f"{place} is {shown(value)}, longer than {limit} bytes. Shorten it, or send a hash of it.",
            reason="out_of_range",
            field=field,
        )


def parse_time(value: object, zone: str | None = None, field: str = "event_time", place: str = "") -> int:
    """Return the µs since the epoch of a moment: ISO 8601 text, a datetime or a date; finer digits than µs are dropped.

    Args:
        value: The moment. Where it has no offset it is local time in `zone`.
        zone: The IANA zone of naive moments, or None where they are refused.
        field: The field's name.
        place: How messages name the field; its name if empty.

    Raises:
        EventRejected: It is no moment, is naive without a zone, or never or twice happened in that zone (``bad_time``).

    >>> parse_time("1970-01-01T01:00:00.5+01:00")
    500000
    """
    place = place or field
    if isinstance(value, str):
        try:
            if _TIME.fullmatch(value) is None:
                raise _bad_time(value, field, place)
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise _bad_time(value, field, place) from None
    elif isinstance(value, date):
        moment = _plain(value, field, place)
    else:
        raise _bad_time(value, field, place)
    if moment.tzinfo is None:
        moment = _localised(moment, value, zone, field, place)
    try:
        since = moment - EPOCH
    except (TypeError, ValueError, OverflowError):
        raise _bad_time(value, field, place) from None
    moment_us = since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds
    if not EARLIEST_US <= moment_us <= LATEST_US:
        raise _bad_time(value, field, place)
    return moment_us


def _plain(value: date, field: str, place: str) -> datetime:
    """Return a date's midnight, or a datetime whatever its subclass (pandas has one that is not a time at all)."""
    if type(value) is datetime:
        return value
    try:
        if isinstance(value, datetime):
            return datetime.combine(value.date(), value.time(), value.tzinfo)
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - its zone is the stream's
    except (TypeError, ValueError, OverflowError):
        raise _bad_time(value, field, place) from None


def _localised(moment: datetime, value: object, zone: str | None, field: str, place: str) -> datetime:
    """Return a naive moment in a zone, refusing those that happened there twice or never."""
    if zone is None:
        raise EventRejected(
            f"{place} is {shown(value)}, which has no offset from UTC. "
            "Send one (…Z or …+01:00), or declare zone= on the stream.",
            reason="bad_time",
            field=field,
        )
    place_in_time = ZoneInfo(zone)
    try:
        first = moment.replace(tzinfo=place_in_time, fold=0)
        offsets = first.utcoffset(), moment.replace(tzinfo=place_in_time, fold=1).utcoffset()
    except (ValueError, OverflowError):
        raise _bad_time(value, field, place) from None
    if offsets[0] != offsets[1]:
        skipped = (offsets[0] or timedelta()) < (offsets[1] or timedelta())
        raise EventRejected(
            f"{place} is {shown(value)}, which happened {'never' if skipped else 'twice'} in {zone}: "
            "the clocks changed. "
            "Send it with its offset from UTC.",
            reason="bad_time",
            field=field,
        )
    return first


def format_time(moment_us: int) -> str:
    """Return µs since the epoch as ISO 8601 text in UTC.

    >>> format_time(500000)
    '1970-01-01T00:00:00.500000Z'
    """
    return (EPOCH + timedelta(microseconds=moment_us)).isoformat().replace("+00:00", "Z")


def format_units(units: int, spec: FieldSpec, text: str | None = None) -> Decimal | int | bool | str | None:
    """Return the value that units mean.

    Args:
        units: The int64 units, ``NULL`` for null.
        spec: The field.
        text: The text that the log kept, for open categories, keys and references.

    >>> from streamgauge.definitions.schema import FieldKind, FieldSpec
    >>> format_units(-1250, FieldSpec("amount", FieldKind.MONEY, decimals=2))
    Decimal('-12.50')
    """
    if units == NULL:
        return None
    if spec.is_text:
        return text
    if spec.kind is FieldKind.FLAG:
        return bool(units)
    if spec.kind is FieldKind.INTEGER:
        return units
    if spec.kind is FieldKind.CATEGORY:
        return spec.levels[units] if spec.levels is not None else text
    return Decimal(units).scaleb(-spec.decimals)


def _not_a_number(value: object, spec: FieldSpec, place: str) -> EventRejected:
    """Return the refusal of what is no number."""
    example = "12" if spec.decimals == 0 else f"12.{'5'.ljust(spec.decimals, '0')}"
    return EventRejected(
        f'{place} is {shown(value)}. Send a number, such as {example} or "{example}".',
        reason="wrong_type",
        field=spec.name,
    )


def _not_a_text(value: object, field: str, place: str) -> EventRejected:
    """Return the refusal of what is no text."""
    return EventRejected(f"{place} is {shown(value)}. Send a text.", reason="wrong_type", field=field)


def _out_of_range(value: object, spec: FieldSpec, place: str) -> EventRejected:
    """Return the refusal of a number outside its range."""
    low = format_units(spec.low if spec.low is not None else -UNIT_LIMIT, spec)
    high = format_units(spec.high if spec.high is not None else UNIT_LIMIT, spec)
    return EventRejected(
        f"{place} is {shown(value)}, outside {low} to {high}. Correct it, or widen low= and high=.",
        reason="out_of_range",
        field=spec.name,
    )


def _bad_time(value: object, field: str, place: str) -> EventRejected:
    """Return the refusal of what is no moment."""
    return EventRejected(
        f'{place} is {shown(value)}. Send an ISO 8601 moment, such as "2024-05-01T09:30:00Z".',
        reason="bad_time",
        field=field,
    )
