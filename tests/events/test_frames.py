from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.errors import EventRejected, ImportRefused
from streamgauge.events.frames import as_frame, validate_frame, validate_import
from streamgauge.events.record import DELETE, NewRecord
from streamgauge.events.render import render
from streamgauge.events.validate import validate_many
from streamgauge.testing.streams import EVERYTHING, MOVEMENT, STREAMS

HOUR = 3_600_000_000


def movements(n: int = 3, **columns: Any) -> pl.DataFrame:
    frame = {
        "id": [f"m-{i}" for i in range(n)],
        "account": ["A-1"] * n,
        "booked_at": ["2024-05-01T09:30:00Z"] * n,
        "amount": ["-12.50"] * n,
        "kind": ["card"] * n,
    }
    return pl.DataFrame({**frame, **columns})


def outcome(frame: pl.DataFrame, spec: Any = MOVEMENT, **options: Any) -> list[NewRecord | tuple[str, str]]:
    """The record or the reason of each row, in order of the rows."""
    result = validate_frame(frame, spec, **options)
    rejected = {row: (error.reason, str(error)) for row, error in result.rejected}
    records = iter(result.records)
    return [rejected[row] if row in rejected else next(records) for row in range(len(frame))]


def alone(events: list[dict[str, Any]], spec: Any = MOVEMENT) -> list[NewRecord | tuple[str, str]]:
    """The record or the reason of each event, validated by itself."""
    answers = validate_many([{"stream": spec.name} | event for event in events], STREAMS)
    return [(a.reason, str(a)) if isinstance(a, EventRejected) else a for a in answers]


AMOUNTS = st.one_of(
    st.decimals(-(10**11), 10**11, places=3).map(str),
    st.integers(-(10**12), 10**12).map(str),
    st.floats().map(repr),
    st.sampled_from(
        [
            "",
            ".",
            "1.",
            "+0.10",
            "1e3",
            "1E-2",
            "-0",
            "00012.10000",
            " 1",
            "1_0",
            "0x1",
            "inf",
            "1" * 70,
            "0." + "0" * 80,
        ]
    ),
    st.text(max_size=5),
)
MOMENTS = st.one_of(
    st.datetimes().map(lambda t: t.isoformat() + "Z"),
    st.datetimes(datetime(2024, 3, 30), datetime(2024, 4, 1)).map(lambda t: t.isoformat()),  # noqa: DTZ001
    st.datetimes(datetime(2024, 10, 26), datetime(2024, 10, 28)).map(lambda t: t.isoformat(" ", "minutes")),  # noqa: DTZ001
    st.datetimes().map(lambda t: t.isoformat(" ") + "+0530"),
    st.sampled_from(
        [
            "2024-02-30T00:00:00Z",
            "2024-05-01",
            "2024-05-01T09:30:60Z",
            "2024-05-01T00:00:00.1234567Z",
            "0001-01-01T00:00:00+05:00",
        ]
    ),
    st.sampled_from(
        [
            "2024-05-01T00:00:00+14:59",
            "2024-05-01T00:00:00-23:59",
            "2024-05-01T00:00:00+24:00",
            "2024-05-01T00:00:00+05:99",
        ]
    ),
    st.text(max_size=5),
)
IDS = st.text(max_size=8) | st.sampled_from(["", "é" * 129, "a\n", "x" * 256, "x" * 257])
ROWS = st.fixed_dictionaries(
    {
        "id": st.none() | IDS,
        "account": IDS,
        "at": st.none() | MOMENTS,
        "money": st.none() | AMOUNTS,
        "ratio": st.none() | AMOUNTS,
        "whole": st.none() | AMOUNTS,
        "flag": st.none() | st.sampled_from(["true", "False", "1", "0", "yes", "", "1.0"]),
        "level": st.none() | st.sampled_from(["low", "mid", "high", "hgih", ""]),
        "country": st.none() | st.text(max_size=5) | st.just("é" * 2049),
        "key": st.none() | st.text(max_size=5) | st.just("k" * 4097),
        "target": st.none() | IDS,
        "sequence": st.none()
        | st.sampled_from(["0", "-5", "+7", "9223372036854775807", "9223372036854775808", "1.0", "x", ""]),
        "revision": st.none() | st.sampled_from(["0", "1", "2147483647", "2147483648", "-1", "x"]),
        "op": st.none() | st.sampled_from(["insert", "replace", "delete", "upsert", ""]),
    }
)


