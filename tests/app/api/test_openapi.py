"""The OpenAPI document is complete, and everything it shows is what the API does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import polars as pl
import pytest

from streamgauge.app.api.application import PUBLIC
from streamgauge.app.api.openapi import document
from streamgauge.app.api.problems import KINDS
from streamgauge.app.protecting import import_protected_frames
from streamgauge.definitions.loader import load_project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamgauge.app.owner import Owner
    from tests.app.api.conftest import Client

DOCUMENT = json.loads(json.dumps(document(PUBLIC)))
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def schema_of(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({**schema, "components": DOCUMENT["components"]})


def examples_of(operation: dict[str, Any]) -> list[str]:
    """Return the names that tie parameters, bodies and answers together."""
    [content] = operation["responses"]["200"]["content"].values()
    return list(content["examples"])


def request_of(name: str, example: str) -> tuple[str, str, dict[str, Any]]:
    """Return method, path and httpx arguments of a documented call, from the document alone."""
    method, path, operation = OPERATIONS[name]
    request: dict[str, Any] = {"params": {}, "headers": {}}
    for parameter in operation.get("parameters", ()):
        shown = parameter.get("examples", {}).get(example)
        if shown is None:
            continue
        value = shown["value"]
        text = json.dumps(value) if isinstance(value, bool) else str(value)
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", text)
        else:
            request["params" if parameter["in"] == "query" else "headers"][parameter["name"]] = text
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        if example in content.get("examples", {}):
            body = content["examples"][example]["value"]
            request["content"] = body if isinstance(body, str) else json.dumps(body)
            request["headers"]["content-type"] = media_type
    return method, path, request


CALLS = [(name, example) for name, (_, _, operation) in OPERATIONS.items() for example in examples_of(operation)]
DOCUMENTED_PROBLEMS = [
    (name, int(status), code)
    for name, (_, _, operation) in OPERATIONS.items()
    for status, response in operation["responses"].items()
    if status != "200"
    for code in response["content"]["application/problem+json"]["examples"]
]


def test_the_document_follows_openapi() -> None:
    meta = jsonschema_rs.meta
    for schema in DOCUMENT["components"]["schemas"].values():
        meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    assert DOCUMENT["openapi"] == "3.1.0"
    assert len(OPERATIONS) == len(PUBLIC), "operation ids are unique"


def test_every_reference_leads_somewhere() -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    named = {reference.removeprefix("#/components/schemas/") for reference in references(DOCUMENT)}
    assert named <= DOCUMENT["components"]["schemas"].keys()
    assert len(named) > 8


def test_every_operation_parameter_and_member_is_described() -> None:
    for name, (_, _, operation) in OPERATIONS.items():
        assert operation["summary"], name
        assert operation["description"], name
        assert all(parameter["description"] for parameter in operation.get("parameters", ())), name
        assert examples_of(operation), name
    bare = [
        f"{name}.{member}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for member, held in schema.get("properties", {}).items()
        if "description" not in held
    ]
    assert not bare


@pytest.mark.parametrize(("name", "example"), CALLS)
def test_every_example_has_the_form_that_its_schema_declares(name: str, example: str) -> None:
    _, _, operation = OPERATIONS[name]
    [content] = operation["responses"]["200"]["content"].values()
    schema_of(content["schema"]).validate(content["examples"][example]["value"])
    for parameter in operation.get("parameters", ()):
        if example in parameter.get("examples", {}):
            schema_of(parameter["schema"]).validate(parameter["examples"][example]["value"])
    for body in operation.get("requestBody", {}).get("content", {}).values():
        if example in body.get("examples", {}):
            schema_of(body["schema"]).validate(body["examples"][example]["value"])


@pytest.fixture(scope="module", autouse=True)
def people(owner: Owner) -> None:
    """Declare and import what the example of fairness asks about."""
    with owner.place.project_file.open("a", encoding="utf-8") as file:
        file.write("\n\nclass Person(sg.Protected, entity=Movement.account):\n    sex: sg.Category\n")
    spec = load_project(owner.place.project_file).protected["Person"]
    accounts = [f"acc-{number:05d}" for number in range(1_000)]
    frame = pl.DataFrame({"account": accounts, "sex": ["f", "m"] * 500})
    assert import_protected_frames(owner.place, [frame], spec).entities == 1_000


def test_every_example_is_answered_as_documented(admin: Client) -> None:
    """In the order of the document, on one lender: later calls see what earlier ones did."""
    for name, example in CALLS:
        _, _, operation = OPERATIONS[name]
        method, path, request = request_of(name, example)
        [(media_type, content)] = operation["responses"]["200"]["content"].items()
        shown = content["examples"][example]["value"]
        if media_type == "text/event-stream":
            text = admin.stream(path, lambda seen: seen.count(b"event: score") >= 1, **request)
            assert text.startswith(b": connected\n\n")
            continue
        answer = admin(method, path, **request)
        assert answer.status_code == 200, (name, example, answer.text)
        assert answer.headers["content-type"].partition(";")[0] == media_type, name
        if media_type != "application/json":
            continue
        schema_of(content["schema"]).validate(answer.json())
        same_form(shown, answer.json(), f"{name} {example}")


def same_form(shown: Any, given: Any, place: str) -> None:
    """An example may have other numbers and fewer features than the answer, but nothing that the answer has not."""
    if isinstance(shown, dict):
        assert isinstance(given, dict), place
        assert shown.keys() <= given.keys(), (place, shown.keys() - given.keys())
        for key, value in shown.items():
            same_form(value, given[key], f"{place}.{key}")
    elif isinstance(shown, list):
        assert isinstance(given, list), place
        assert bool(shown) <= bool(given), (place, given)
        for value, inner in zip(shown, given, strict=False):
            same_form(value, inner, f"{place}[]")
    elif isinstance(shown, str) and place.rpartition(".")[2] in {
        "entity",
        "model",
        "event_id",
        "stream",
        "reason",
        "name",
    }:
        assert shown == given, place


def test_every_operation_documents_its_rights(stranger: Client, keys: dict[str, str]) -> None:
    assert keys
    for name, (method, path, operation) in OPERATIONS.items():
        if "security" not in operation:
            assert stranger(method, path).status_code == 200, name
            continue
        assert stranger(method, path).json()["code"] == "unauthorized", name


Call = tuple[str, str, dict[str, Any]]


def get(path: str) -> list[Call]:
    return [("GET", path, {})]


def post(path: str, **request: Any) -> list[Call]:
    return [("POST", path, request)]


def decide(decision_id: str, event: dict[str, Any]) -> list[Call]:
    return post("/v1/decisions", json={"decision_id": decision_id, "event": event})


def provocations(owner: Owner) -> dict[tuple[str, str], list[Call]]:
    """Return, for each documented problem that a caller can bring about, the calls of which the last one does."""
    too_large = b" " * (owner.place.settings.api.max_body_bytes + 1)
    application: dict[str, Any] = {"stream": "Application", "id": "p-1", "account": "acc-00009", "term_months": 6}
    application |= {"asked_at": "2026-01-01T08:00:00Z", "amount": "900.00"}
    movement: dict[str, Any] = {"stream": "Movement", "id": "p-3", "account": "acc-00009", "kind": "fee", "amount": 1}
    movement |= {"booked_at": "2026-01-01T08:00:00Z"}
    calls = {
        ("post_events", "events-rejected"): post("/v1/events", json={"stream": "Movment"}),
        ("post_events", "too-many-events"): post("/v1/events", content=b"[" + b"1," * 10_000 + b"1]"),
        ("post_decision", "decision-conflict"): decide("p-1", application)
        + decide("p-1", {**application, "amount": "901.00"}),
        ("post_decision", "event-rejected"): decide("p-2", {**application, "amount": "nine"}),
        ("post_decision", "nothing-decides"): decide("p-2", movement),
        ("get_decision", "unknown-name"): get("/v1/decisions/nobody-decided"),
        ("get_decision", "invalid-parameter"): get("/v1/decisions/p-1?full=maybe"),
        ("stream_scores", "invalid-parameter"): get("/v1/scores/stream?after=-1"),
        ("get_models", "invalid-parameter"): get("/v1/models?name=x"),
        ("get_schema", "invalid-parameter"): get("/v1/schema?stream=x"),
        ("get_fairness", "unknown-name"): get("/v1/models/nobodys/fairness"),
        ("get_fairness", "invalid-parameter"): get("/v1/models/application-risk/fairness?group=f"),
        ("get_quarantine", "invalid-parameter"): get("/v1/quarantine?last=0"),
        ("get_quarantined", "invalid-parameter"): get("/v1/quarantine/x"),
        ("get_quarantined", "unknown-name"): get("/v1/quarantine/999999"),
        ("get_erasures", "invalid-parameter"): get("/v1/erasures?last=1"),
        ("post_erasure", "unknown-name"): post("/v1/erasures", json={"entity": "x", "role": "cart"}),
        ("post_quarantine_retry", "unknown-name"): post("/v1/quarantine/retry", json={"numbers": [999_999]}),
        ("get_score", "needs-event"): get("/v1/entities/acc-00007/score?model=application-risk"),
        ("get_score", "inactive"): get("/v1/entities/acc-00007/score?as_of=2020-01-01T00:00:00Z"),
    }
    for name, path in (
        ("post_events", "/v1/events"),
        ("post_decision", "/v1/decisions"),
        ("post_quarantine_retry", "/v1/quarantine/retry"),
        ("post_erasure", "/v1/erasures"),
    ):
        csv = {"content-type": "text/csv"}
        calls |= {
            (name, "malformed-body"): post(path, content=b"[1,]"),
            (name, "invalid-parameter"): post(f"{path}?wiat=applied", content=b"{}"),
            (name, "invalid-body"): post(path, content=b"17"),
            (name, "body-too-large"): post(path, content=too_large),
            (name, "unsupported-media-type"): post(path, content=b"a,b", headers=csv),
        }
    for name in ("score", "features"):
        path = f"/v1/entities/acc-00007/{name}"
        calls |= {
            (f"get_{name}", "unknown-name"): get(f"/v1/entities/nobody/{name}"),
            (f"get_{name}", "invalid-parameter"): get(f"{path}?as_of=yesterday"),
            (f"get_{name}", "position-not-reached"): get(f"{path}?min_position={2**62}"),
        }
    return calls


NEEDS_A_FAULT = {"internal", "ledger-unavailable", "storage-unavailable", "not-ready", "decision-erased"}
"""Problems that no caller can bring about; tests of their own do."""


def test_every_documented_problem_that_a_caller_can_cause_is_caused_and_looks_as_documented(
    admin: Client, owner: Owner
) -> None:
    calls = provocations(owner)
    tested_elsewhere = NEEDS_A_FAULT | {"unauthorized", "missing-scope"}
    expected = {(name, code) for name, _, code in DOCUMENTED_PROBLEMS if code not in tested_elsewhere}
    assert calls.keys() == expected
    for name, status, code in DOCUMENTED_PROBLEMS:
        if code in tested_elsewhere:
            continue
        answer = [admin(method, path, **request) for method, path, request in calls[name, code]][-1]
        assert (answer.status_code, answer.json().get("code")) == (status, code), (name, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        _, _, operation = OPERATIONS[name]
        content = operation["responses"][str(status)]["content"]["application/problem+json"]
        schema_of(content["schema"]).validate(answer.json())
        shown = content["examples"][code]["value"]
        assert {key: answer.json()[key] for key in ("type", "title", "status", "code")} == {
            key: shown[key] for key in ("type", "title", "status", "code")
        }
        assert len(answer.json()["detail"]) > 20
        assert ("retry-after" in answer.headers) == (KINDS[code].retry_after is not None)


def test_the_document_is_served_without_a_key(stranger: Client) -> None:
    assert stranger.get("/openapi.json").json() == DOCUMENT
