"""The hot routes, answered before the framework: its middleware and search for a route cost as much as a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from fastapi import FastAPI
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from starlette.types import Receive, Scope, Send

    Endpoint = Callable[[Request], Awaitable[Response]]

_HTTP: Final = "http"


class LeanRequest:
    """What handlers use of a Starlette request, made of a few dictionaries."""

    __slots__ = ("_receive", "headers", "method", "path_params", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path_params: Mapping[str, Any] = scope.get("path_params", {})
        self._receive = receive
        # Of a header sent twice the first counts, as in Starlette.
        self.headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(list(scope["headers"]))
        }

    @property
    def query_params(self) -> QueryParams:
        """The parameters behind the question mark."""
        return QueryParams(self.scope["query_string"])

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        Raises:
            ClientDisconnect: The connection ended first.
        """
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            more = message.get("more_body", False)
            yield message.get("body", b"")


class DirectApp(FastAPI):
    """A FastAPI application that answers a few routes by itself, by method and exact path.

    Their endpoints answer every error themselves.
    """

    direct: Mapping[tuple[str, str], Endpoint] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or leave it to the framework."""
        endpoint = self.direct.get((scope["method"], scope["path"])) if scope["type"] == _HTTP else None
        if endpoint is None:
            await super().__call__(scope, receive, send)
            return
        response = await endpoint(cast("Request", LeanRequest(scope, receive)))
        if type(response) is not Response:
            await response(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": response.body})
