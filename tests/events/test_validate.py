from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.definitions.schema import NULL
from streamgauge.definitions.texts import hash_text
from streamgauge.errors import EventRejected
from streamgauge.events.record import DELETE, INSERT, REPLACE, NewRecord
from streamgauge.events.render import render
from streamgauge.events.validate import validate_many, validate_one
from streamgauge.testing.streams import EVERYTHING, STREAMS

GOOD = {
    "stream": "Movement",
    "id": "m-1",
    "account": "A-17",
    "booked_at": "2024-05-01T09:30:00Z",
    "amount": "-12.50",
    "kind": "card",
    "counterparty": "acme",
}


def changed(**changes: object) -> dict[str, object]:
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}


def units(record: NewRecord) -> list[int]:
    return [int.from_bytes(record.units[i : i + 8], "little", signed=True) for i in range(0, len(record.units), 8)]


def test_a_good_event_becomes_a_record() -> None:
    record = validate_one(GOOD, STREAMS)
    assert (record.stream, record.entity, record.event_id) == ("Movement", "account:A-17", "m-1")
    assert (record.event_time, record.sequence, record.revision, record.op) == (1714555800000000, 0, 0, INSERT)
    assert units(record) == [-1250, NULL, 1, hash_text("acme")]
    assert msgspec.msgpack.decode(record.texts) == ["acme"]
    assert len(record.digest) == 16
    assert record.declared_known_at is None


@pytest.mark.parametrize(
    ("event", "reason", "message"),
    [
        (changed(stream="Movment"), "unknown_stream", 'Did you mean "Movement"?'),
        (changed(stream=...), "unknown_stream", "stream is null"),
        (changed(stream=["Movement"]), "unknown_stream", "stream is an array"),
        (changed(ammount="1"), "unknown_field", 'Movement has no field "ammount". Did you mean "amount"?'),
        (changed(**{"\ud800": 1}), "unknown_field", "Movement has no field"),
        (changed(amount=...), "missing_field", 'Movement has no "amount"'),
        (changed(amount=None), "missing_field", 'Movement has no "amount"'),
        (changed(id=...), "missing_field", 'Movement has no "id"'),
        (changed(account=...), "missing_field", 'Movement has no "account"'),
        (changed(booked_at=...), "missing_field", 'Movement has no "booked_at"'),
        (changed(account=17), "wrong_type", "Movement.account is the number 17"),
        (changed(amount="12.505"), "too_precise", 'Movement.amount is "12.505", which has more than 2 decimals'),
        (changed(amount=12.505), "too_precise", "more than 2 decimals"),
        (changed(amount=True), "wrong_type", "Movement.amount is true. Send a number"),
        (changed(amount=math.inf), "wrong_type", "Movement.amount is inf. Send a number"),
        (changed(amount=10**30), "out_of_range", "Movement.amount is 1000000000000000000000000000000, outside"),
        (changed(kind="crad"), "unknown_level", 'Did you mean "card"?'),
        (changed(kind=3), "wrong_type", "Movement.kind is 3. Send a text"),
        (changed(counterparty={"a": {}}), "wrong_type", "Movement.counterparty is an object"),
        (changed(booked_at=1714555800), "bad_time", "Movement.booked_at is 1714555800. Send an ISO 8601 moment"),
        (changed(booked_at="2024-05-01T09:30:00"), "bad_time", "no offset from UTC"),
        (changed(sequence="x"), "wrong_type", "sequence is"),
        (changed(sequence=2**63), "out_of_range", "sequence is"),
        (changed(sequence=True), "wrong_type", "sequence is true"),
        (changed(revision=-1), "bad_revision", "revision is -1"),
        (changed(revision=2**31), "bad_revision", "revision is"),
        (changed(revision=1.5, op="replace"), "wrong_type", "revision is 1.5"),
        (changed(op="upsert"), "bad_revision", 'op is "upsert"'),
        (changed(op=1), "bad_revision", "op is 1"),
        (changed(op="insert", revision=1), "bad_revision", "An insert has revision 0"),
        (changed(op="delete"), "bad_revision", "An insert has revision 0"),
    ],
)
def test_a_bad_event_is_refused_with_the_place_and_the_next_step(
    event: dict[str, object], reason: str, message: str
) -> None:
    with pytest.raises(EventRejected) as refusal:
        validate_one(event, STREAMS)
    assert refusal.value.reason == reason
    assert message in str(refusal.value)


@pytest.mark.parametrize("event", [None, 1, "Movement", [GOOD], b"{}", 1.5])
def test_what_is_no_object_is_malformed(event: object) -> None:
    with pytest.raises(EventRejected) as refusal:
        validate_one(event, STREAMS)
    assert refusal.value.reason == "malformed"


@pytest.mark.parametrize(
    ("envelope", "expected"),
    [
        ({}, (0, INSERT)),
        ({"revision": 0}, (0, INSERT)),
        ({"op": "insert"}, (0, INSERT)),
        ({"revision": 2}, (2, REPLACE)),
        ({"revision": 2, "op": "replace"}, (2, REPLACE)),
        ({"revision": 1, "op": "delete"}, (1, DELETE)),
    ],
)
def test_revision_and_op_fit_each_other(envelope: dict[str, object], expected: tuple[int, int]) -> None:
    record = validate_one(changed(**envelope), STREAMS)
    assert (record.revision, record.op) == expected