@given(st.lists(ROWS, min_size=1, max_size=20))
def test_a_frame_of_text_says_of_each_row_what_the_row_alone_says(rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, schema=dict.fromkeys(rows[0], pl.String))
    assert outcome(frame, EVERYTHING) == alone(rows, EVERYTHING)


TYPED = st.fixed_dictionaries(
    {
        "money": st.none()
        | st.floats()
        | st.floats(-1e5, 1e5).map(lambda x: round(x, 2))
        | st.integers(-(2**41), 2**41).map(float),
        "ratio": st.none()
        | st.floats()
        | st.floats(-12, 12)
        | st.integers(-120_000, 120_000).map(lambda x: (x + 0.5) / 1e4),
        "whole": st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-(2**40) - 1, 2**40 + 1),
        "flag": st.none() | st.booleans(),
        "at": st.datetimes(timezones=st.just(UTC)),
        "sequence": st.none() | st.integers(-(2**63), 2**63 - 1),
    }
)


@given(st.lists(TYPED, min_size=1, max_size=20))
def test_a_frame_of_numbers_says_of_each_row_what_the_row_alone_says(rows: list[dict[str, Any]]) -> None:
    schema: dict[str, Any] = {
        "money": pl.Float64,
        "ratio": pl.Float64,
        "whole": pl.Int64,
        "flag": pl.Boolean,
        "at": pl.Datetime("us", "UTC"),
        "sequence": pl.Int64,
    }
    frame = pl.DataFrame(rows, schema=schema).with_columns(id=pl.lit("1"), account=pl.lit("A"))
    events = [
        {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} | {"id": "1", "account": "A"}
        for row in rows
    ]
    assert outcome(frame, EVERYTHING) == alone(events, EVERYTHING)


@given(st.lists(st.none() | st.decimals(-(10**12), 10**12, places=5), min_size=1, max_size=20), st.integers(0, 5))
def test_a_frame_of_decimals_says_of_each_row_what_the_row_alone_says(values: list[Decimal | None], scale: int) -> None:
    values = [None if v is None else round(v, scale) for v in values]
    frame = movements(len(values), amount=pl.Series(values, dtype=pl.Decimal(38, scale)), id=["m"] * len(values))
    events = [
        {"id": "m", "account": "A-1", "booked_at": "2024-05-01T09:30:00Z", "amount": v, "kind": "card"} for v in values
    ]
    assert [o if isinstance(o, NewRecord) else o[0] for o in outcome(frame)] == [
        o if isinstance(o, NewRecord) else o[0] for o in alone(events)
    ]


def test_rejected_rows_are_numbered_and_the_others_accepted() -> None:
    result = validate_frame(movements(5, amount=["1", "x", "2", None, "2.555"]), MOVEMENT)
    assert [record.event_id for record in result.records] == ["m-0", "m-2"]
    assert [(row, error.reason, error.field) for row, error in result.rejected] == [
        (1, "wrong_type", "amount"),
        (3, "missing_field", "amount"),
        (4, "too_precise", "amount"),
    ]


