"""Whatever is sent, the answer is one that the OpenAPI document declares, and never a 500."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from streamgauge.app.api.application import PUBLIC, create_app
from tests.app.api.conftest import Client, impatient

if TYPE_CHECKING:
    from streamgauge.app.owner import Owner

FUZZING = settings.get_current_profile_name() == "fuzz"
BOUNDED = settings(
    max_examples=500 if FUZZING else 25,
    deadline=None,
    derandomize=not FUZZING,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)
DECLARED = [content_type_conformance, response_schema_conformance, status_code_conformance]


@pytest.mark.parametrize("name", [operation.name for operation in PUBLIC if operation.name != "stream_scores"])
def test_any_call_made_from_the_document_is_answered_as_it_says(owner: Owner, name: str) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", impatient(create_app(owner, None)))
    operation = schema.find_operation_by_id(name)

    @BOUNDED
    @given(case=operation.as_strategy() | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def check(case: Any) -> None:
        response = case.call()
        case.validate_response(response, checks=DECLARED)
        assert response.status_code < 500 or response.json()["code"] == "position-not-reached"

    check()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["1e999", "-0", 10**400, "9" * 5_000, "\x00", "NaN", "2026-01-01T08:00:00Z", 1e308, -1e-320]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["id", "account", "asked_at", "booked_at", "amount", "term_months", "kind", "sequence", "revision", "op", "x"]
EVENTS = st.fixed_dictionaries(
    {"stream": st.sampled_from(["Movement", "Application", "Loan", "Arrears", "Movment"]) | JSON},
    optional=dict.fromkeys(FIELDS, JSON),
)


def never_a_fault(answer: Any) -> None:
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, answer.text
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["errors"], "it says where"
        assert all(one["place"] and one["detail"] for one in answer.json()["errors"])


@BOUNDED
@given(event=EVENTS | JSON, decide=st.booleans())
def test_events_of_wrong_types_are_refused_with_their_place(owner: Owner, event: Any, decide: bool) -> None:
    ask = Client(create_app(owner, None))
    body = {"decision_id": "fuzz", "event": event} if decide else event
    never_a_fault(ask.post("/v1/decisions" if decide else "/v1/events", content=json.dumps(body).encode()))


@BOUNDED
@given(
    body=st.binary(max_size=200)
    | st.integers(1, 200_000).map(lambda depth: b"[" * depth)
    | st.integers(1, 3_000).map(lambda depth: b'{"event":' * depth + b"1" + b"}" * depth)
    | st.tuples(EVENTS, st.binary(min_size=1, max_size=4), st.integers(0, 400)).map(
        lambda parts: (text := json.dumps(parts[0]).encode())[: parts[2]] + parts[1] + text[parts[2] :]
    ),
    path=st.sampled_from(["/v1/events", "/v1/decisions"]),
    content_type=st.sampled_from(["application/json", "application/x-ndjson"]),
)
def test_any_bytes_are_refused_with_their_place(owner: Owner, body: bytes, path: str, content_type: str) -> None:
    never_a_fault(Client(create_app(owner, None)).post(path, content=body, headers={"content-type": content_type}))