def test_a_delete_needs_no_payload_and_ignores_one() -> None:
    bare = {name: GOOD[name] for name in ("stream", "id", "account", "booked_at")} | {"revision": 1, "op": "delete"}
    assert validate_one(bare, STREAMS) == validate_one(changed(revision=1, op="delete", amount="nonsense"), STREAMS)
    assert units(validate_one(bare, STREAMS)) == [NULL] * 4


def test_many_events_are_answered_in_order() -> None:
    answers = validate_many([GOOD, changed(amount="x"), None, GOOD], STREAMS)
    assert [type(answer) for answer in answers] == [NewRecord, EventRejected, EventRejected, NewRecord]


def test_absent_fields_take_their_defaults() -> None:
    record = validate_one({"stream": "Everything", "id": "1", "account": "A", "at": "2024-05-01"}, STREAMS)
    assert units(record) == [NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL]
    assert msgspec.msgpack.decode(record.texts) == [None, None, None]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["\ud800", "9" * 5000, "1e999", "NaN"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["stream", "sequence", "revision", "op", "id", "account", "at", *(f.name for f in EVERYTHING.fields)]
)


@given(JSON | st.dictionaries(st.text() | NAMES, JSON, max_size=6))
def test_no_json_value_raises_anything_but_a_refusal(value: object) -> None:
    validate_many([value], STREAMS)


@given(
    st.dictionaries(NAMES, JSON, max_size=4),
    st.sampled_from([GOOD, {"stream": "Everything", "id": "1", "account": "A", "at": "2024-05-01"}]),
)
def test_no_value_in_a_known_field_raises_anything_but_a_refusal(values: dict[str, Any], event: dict[str, Any]) -> None:
    (answer,) = validate_many([{**event, **values}], STREAMS)
    if isinstance(answer, EventRejected):
        assert len(str(answer).encode()) < 1000
    else:
        assert len(answer.digest) == 16


def test_deep_nesting_and_huge_texts_are_refused_at_once() -> None:
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    for name in GOOD:
        for value in (nested, "x" * 10_000_000, 10**100_000):
            (answer,) = validate_many([changed(**{name: value})], STREAMS)
            assert isinstance(answer, EventRejected)
            assert len(str(answer)) < 300


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
EVENTS = st.fixed_dictionaries(
    {
        "stream": st.just("Everything"),
        "id": TEXT,
        "account": TEXT,
        "at": st.datetimes().map(lambda t: t.isoformat() + "Z"),
    },
    optional={
        "money": st.decimals(-(10**9), 10**9, places=2, allow_nan=False),
        "ratio": st.floats(-10, 10),
        "whole": st.integers(-(2**40), 2**40),
        "flag": st.booleans(),
        "level": st.sampled_from(["low", "mid", "high"]),
        "country": TEXT,
        "key": TEXT | st.just(""),
        "target": TEXT,
        "sequence": st.integers(-(2**63) + 1, 2**63 - 1),
    },
)
REVISIONS = st.sampled_from([{}, {"revision": 1}, {"revision": 3, "op": "replace"}, {"revision": 7, "op": "delete"}])


@given(EVENTS, REVISIONS)
def test_a_rendered_record_validates_to_itself(event: dict[str, object], envelope: dict[str, object]) -> None:
    record = validate_one({**event, **envelope}, STREAMS)
    rendered = render(record, EVERYTHING)
    assert validate_one(rendered, STREAMS) == record
    assert validate_one(msgspec.json.decode(msgspec.json.encode(rendered)), STREAMS) == record
    assert render(validate_one(rendered, STREAMS), EVERYTHING) == rendered


@given(EVENTS, EVENTS)
def test_digests_are_equal_if_and_only_if_contents_are(one: dict[str, object], other: dict[str, object]) -> None:
    first = validate_one(one, STREAMS)
    second = validate_one({**other, "at": one["at"]}, STREAMS)
    content = [(r.op, r.event_time, r.sequence, r.units, r.texts) for r in (first, second)]
    assert (first.digest == second.digest) == (content[0] == content[1])


@given(EVENTS, st.sampled_from(["money", "whole", "level", "key", "sequence", "at"]))
def test_a_change_of_one_value_changes_the_digest(event: dict[str, object], name: str) -> None:
    other = {"money": "0.07", "whole": 70, "level": "mid", "key": "…", "sequence": 7, "at": "2024-07-07T07:07:07Z"}
    first, second = validate_one(event, STREAMS), validate_one({**event, name: other[name]}, STREAMS)
    assert (first.digest == second.digest) == (render(first, EVERYTHING) == render(second, EVERYTHING))


def test_the_same_value_in_another_form_is_the_same_content() -> None:
    for amount in (-12.5, "-12.500", "-1.25e1"):
        assert validate_one(changed(amount=amount), STREAMS) == validate_one(GOOD, STREAMS)
    assert validate_one(changed(booked_at="2024-05-01T11:30+02:00"), STREAMS) == validate_one(GOOD, STREAMS)
