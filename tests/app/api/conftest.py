"""Clients of the API in this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI

from streamgauge.app.api.application import create_app
from streamgauge.app.api.security import LocalCallers
from streamgauge.app.keys import SCOPES, Keys
from streamgauge.app.owner import Owner

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def keys(owner: Owner) -> dict[str, str]:
    """One key a scope."""
    book = Keys(owner.place.keys)
    return {scope: book.create(f"{scope} only", [scope], owner.clock.now_us())[0] for scope in SCOPES}


@pytest.fixture(scope="module")
def app(owner: Owner, keys: dict[str, str]) -> FastAPI:
    assert keys
    return impatient(create_app(owner, Keys(owner.place.keys)))


def impatient(app: FastAPI) -> FastAPI:
    """Let reads of an application wait a millisecond for a position."""
    app.state.api.settings = app.state.api.settings.model_copy(update={"wait": 0.001})
    return app


class Client:
    """Asks an application in this process, each call on an event loop of its own."""

    def __init__(self, app: Any, headers: dict[str, str] | None = None) -> None:
        self._app = app
        self._headers = headers or {}

    def __call__(self, method: str, path: str, **request: Any) -> httpx.Response:
        return asyncio.run(self._ask(method, path, **request))

    def get(self, path: str, **request: Any) -> httpx.Response:
        return self("GET", path, **request)

    def post(self, path: str, **request: Any) -> httpx.Response:
        return self("POST", path, **request)

    def stream(self, path: str, enough: Callable[[bytes], bool], **request: Any) -> bytes:
        """Return what an endless answer says until it is enough, then go away."""
        return asyncio.run(asyncio.wait_for(self._stream(path, enough, **request), 20))

    async def _stream(
        self, path: str, enough: Callable[[bytes], bool], params: Any = None, headers: Any = None
    ) -> bytes:
        request = httpx.Request(
            "GET", f"http://test{path}", params=params, headers={**self._headers, **(headers or {})}
        )
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": request.url.path,
            "raw_path": request.url.raw_path,
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": ("test", 80),
            "client": ("127.0.0.1", 1),
        }
        seen = bytearray()
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            seen.extend(message.get("body", b""))
            if enough(bytes(seen)):
                gone.set()

        await self._app(scope, receive, send)
        return bytes(seen)

    async def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=self._headers) as client:
            return await client.request(method, path, **request)


@pytest.fixture(scope="module")
def admin(app: FastAPI, keys: dict[str, str]) -> Client:
    """A caller with a key for everything."""
    return Client(app, {"authorization": f"Bearer {keys['admin']}"})


@pytest.fixture(scope="module")
def stranger(app: FastAPI) -> Client:
    """A caller without a key."""
    return Client(app)


@pytest.fixture(scope="module")
def local(app: FastAPI) -> Client:
    """A caller on the Unix socket."""
    return Client(LocalCallers(app))
