"""A new field is refused, ignored or kept, as its stream declares; nothing is lost by accident."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
from streamgauge.errors import EventRejected, ImportRefused
from streamgauge.events.frames import validate_frame
from streamgauge.events.render import render
from streamgauge.events.unknown import KEPT_BYTES, Noticed, kept_of
from streamgauge.events.validate import StreamValidator, stream_validator

PAID = StreamSpec(
    "Paid",
    "id",
    "client",
    "at",
    (FieldSpec("amount", FieldKind.MONEY, 2), FieldSpec("shop", FieldKind.KEY)),
    10**12,
    10**9,
)
IGNORES, KEEPS = replace(PAID, unknown="ignore"), replace(PAID, unknown="keep")
EVENT = {"id": "1", "client": "C", "at": "2024-05-01T00:00:00Z", "amount": "1.00", "shop": "S"}


def event(**more: Any) -> dict[str, Any]:
    return {**EVENT, **more}


def test_a_stream_refuses_unknown_fields_unless_it_says_otherwise() -> None:
    with pytest.raises(EventRejected, match='"tip"') as refused:
        StreamValidator(PAID).validate(event(tip=1))
    assert (refused.value.reason, refused.value.field) == ("unknown_field", "tip")


def test_ignored_fields_change_nothing_and_are_counted() -> None:
    validator = StreamValidator(IGNORES)
    assert validator.validate(event(tip=1)) == validator.validate(event())
    validator.validate(event(tip=2.5, note={"a": 1}))
    assert validator.unknown.drain() == [
        Noticed("tip", "ignored", 2, "integer"),
        Noticed("note", "ignored", 1, "object"),
    ]
    assert validator.unknown.drain() == []


def test_kept_fields_are_in_the_record_and_no_part_of_its_content() -> None:
    validator = StreamValidator(KEEPS)
    kept = validator.validate(event(tip=1, note={"b": [1, None], "a": "é"}))
    plain = validator.validate(event())
    assert kept_of(kept, KEEPS) == {"tip": 1, "note": {"b": [1, None], "a": "é"}}
    assert kept_of(plain, KEEPS) == {}
    assert kept.digest == plain.digest, "sent again without them, it is the same event"
    assert render(kept, KEEPS) == render(plain, KEEPS)


def test_what_is_too_long_to_be_kept_is_refused_not_cut() -> None:
    with pytest.raises(EventRejected, match=str(KEPT_BYTES)):
        StreamValidator(KEEPS).validate(event(note="x" * KEPT_BYTES))


def test_the_names_of_a_careless_sender_are_bounded() -> None:
    validator = StreamValidator(IGNORES)
    for number in range(1_000):
        validator.validate(event(**{f"f{number}": 1}))
    found = validator.unknown.drain()
    assert len(found) == 201
    assert found[-1] == Noticed("…", "ignored", 800, "integer")


def test_a_frame_is_judged_like_its_rows() -> None:
    frame = pl.DataFrame([event(tip=5), event(id="2", tip=None)])
    with pytest.raises(ImportRefused, match='unknown="ignore"'):
        validate_frame(frame, PAID)
    ignored = validate_frame(frame, IGNORES)
    assert list(ignored.records) == [StreamValidator(IGNORES).validate(event(id=id_)) for id_ in ("1", "2")]
    assert stream_validator(IGNORES).unknown.drain() == [Noticed("tip", "ignored", 1, "integer")]
    kept = list(validate_frame(frame, KEEPS).records)
    assert [kept_of(record, KEEPS) for record in kept] == [{"tip": 5}, {"tip": None}]
    assert [record.digest for record in kept] == [record.digest for record in ignored.records]
    stream_validator(KEEPS).unknown.drain()
