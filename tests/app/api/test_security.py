from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamgauge.app.api.application import PUBLIC, create_app
from streamgauge.app.keys import SCOPES, Keys
from tests.app.api.conftest import Client

if TYPE_CHECKING:
    from fastapi import FastAPI

    from streamgauge.app.owner import Owner

GUARDED = [operation for operation in PUBLIC if operation.scope is not None]


@pytest.mark.parametrize("operation", GUARDED, ids=lambda operation: operation.name)
@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_opens_its_scope_and_nothing_else(
    app: FastAPI, keys: dict[str, str], operation: object, scope: str
) -> None:
    operation = next(one for one in GUARDED if one is operation)
    ask = Client(app, {"authorization": f"Bearer {keys[scope]}"})
    # An unknown parameter: whoever is let in is told of it, and nothing is done.
    answer = ask(operation.method, f"{operation.template.replace('{number}', '1')}?nonsense=1")
    if scope in {operation.scope, "admin"}:
        assert answer.json()["code"] == "invalid-parameter"
        return
    assert answer.status_code == 403
    assert answer.json()["code"] == "missing-scope"
    assert operation.scope in answer.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer sg_wrong"},
        {"authorization": "Basic c2c6c2c="},
        {"x-api-key": "sg_wrong"},
        {"x-forwarded-for": "127.0.0.1", "streamgauge.local": "1"},
    ],
)
def test_without_a_known_key_nothing_is_answered(app: FastAPI, headers: dict[str, str]) -> None:
    answer = Client(app, headers).get("/v1/models")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "unauthorized"


def test_a_key_may_stand_in_either_header(app: FastAPI, keys: dict[str, str]) -> None:
    for headers in ({"authorization": f"bearer {keys['read']}"}, {"x-api-key": keys["read"]}):
        assert Client(app, headers).get("/v1/models").status_code == 200


def test_an_erasure_is_noted_under_the_name_of_the_key(admin: Client, local: Client, owner: Owner) -> None:
    asked = {"json": {"entity": "acc-00501"}}
    assert admin.post("/v1/erasures", **asked).json()["by"] == "admin only"
    assert local.post("/v1/erasures", **asked).json()["by"] == "the owner's socket"
    passed_on = {"x-streamgauge-forwarded": "data%20protection"}
    assert local.post("/v1/erasures", headers=passed_on, **asked).json()["by"] == "data protection"
    assert admin.post("/v1/erasures", headers=passed_on, **asked).json()["by"] == "admin only", "a caller cannot say so"
    assert [one.by for one in owner.erasures()][:2] == ["admin only", "data protection"]


def test_a_revoked_key_opens_nothing_from_then_on(app: FastAPI, owner: Owner) -> None:
    book = Keys(owner.place.keys)
    key, entry = book.create("for a moment", ["read"], 0)
    ask = Client(app, {"x-api-key": key})
    assert ask.get("/v1/models").status_code == 200
    book.revoke(entry.id)
    assert ask.get("/v1/models").status_code == 401


def test_a_damaged_key_file_lets_nobody_in(owner: Owner, keys: dict[str, str]) -> None:
    whole = owner.place.keys.read_bytes()
    owner.place.keys.write_bytes(whole[:-20])
    try:
        app = create_app(owner, Keys(owner.place.keys))
        assert Client(app, {"x-api-key": keys["read"]}).get("/v1/models").status_code >= 400
    finally:
        owner.place.keys.write_bytes(whole)


def test_the_owners_socket_needs_no_key_and_has_internal_routes(local: Client, admin: Client) -> None:
    assert local.get("/v1/models").status_code == 200
    assert local.post("/internal/verify", json={}).status_code == 200
    assert admin.post("/internal/verify", json={}).json()["code"] == "no-route"


def test_without_keys_everybody_may_ask_but_for_internal_routes(owner: Owner) -> None:
    ask = Client(create_app(owner, None))
    assert ask.get("/v1/models").status_code == 200
    assert ask.post("/internal/reload", json={}).status_code == 404


def test_no_error_names_the_key_that_was_sent(app: FastAPI) -> None:
    answer = Client(app, {"x-api-key": "sg_secret-that-leaked"}).get("/v1/models")
    assert "leaked" not in answer.text
