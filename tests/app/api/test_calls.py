"""What the endpoints promise beyond their form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from streamgauge.app.api.operations import Api
from streamgauge.errors import LedgerUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import FastAPI

    from streamgauge.app.owner import Owner
    from tests.app.api.conftest import Client


def movement(event_id: str, account: str = "acc-00011", **fields: Any) -> dict[str, Any]:
    event = {"stream": "Movement", "id": event_id, "account": account, "booked_at": "2026-01-01T08:00:00Z"}
    return {**event, "amount": "10.00", "kind": "sales", **fields}


def application(event_id: str, account: str = "acc-00011", **fields: Any) -> dict[str, Any]:
    event = {"stream": "Application", "id": event_id, "account": account, "asked_at": "2026-01-01T08:00:00Z"}
    return {**event, "amount": "900.00", "term_months": 6, **fields}


def test_good_events_are_accepted_and_bad_ones_quarantined_in_place(admin: Client) -> None:
    bad = movement("b-2", amount="much")
    answer = admin.post("/v1/events", json=[movement("b-1"), bad, 7, movement("b-3")]).json()
    assert (answer["accepted"], answer["quarantined"]) == (2, 2)
    assert [(one["index"], one["reason"]) for one in answer["refused"]] == [(1, "wrong_type"), (2, "malformed")]
    kept = admin.get(f"/v1/quarantine/{answer['refused'][0]['quarantine']}").json()
    assert json.loads(kept["body"]) == bad


def test_an_event_sent_again_is_a_duplicate_and_another_under_its_id_a_conflict(admin: Client) -> None:
    admin.post("/v1/events", json=movement("c-1"))
    answer = admin.post("/v1/events?wait=applied", json=[movement("c-1"), movement("c-1", amount="11.00")]).json()
    assert (answer["accepted"], answer["duplicates"], answer["conflicts"]) == (2, 1, 1)


def test_no_events_are_no_problem(admin: Client) -> None:
    assert admin.post("/v1/events", json=[]).json()["accepted"] == 0
    assert admin.post(
        "/v1/events?wait=applied", content=b"", headers={"content-type": "application/x-ndjson"}
    ).is_success


def test_a_full_call_is_taken_at_once(admin: Client, owner: Owner) -> None:
    most = owner.place.settings.api.max_events
    before = owner.publisher.position
    answer = admin.post(
        "/v1/events?wait=applied", json=[movement(f"f-{number}", f"f-{number % 50}") for number in range(most)]
    )
    assert answer.json() == {
        "accepted": most, "quarantined": 0, "position": before + most, "refused": [], "duplicates": 0, "conflicts": 0
    }  # fmt: skip


def test_a_read_after_a_write_waits_for_it(admin: Client, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.state.api, "settings", app.state.api.settings.model_copy(update={"wait": 30.0}))
    path = "/v1/entities/reader/features?model=account-risk"
    admin.post("/v1/events?wait=applied", json=movement("d-0", "first"))  # what applies events is compiled by then
    position = admin.post("/v1/events", json=movement("d-1", "reader")).json()["position"]
    answer = admin.get(f"{path}&min_position={position}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["position"] >= position
    assert answer.json()["features"]["CashFlow.inflow_sum_7d"] == 10.0


def test_an_older_position_does_not_know_what_came_later(admin: Client) -> None:
    first = admin.post("/v1/events?wait=applied", json=movement("e-1", "older")).json()["position"]
    admin.post("/v1/events?wait=applied", json=movement("e-2", "older"))
    path = "/v1/entities/older/features?model=account-risk"
    assert admin.get(f"{path}&position={first}").json()["features"]["CashFlow.inflow_sum_7d"] == 10.0
    assert admin.get(path).json()["features"]["CashFlow.inflow_sum_7d"] == 20.0


@pytest.mark.parametrize("entity", ["a/b", "ü", "a b", "a%2Fb", "score", "a?b", "x/score"])
def test_any_id_can_be_asked_for(admin: Client, entity: str) -> None:
    from urllib.parse import quote

    admin.post("/v1/events?wait=applied", json=movement(f"id-{entity}", entity))
    answer = admin.get(f"/v1/entities/{quote(entity, safe='')}/features?model=account-risk")
    assert answer.json().get("entity") == entity, answer.text


def test_an_unknown_entity_names_no_other(admin: Client) -> None:
    answer = admin.get("/v1/entities/acc-0001/score")
    assert answer.status_code == 404
    assert "acc-00" not in answer.text.replace("acc-0001", "")


def test_a_decision_is_the_same_however_often_it_is_asked_for(admin: Client) -> None:
    body = {"decision_id": "d/1", "event": application("a-1")}
    first, again = admin.post("/v1/decisions", json=body).json(), admin.post("/v1/decisions", json=body).json()
    assert (first.pop("repeated"), again.pop("repeated")) == (False, True)
    assert first == again
    assert admin.get("/v1/decisions/d%2F1").json()["digest"] == first["digest"]
    record = admin.get("/v1/decisions/d%2F1?full=true").json()
    assert record["request"]["id"] == "a-1"
    assert record["features"]["Application.amount"] == 900.0


def test_a_decision_of_a_bad_event_is_none_and_the_event_is_quarantined(admin: Client) -> None:
    answer = admin.post("/v1/decisions", json={"decision_id": "q-1", "event": application("q-1", amount="x")})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["place"] == "$.event.amount"
    assert answer.json()["errors"][0]["reason"] == "wrong_type"
    assert admin.get("/v1/decisions/q-1").status_code == 404
    assert admin.get("/v1/quarantine?last=1").json()[0]["event_id"] == "q-1"


@pytest.mark.parametrize("decision_id", ["", "x" * 201, "a\nb", "\u200b\u2028"])
def test_a_decision_id_is_a_short_printable_text(admin: Client, decision_id: str) -> None:
    answer = admin.post("/v1/decisions", json={"decision_id": decision_id, "event": application("i-1")})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["place"] == "$.decision_id"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "no-route"),
        ("GET", "/docs", 404, "no-route"),
        ("GET", "/v1/events/", 404, "no-route"),
        ("GET", "/v1/entities/a", 404, "no-route"),
        ("GET", "/v1/events", 405, "method-not-allowed"),
        ("DELETE", "/v1/models", 405, "method-not-allowed"),
        ("TRACE", "/v1/models", 405, "method-not-allowed"),
    ],
)
def test_even_what_is_not_there_is_a_problem(stranger: Client, method: str, path: str, status: int, code: str) -> None:
    answer = stranger(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("allow" in answer.headers) == (status == 405)


def test_heads_are_answered(admin: Client) -> None:
    for path in ("/v1/models", "/healthz", "/v1/scores/stream"):
        assert admin("HEAD", path).status_code == 200


def test_the_stream_resumes_where_it_was_left(admin: Client) -> None:
    start = admin.post("/v1/events?wait=applied", json=movement("s-0", "acc-00007")).json()["position"]
    admin.post("/v1/events?wait=applied", json=[movement(f"s-{number}", "acc-00007") for number in range(1, 6)])
    path = "/v1/scores/stream"

    def follow(scores: int, **request: Any) -> list[dict[str, Any]]:
        text = admin.stream(path, lambda seen: seen.count(b"event: score") >= scores, **request)
        blocks = [block.split("\n") for block in text.decode().split("\n\n") if block.startswith("id: ")]
        return [{"number": int(block[0][4:]), **json.loads(block[2][6:])} for block in blocks]

    scores = follow(5, params={"after": start, "entity": "acc-00007", "model": "account-risk"})
    assert [score["event_id"] for score in scores] == [f"s-{number}" for number in range(1, 6)]
    resumed = follow(2, headers={"last-event-id": str(scores[2]["number"])}, params={"after": 0})
    assert [score["event_id"] for score in resumed] == ["s-4", "s-5"]


def test_the_stream_leaves_out_what_was_not_asked_for(admin: Client) -> None:
    start = admin.post("/v1/events?wait=applied", json=movement("t-0", "acc-00007")).json()["position"]
    admin.post("/v1/events?wait=applied", json=application("t-1", "acc-00007"))
    asked = {"after": start, "model": "application-risk"}
    text = admin.stream("/v1/scores/stream", lambda seen: b"event: score" in seen, params=asked)
    assert b'"model":"application-risk"' in text
    assert b'"model":"account-risk"' not in text


def test_a_silent_stream_shows_that_it_lives(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamgauge.app.api.stream.HEARTBEAT_S", 0.01)
    assert b": alive\n\n" in admin.stream("/v1/scores/stream", lambda seen: b": alive" in seen)


def test_long_work_tells_how_far_it_is_and_then_answers(local: Client, tmp_path: Path) -> None:
    file = tmp_path / "more.jsonl"
    rows = [{key: value for key, value in movement(f"l-{number}").items() if key != "stream"} for number in range(3)]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    answer = local.post("/internal/ingest-file", json={"path": str(file), "stream": "Movement"})
    *progress, last = [json.loads(line) for line in answer.text.splitlines()]
    assert last["answer"]["accepted"] == 3
    assert all(list(line) == ["progress"] for line in progress)


def test_long_work_that_fails_ends_with_a_problem(local: Client) -> None:
    lines = local.post("/internal/import-file", json={"path": "/nowhere.csv", "stream": "Movement"}).text.splitlines()
    assert json.loads(lines[-1])["problem"]["error"] == "ImportRefused"
    relative = local.post("/internal/ingest-file", json={"path": "here.csv", "stream": "Movement"}).text.splitlines()
    assert json.loads(relative[-1])["problem"]["code"] == "invalid-body"


def test_events_over_the_socket_are_answered_even_if_all_are_refused(local: Client) -> None:
    answer = local.post("/internal/ingest", json={"events": [{"stream": "Movment"}], "applied": True})
    assert answer.status_code == 200
    assert answer.json()["quarantined"] == 1


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (LedgerUnavailable("The ledger is locked. Send it again."), 503, "ledger-unavailable"),
        (OSError(28, "No space left on device"), 503, "storage-unavailable"),
        (ZeroDivisionError("a secret"), 500, "internal"),
    ],
)
def test_a_fault_inside_is_a_problem_that_tells_nothing_of_the_inside(
    admin: Client, app: FastAPI, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    api: Api = app.state.api

    def fail(decision_id: str) -> None:
        assert decision_id
        raise error

    monkeypatch.setattr(api.owner, "decision", fail)
    answer = admin.get("/v1/decisions/x")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)
