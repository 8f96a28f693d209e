"""Who may ask what: API keys on the network, file permissions on the owner's own socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from streamgauge.app.api.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from streamgauge.app.keys import Keys

FORWARDED: Final = "x-streamgauge-forwarded"
"""The header of a request that a worker passes on, with the name of who asked; it is the worker that counts it."""

CALLER: Final = "streamgauge.caller"
_LOCAL: Final = "streamgauge.local"


class LocalCallers:
    """Marks every request of an app as coming over the Unix socket, which only the owner's user can open.

    The mark is set by the server that listens there. Nothing that a caller sends can set it.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Mark the request and pass it on."""
        scope[_LOCAL] = True
        await self._app(scope, receive, send)


def is_local(request: Request) -> bool:
    """Return whether a request came over the Unix socket."""
    return _LOCAL in request.scope


def admit(request: Request, keys: Keys | None, scope: str | None) -> None:
    """Let a request pass that may ask for a scope.

    Args:
        request: The request; its key stands in ``Authorization: Bearer`` or ``X-API-Key``.
        keys: The keys, or None where none is needed.
        scope: The scope, or None where everybody may ask.

    Raises:
        Problem: It has no key, an unknown one, or one that does not open the scope.
    """
    if scope is None or keys is None or is_local(request):
        request.scope[CALLER] = "anybody"
        return
    presented = _presented(request)
    entry = keys.find(presented) if presented else None
    if entry is None:
        known = "This API key is not known, or was revoked" if presented else "The request has no API key"
        raise Problem(
            "unauthorized",
            f"{known}. Send one as: Authorization: Bearer sg_… (make one with: streamgauge keys create).",
            headers={"www-authenticate": 'Bearer realm="streamgauge"'},
        )
    if not entry.opens(scope):
        raise Problem(
            "missing-scope",
            f'The key "{entry.name}" opens {", ".join(entry.scopes)}; this needs {scope}. '
            f"Make one with: streamgauge keys create NAME --scope {scope}.",
            headers={"www-authenticate": f'Bearer realm="streamgauge", error="insufficient_scope", scope="{scope}"'},
        )
    request.scope[CALLER] = entry.name


def caller(request: Request, keys: Keys | None) -> str:
    """Return who asks: the name of the key, or where it came from."""
    if is_local(request):
        return unquote(request.headers.get(FORWARDED, "the owner's socket"))
    presented = _presented(request)
    entry = keys.find(presented) if keys is not None and presented else None
    return "anybody" if entry is None else entry.name


def _presented(request: Request) -> str:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return key.strip()
    return request.headers.get("x-api-key", "").strip()
