from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.definitions.schema import NULL, UNIT_LIMIT, FieldKind, FieldSpec
from streamgauge.definitions.texts import hash_text
from streamgauge.errors import EventRejected
from streamgauge.events.values import (
    format_time,
    format_units,
    parse_decimal,
    parse_flag,
    parse_id,
    parse_text,
    parse_time,
    shown,
)

MONEY = FieldSpec("amount", FieldKind.MONEY, decimals=2)
ROUNDED = FieldSpec("amount", FieldKind.MONEY, decimals=2, rounds=True)
WHOLE = FieldSpec("days", FieldKind.INTEGER, low=-2, high=9)


@pytest.mark.parametrize(
    ("value", "units"),
    [
        ("12.50", 1250),
        ("-0.1", -10),
        ("+3", 300),
        ("1.", 100),
        (".5", 50),
        ("12.5000", 1250),
        ("1.25e1", 1250),
        ("1250e-2", 1250),
        ("-0", 0),
        (12, 1200),
        (0.1, 10),
        (-12.5, -1250),
        (1e9, 10**11),
        (Decimal("12.50"), 1250),
        (Decimal("1E+1"), 1000),
        (UNIT_LIMIT // 100, UNIT_LIMIT // 100 * 100),
    ],
    ids=shown,
)
def test_a_number_is_read_exactly(value: object, units: int) -> None:
    assert parse_decimal(value, MONEY) == units


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("12.505", "too_precise"),
        (0.1 + 0.2, "too_precise"),
        (12.505, "too_precise"),
        ("1e-999", "too_precise"),
        ("", "wrong_type"),
        (".", "wrong_type"),
        ("-", "wrong_type"),
        ("1_000", "wrong_type"),
        ("1,000", "wrong_type"),
        (" 12", "wrong_type"),
        ("12\n", "wrong_type"),
        ("١٢", "wrong_type"),
        ("NaN", "wrong_type"),
        (float("nan"), "wrong_type"),
        (float("inf"), "wrong_type"),
        (Decimal("sNaN"), "wrong_type"),
        (Decimal("1E+999999"), "wrong_type"),
        (True, "wrong_type"),
        (None, "wrong_type"),
        ([], "wrong_type"),
        ("9" * 65, "wrong_type"),
        ("1e300", "out_of_range"),
        (1e300, "out_of_range"),
        (10**30, "out_of_range"),
        (UNIT_LIMIT, "out_of_range"),
        ("-10995116277.77", "out_of_range"),
    ],
    ids=shown,
)
def test_what_is_no_such_number_is_refused(value: object, reason: str) -> None:
    with pytest.raises(EventRejected) as refusal:
        parse_decimal(value, MONEY)
    assert refusal.value.reason == reason
    assert refusal.value.field == "amount"
    assert len(str(refusal.value)) < 250


def test_the_largest_number_is_two_to_the_forty_units() -> None:
    assert parse_decimal("10995116277.76", MONEY) == UNIT_LIMIT
    assert parse_decimal("-10995116277.76", MONEY) == -UNIT_LIMIT


@pytest.mark.parametrize(
    ("value", "units"),
    [("0.005", 0), ("0.015", 2), ("-0.015", -2), (0.1 + 0.2, 30), ("1e-99", 0), ("2.6759", 268)],
    ids=shown,
)
def test_a_field_that_rounds_rounds_half_to_even(value: object, units: int) -> None:
    assert parse_decimal(value, ROUNDED) == units


def test_a_number_outside_its_declared_range_names_the_range() -> None:
    assert parse_decimal(9, WHOLE) == 9
    with pytest.raises(EventRejected, match=r"days is 10, outside -2 to 9"):
        parse_decimal(10, WHOLE)


@given(st.integers(-UNIT_LIMIT, UNIT_LIMIT), st.integers(0, 9))
def test_text_float_and_decimal_of_the_same_value_have_the_same_units(units: int, decimals: int) -> None:
    field = FieldSpec("x", FieldKind.NUMBER, decimals=decimals)
    value = format_units(units, field)
    assert isinstance(value, Decimal)
    assert (
        parse_decimal(value, field) == parse_decimal(str(value), field) == parse_decimal(float(value), field) == units
    )


@pytest.mark.parametrize(
    ("value", "flag"),
    [(True, 1), (False, 0), (1, 1), (0, 0), (1.0, 1), ("true", 1), ("0", 0), (Decimal("1.00"), 1)],
    ids=shown,
)
def test_a_flag_is_true_or_false(value: object, flag: int) -> None:
    assert parse_flag(value, FieldSpec("early", FieldKind.FLAG)) == flag


@pytest.mark.parametrize("value", ["yes", 2, 0.5, None, [], {}, Decimal("sNaN"), float("nan"), 10**30], ids=shown)
def test_a_flag_is_nothing_else(value: object) -> None:
    with pytest.raises(EventRejected):
        parse_flag(value, FieldSpec("early", FieldKind.FLAG))


