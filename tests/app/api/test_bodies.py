from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.app.api.bodies import DEEPEST, JSON, NDJSON, decode_events, decode_json, decode_struct
from streamgauge.app.api.decisions import DecisionRequest
from streamgauge.app.api.problems import Problem

DECODER = msgspec.json.Decoder(DecisionRequest)


def refusal(body: bytes, content_type: str = JSON, limit: int = 100) -> Problem:
    with pytest.raises(Problem) as refused:
        decode_events(body, content_type, limit)
    return refused.value


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        (b"", "body", "empty"),
        (b"  \n", "body", "empty"),
        (b"{", "body", "truncated"),
        (b"[1,]", "body", "byte 3"),
        (b'{"a": NaN}', "body", "byte 6"),
        (b'{"a": 1e999}', "body", "out of range"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "body", "out of range"),
        (b'{"a": "\xff"}', "body.byte[7]", "byte 7"),
        (b"\xef\xbb\xbf{}", "body", "byte 0"),
        (b'{"a": "\\ud800"}', "body", "cannot be read"),
        (b"[" * 100_000, "body", "nests more than 64"),
        (b"[" * 65 + b"]" * 65, "body", "nests more than 64"),
        (b"[" + b"1," * 99 + b"[" * 64 + b"]" * 65, "body", "nests more than 64"),
        (b"[" + b"{}," * 90 + b"[" * 64 + b"]" * 65, "body", "nests more than 64"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "body", "nests more than 64"),
    ],
)
def test_what_cannot_be_read_is_malformed_with_its_place(body: bytes, place: str, words: str) -> None:
    problem = refusal(body)
    assert problem.kind.status == 400
    assert [fault.place for fault in problem.faults] == [place]
    assert words in problem.detail


def test_as_many_containers_as_allowed_are_read() -> None:
    assert decode_json(b"[" * DEEPEST + b"]" * DEEPEST)


def test_many_flat_events_with_brackets_in_their_texts_are_not_deep() -> None:
    events = [{"stream": "[[[{{{", "n": number} for number in range(300)]
    assert decode_events(json.dumps(events).encode(), JSON, 300) == events


@pytest.mark.parametrize("body", [b"17", b'"text"', b"null", b'{"events": 1}', b'{"events": [], "more": 1}'])
def test_a_body_of_another_form_is_refused(body: bytes) -> None:
    assert refusal(body).code == "invalid-body"


def test_one_event_an_array_an_envelope_and_lines_are_the_same() -> None:
    one = [{"stream": "Movement", "n": 1}]
    assert decode_events(b'{"stream": "Movement", "n": 1}', JSON, 1) == one
    assert decode_events(b'[{"stream": "Movement", "n": 1}]', JSON, 1) == one
    assert decode_events(b'{"events": [{"stream": "Movement", "n": 1}]}', JSON, 1) == one
    assert decode_events(b'\n{"stream": "Movement", "n": 1}\r\n\n', NDJSON, 1) == one


def test_an_event_with_a_field_named_events_is_an_event() -> None:
    assert decode_events(b'{"stream": "Count", "events": 3}', JSON, 1) == [{"stream": "Count", "events": 3}]


def test_a_line_that_is_no_json_stays_in_its_place() -> None:
    assert decode_events(b'{"a": 1}\n{"a": \n\xff\n3', NDJSON, 9) == [{"a": 1}, '{"a":', "\\xff", 3]


@pytest.mark.parametrize(("body", "content_type"), [(b"[1,2,3]", JSON), (b"1\n2\n3", NDJSON)])
def test_too_many_events_are_refused_as_a_whole(body: bytes, content_type: str) -> None:
    assert refusal(body, content_type, 2).code == "too-many-events"
    assert len(decode_events(body, content_type, 3)) == 3


def test_the_last_of_equal_names_stands() -> None:
    assert decode_json(b'{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        (b'{"decision_id": 1, "event": {}}', "$.decision_id", "Expected `str`"),
        (b'{"decision_id": "d"}', "$", "missing required field `event`"),
        (b'{"decision_id": "d", "event": []}', "$.event", "Expected `object`"),
        (b'{"decision_id": "d", "evnt": {}}', "$", 'Did you mean "event"?'),
        (b"[]", "$", "Expected `object`"),
    ],
)
def test_a_form_that_does_not_fit_is_refused_with_its_place(body: bytes, place: str, words: str) -> None:
    with pytest.raises(Problem) as refused:
        decode_struct(body, DECODER)
    assert refused.value.code == "invalid-body"
    assert [fault.place for fault in refused.value.faults] == [place]
    assert words in refused.value.detail


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for content_type in (JSON, NDJSON):
        refused: list[Problem] = []
        try:
            decode_events(body, content_type, 10)
        except Problem as problem:
            refused.append(problem)
        assert all(400 <= problem.kind.status < 500 and problem.faults for problem in refused)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(JSON_VALUES)
def test_any_json_is_read_as_the_standard_library_reads_it(value: Any) -> None:
    body = json.dumps(value).encode()
    try:
        read = decode_json(body)
    except Problem:
        assert "\\ud" in body.decode()
        return
    assert read == json.loads(body)