def test_records_can_be_taken_one_by_one_or_in_slices() -> None:
    records = validate_frame(movements(120_000), MOVEMENT).records
    assert len(records) == len(list(records)) == 120_000
    assert records[7] == records[5:10][2] == list(records)[7]
    assert records[-1].event_id == "m-119999"


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64, pl.Int8])
def test_integer_ids_become_their_digits(dtype: Any) -> None:
    result = validate_frame(
        movements(3, id=pl.Series([1, 2, 3], dtype=dtype), account=pl.Series([7, 7, 7], dtype=dtype)), MOVEMENT
    )
    assert [(r.entity, r.event_id) for r in result.records] == [
        ("account:7", "1"),
        ("account:7", "2"),
        ("account:7", "3"),
    ]


@pytest.mark.parametrize(
    "amount",
    [
        pl.Series([12.5, 0.1, -3.0]),
        pl.Series(["12.50", "0.1", "-3"]),
        pl.Series([Decimal("12.50"), Decimal("0.10"), Decimal("-3.00")]),
        pl.Series([12.5, 0.1, -3.0], dtype=pl.Float32),
        pl.Series([12.5, 0.1, -3.0], dtype=pl.Decimal(20, 6)),
    ],
    ids=["floats", "texts", "decimals", "short floats", "longer decimals"],
)
def test_money_has_the_same_units_in_every_column_type(amount: pl.Series) -> None:
    records = validate_frame(movements(amount=amount), MOVEMENT).records
    assert [int.from_bytes(r.units[:8], "little", signed=True) for r in records] == [1250, 10, -300]


@pytest.mark.parametrize(
    "at",
    [
        pl.Series([datetime(2024, 5, 1, tzinfo=UTC)]),
        pl.Series([datetime(2024, 5, 1, 2)]),  # noqa: DTZ001
        pl.Series([datetime(2024, 5, 1, tzinfo=UTC)]).cast(pl.Datetime("ns", "Asia/Tokyo")),
        pl.Series([datetime(2024, 5, 1, 2)]).cast(pl.Datetime("ms")),  # noqa: DTZ001
        pl.Series(["2024-05-01T02:00:00"]),
        pl.Series(["2024-05-01T00:00:00Z"]),
    ],
    ids=["aware", "naive", "nanoseconds", "milliseconds", "naive text", "text"],
)
def test_a_moment_is_the_same_in_every_column_type(at: pl.Series) -> None:
    frame = pl.DataFrame({"id": ["1"], "account": ["A"], "at": at})
    assert validate_frame(frame, EVERYTHING).records[0].event_time == 1714521600000000


def test_a_date_is_its_midnight_in_the_streams_zone() -> None:
    frame = pl.DataFrame({"id": ["1"], "account": ["A"], "at": [date(2024, 5, 1)]})
    assert validate_frame(frame, EVERYTHING).records[0].event_time == 1714514400000000
    naive = frame.rename({"at": "booked_at"}).with_columns(amount=1, kind=pl.lit("card"))
    assert [error.reason for _, error in validate_frame(naive, MOVEMENT).rejected] == ["bad_time"]


def test_moments_before_1970_and_beyond_9999_are_handled() -> None:
    far = pl.Series([-1, -1_500, 2**62], dtype=pl.Int64).cast(pl.Datetime("ns", "UTC"))
    assert [r.event_time for r in validate_frame(movements(booked_at=far), MOVEMENT).records][:2] == [-1, -2]
    for unit in ("us", "ms"):
        far = pl.Series([0, 2**62, -(2**62)], dtype=pl.Int64).cast(pl.Datetime(unit, "UTC"))
        assert [row for row, _ in validate_frame(movements(booked_at=far), MOVEMENT).rejected] == [1, 2]


def test_pandas_and_arrow_tables_are_frames() -> None:
    expected = list(validate_frame(movements(), MOVEMENT).records)
    assert (
        list(validate_frame(as_frame(pd.DataFrame(movements().to_dict(as_series=False))), MOVEMENT).records) == expected
    )
    assert list(validate_frame(as_frame(movements().to_arrow()), MOVEMENT).records) == expected
    assert list(validate_frame(as_frame(movements().lazy()), MOVEMENT).records) == expected
    with pytest.raises(ImportRefused, match="no frame"):
        as_frame([1, 2])