@pytest.mark.parametrize("value", ["A-17", "é" * 128, "a b", "x" * 256, "日本"], ids=shown)
def test_an_id_is_a_short_text(value: str) -> None:
    assert parse_id(value, "id") == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "malformed"),
        ("é" * 129, "out_of_range"),
        ("x" * 10_000_000, "out_of_range"),
        ("a\nb", "malformed"),
        ("\x00", "malformed"),
        ("\x85", "malformed"),
        ("\ud800", "malformed"),
        (17, "wrong_type"),
        (True, "wrong_type"),
        (None, "wrong_type"),
        ({}, "wrong_type"),
    ],
    ids=shown,
)
def test_what_is_no_id_is_refused(value: object, reason: str) -> None:
    with pytest.raises(EventRejected) as refusal:
        parse_id(value, "id")
    assert refusal.value.reason == reason
    str(refusal.value).encode()


def test_a_number_as_an_id_is_told_to_be_quoted() -> None:
    with pytest.raises(EventRejected, match="put it in quotes"):
        parse_id(17, "id")


def test_a_text_has_at_most_4096_bytes() -> None:
    key = FieldSpec("payee", FieldKind.KEY)
    assert parse_text("é" * 2048, key) == "é" * 2048
    assert parse_text("", key) == ""
    for value in ("é" * 2049, "x" * 4097, "\udfff", 5):
        with pytest.raises(EventRejected):
            parse_text(value, key)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2024-05-01T09:30:00Z", "2024-05-01T09:30:00Z"),
        ("2024-05-01 09:30+02:00", "2024-05-01T07:30:00Z"),
        ("2024-05-01T09:30:00.1234567-0330", "2024-05-01T13:00:00.123456Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
        (datetime(2024, 5, 1, tzinfo=ZoneInfo("Asia/Tokyo")), "2024-04-30T15:00:00Z"),
    ],
    ids=shown,
)
def test_a_moment_with_an_offset_is_read_without_a_zone(value: object, text: str) -> None:
    assert format_time(parse_time(value)) == text


@pytest.mark.parametrize(
    "value",
    ["2024-05-01T09:30:00", "2024-05-01", datetime(2024, 5, 1), date(2024, 5, 1)],  # noqa: DTZ001
    ids=shown,
)
def test_a_naive_moment_needs_a_zone(value: object) -> None:
    assert parse_time(value, "Europe/Berlin") in {1714548600000000, 1714514400000000}
    with pytest.raises(EventRejected, match="no offset"):
        parse_time(value)


# Berlin, 2024:  31 March  01:59:59 | 03:00:00        27 October  02:00 … 02:59:59 | 02:00 … 02:59:59 | 03:00
def test_local_moments_that_never_or_twice_happened_are_refused() -> None:
    with pytest.raises(EventRejected, match="happened never in Europe/Berlin"):
        parse_time("2024-03-31T02:30:00", "Europe/Berlin")
    with pytest.raises(EventRejected, match="happened twice in Europe/Berlin"):
        parse_time("2024-10-27T02:30:00", "Europe/Berlin")
    assert parse_time("2024-10-27T03:00:00", "Europe/Berlin") == parse_time("2024-10-27T02:00:00Z")


@pytest.mark.parametrize(
    "value",
    [
        1714548600000000,
        1.5,
        None,
        "",
        "yesterday",
        "2024-02-30T00:00:00Z",
        "2024-05-01T24:00:00Z",
        "2024-05-01T09:30:60Z",
        "2024-W01-1",
        "20240501T093000Z",
        "2024-05-01T09:30:00z",
        "2024-05-01T09:30:00+25:00",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "2024-05-01T09:30:00Z" + " " * 1_000_000,
        [],
    ],
    ids=shown,
)
def test_what_is_no_moment_is_refused(value: Any) -> None:
    with pytest.raises(EventRejected) as refusal:
        parse_time(value, "Europe/Berlin")
    assert refusal.value.reason == "bad_time"


@pytest.mark.parametrize(
    ("units", "field", "value"),
    [
        (NULL, MONEY, None),
        (5, MONEY, Decimal("0.05")),
        (7, WHOLE, 7),
        (1, FieldSpec("f", FieldKind.FLAG), True),
        (1, FieldSpec("c", FieldKind.CATEGORY, levels=("a", "b")), "b"),
    ],
    ids=shown,
)
def test_units_are_formatted_as_the_value_they_mean(units: int, field: FieldSpec, value: object) -> None:
    assert repr(format_units(units, field)) == repr(value)


def test_a_hash_of_a_text_never_changes() -> None:
    assert [hash_text(text) for text in ("", "acme", "日本")] == [
        -5426141060434712860,
        -9105630573487512016,
        4223062404410717160,
    ]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_a_shown_value_is_short_and_has_utf8(value: object) -> None:
    assert len(shown(value).encode()) < 450


def test_a_shown_value_never_recurses() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    assert shown(nested) == "an array"


def test_an_integer_too_long_to_print_is_refused() -> None:
    for parse in (parse_decimal, parse_flag):
        with pytest.raises(EventRejected, match="an integer of 16610 bits"):
            parse(10**5000, MONEY)
