"""Requests that a worker does not answer by itself, passed on to the owner's own HTTP socket as they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import quote

import httptools
from starlette.responses import Response

from streamgauge.app.api.security import CALLER, FORWARDED
from streamgauge.app.socket_path import SocketPath
from streamgauge.app.workers.link import no_owner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

_CHUNK: Final = 65_536
_ENDLESS: Final = b"text/event-stream"
_DROPPED: Final = {
    b"connection",
    b"keep-alive",
    b"transfer-encoding",
    b"te",
    b"upgrade",
    b"host",
    b"expect",
    FORWARDED.encode("ascii"),
}
_SECRET: Final = {b"authorization", b"x-api-key"}
_DROPPED_BACK: Final = {b"connection", b"transfer-encoding", b"date", b"server"}


class Forwarder:
    """Asks the owner over its Unix socket, a connection for each request.

    Args:
        path: The owner's HTTP socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._streams: set[asyncio.StreamWriter] = set()

    async def __call__(self, request: Request, body: bytes | None = None) -> Response:
        """Return the owner's answer, whose body comes as the owner says it.

        Args:
            request: The request.
            body: Its body, where it was read already.

        Raises:
            Problem: There is no owner, or it ended before it began to answer.
        """
        try:
            with SocketPath(self._path) as place:
                reader, writer = await asyncio.open_unix_connection(place.address)
        except OSError as error:
            raise no_owner() from error
        answer = _Answer()
        try:
            await _send(request, writer, body)
            while answer.status == 0:
                answer.parser.feed_data(await reader.read(_CHUNK) or _nothing())
        except (OSError, httptools.HttpParserError) as error:
            self._closed(writer)
            raise no_owner() from error
        except BaseException:
            self._closed(writer)
            raise
        if any(value.startswith(_ENDLESS) for name, value in answer.headers if name == b"content-type"):
            self._streams.add(writer)
        return _Forwarded(self, answer, reader, writer)

    def close_streams(self) -> None:
        """End the answers that never end by themselves."""
        for writer in list(self._streams):
            self._closed(writer)

    def _closed(self, writer: asyncio.StreamWriter) -> None:
        self._streams.discard(writer)
        writer.close()

    async def body(
        self, answer: _Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        try:
            while True:
                for part in answer.parts:
                    yield part
                answer.parts.clear()
                if answer.complete:
                    return
                data = await reader.read(_CHUNK)
                if not data:
                    return
                answer.parser.feed_data(data)
        except (OSError, httptools.HttpParserError):
            return
        finally:
            self._closed(writer)


class _Answer:
    """An HTTP answer as it is parsed."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()

    def on_body(self, part: bytes) -> None:
        self.parts.append(part)

    def on_message_complete(self) -> None:
        self.complete = True


class _Forwarded(Response):
    """The owner's answer."""

    def __init__(
        self, forwarder: Forwarder, answer: _Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        super().__init__(status_code=answer.status)
        self.raw_headers = [(name, value) for name, value in answer.headers if name not in _DROPPED_BACK]
        self._parts = forwarder.body(answer, reader, writer)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's form
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            while True:
                part = asyncio.ensure_future(anext(self._parts, None))
                await asyncio.wait([part, gone], return_when=asyncio.FIRST_COMPLETED)
                if not part.done():
                    part.cancel()
                    await asyncio.gather(part, return_exceptions=True)
                    return
                if part.result() is None:
                    break
                await send({"type": "http.response.body", "body": part.result(), "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            await self._parts.aclose()  # type: ignore[attr-defined] # a generator's


def _nothing() -> NoReturn:
    raise no_owner()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(request: Request, writer: asyncio.StreamWriter, body: bytes | None) -> None:
    scope = request.scope
    path = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
    if scope["query_string"]:
        path += b"?" + scope["query_string"]
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), path), b"host: owner", b"connection: close"]
    lines.append(f"{FORWARDED}: {quote(scope.get(CALLER, 'anybody'))}".encode("ascii"))
    kept = [(name.lower(), value) for name, value in scope["headers"]]
    if body is not None:
        kept = [(name, value) for name, value in kept if name != b"content-length"]
        kept.append((b"content-length", b"%d" % len(body)))
    chunked = body is None and request.headers.get("transfer-encoding") is not None
    if chunked:
        lines.append(b"transfer-encoding: chunked")
    lines += [name + b": " + value for name, value in kept if name not in _DROPPED and name not in _SECRET]
    writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + (body or b""))
    if body is None:
        async for part in request.stream():
            if part:
                writer.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
                await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