def test_nan_is_null_as_pandas_has_no_other() -> None:
    records = validate_frame(movements(balance=[1.0, math.nan, None]), MOVEMENT).records
    assert [render(r, MOVEMENT)["balance"] for r in records] == [Decimal("1.00"), None, None]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (movements().drop("amount"), 'There is no column "amount", which Movement needs'),
        (movements().rename({"amount": "ammount"}), 'Did you mean "ammount"?'),
        (movements(extra=1), 'Movement has no field for the column "extra"'),
        (movements(amount=pl.Series([[1]] * 3)), 'Column "amount" is List'),
        (movements(amount=[True] * 3), 'Column "amount" is Boolean'),
        (movements(booked_at=[1, 2, 3]), 'Column "booked_at" is Int64'),
        (movements(id=[1.0, 2.0, 3.0]), 'Column "id" is Float64'),
        (movements(kind=pl.Series([{"a": 1}] * 3)), 'Column "kind" is Struct'),
    ],
    ids=["missing", "misspelt", "unknown", "nested", "boolean", "integer time", "float id", "struct"],
)
def test_a_frame_whose_columns_do_not_fit_is_refused_whole(frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(ImportRefused) as refusal:
        validate_frame(frame, MOVEMENT)
    assert message in str(refusal.value)


def test_an_import_says_when_its_records_became_known() -> None:
    with pytest.raises(ImportRefused, match="false training rows"):
        validate_import(movements(), MOVEMENT)
    with pytest.raises(ImportRefused, match="Both"):
        validate_import(movements(), MOVEMENT, known_after_us=1, known_at="id")
    with pytest.raises(ImportRefused, match="before its event"):
        validate_import(movements(), MOVEMENT, known_after_us=-1)
    with pytest.raises(ImportRefused, match='no column "seen"'):
        validate_import(movements(), MOVEMENT, known_at="seen")


def test_known_after_is_counted_from_each_event() -> None:
    frame = movements(3, booked_at=["2024-05-01T00:00:00Z", "2024-05-02", "2024-05-02T01:00Z"])
    records = validate_import(frame, MOVEMENT, known_after_us=2 * HOUR).records
    assert [r.declared_known_at == r.event_time + 2 * HOUR for r in records] == [True, True]


def test_a_column_says_when_each_record_became_known() -> None:
    frame = movements(4, seen=["2024-05-01T10:30:00Z", "2024-05-01T11:30Z", None, "soon"])
    result = validate_import(frame, MOVEMENT, known_at="seen")
    assert [(r.declared_known_at or 0) - r.event_time for r in result.records] == [HOUR, 2 * HOUR]
    assert [(row, error.reason) for row, error in result.rejected] == [(2, "missing_field"), (3, "bad_time")]


def test_live_records_declare_no_arrival() -> None:
    assert {r.declared_known_at for r in validate_frame(movements(), MOVEMENT).records} == {None}


def test_revisions_and_deletes_come_in_frames_too() -> None:
    frame = movements(4, revision=[0, 1, 2, 0], op=["insert", "replace", "delete", "delete"], sequence=[1, 2, 3, 4])
    result = validate_frame(frame.with_columns(amount=pl.Series(["1", "2", None, "4"])), MOVEMENT)
    assert [(r.revision, r.op, r.sequence) for r in result.records] == [(0, 0, 1), (1, 1, 2), (2, DELETE, 3)]
    assert [(row, error.reason) for row, error in result.rejected] == [(3, "bad_revision")]


def test_a_row_of_another_stream_is_refused() -> None:
    result = validate_frame(movements(stream=["Movement", "Loan", None]), MOVEMENT)
    assert [(row, error.reason) for row, error in result.rejected] == [(1, "unknown_stream")]


def test_an_empty_frame_has_no_records() -> None:
    result = validate_frame(movements(0), MOVEMENT)
    assert (len(result.records), list(result.records), result.rejected) == (0, [], [])
