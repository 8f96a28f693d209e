"""One API worker: HTTP on a socket that all workers share, and the owner behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from streamgauge.app.api import decisions, health
from streamgauge.app.api.application import PUBLIC, application_of
from streamgauge.app.api.bodies import JSON, NDJSON, decode_events, media_type, read_body
from streamgauge.app.api.operations import guarded
from streamgauge.app.api.parameters import Parameters
from streamgauge.app.api.serving import HttpServer, server_of
from streamgauge.app.collecting import calm_collector
from streamgauge.app.deciding import canonical
from streamgauge.app.keys import Keys
from streamgauge.app.wiring import SystemClock
from streamgauge.app.workers.forwarding import Forwarder
from streamgauge.app.workers.frames import Call, Decide, DecideRaw, Ingest
from streamgauge.app.workers.link import OwnerLink, no_owner
from streamgauge.app.workers.port import CALLED
from streamgauge.app.workers.reads import LocalReads
from streamgauge.errors import EventRejected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI
    from starlette.requests import Request

    from streamgauge.app.api.operations import Operation
    from streamgauge.app.settings import ApiSettings, Place
    from streamgauge.app.workers.frames import Answer

_AT_ONCE: Final = 500
"""How many events are validated here; the owner reads a larger body on a thread of its own."""


@dataclass(slots=True)
class Worker:
    """Answers requests, by itself or by the owner.

    Attributes:
        link: The connection on which decisions and events are sent.
        forward: Passes everything else on.
        settings: The limits.
        reads: What is answered here.
    """

    link: OwnerLink
    forward: Forwarder
    settings: ApiSettings
    reads: LocalReads

    async def decide(self, request: Request) -> Response:
        """Have an event decided."""
        asked = await decisions.decision_request(request, self.settings.max_body_bytes)
        declared = self.link.declared
        if declared is None:
            raise no_owner()
        if asked.event.get("stream") in declared.strict:
            with contextlib.suppress(EventRejected):  # the owner refuses it, and quarantines it
                new = declared.validator.one(asked.event)
                flat, digest = canonical(new, declared.streams[new.stream])
                answer = await self.link.ask(
                    lambda number: Decide(number, declared.version, asked.decision_id, new, flat, digest)
                )
                if answer.status:
                    return _response(answer)
        return _response(await self.link.ask(lambda number: DecideRaw(number, asked.decision_id, asked.event)))

    async def ingest(self, request: Request) -> Response:
        """Have events accepted."""
        applied = Parameters(request, ("wait",)).choice("wait", ("applied",)) is not None
        content_type = media_type(request, (JSON, NDJSON))
        body = await read_body(request, self.settings.max_body_bytes)
        found = decode_events(body, content_type, self.settings.max_events)
        declared = self.link.declared
        if declared is None:
            raise no_owner()
        if len(found) <= _AT_ONCE and all(
            isinstance(one, dict) and one.get("stream") in declared.strict for one in found
        ):
            with contextlib.suppress(EventRejected):
                records = [declared.validator.one(one) for one in found]
                answer = await self.link.ask(lambda number: Ingest(number, declared.version, records, applied))
                if answer.status:
                    return _response(answer)
        return await self.forward(request, body)

    async def call(self, name: str, request: Request) -> Response:
        """Have the owner answer a request without a body."""
        self.link.flush()  # what it measures includes what was counted here
        scope = request.scope
        params, query = dict(request.path_params), scope["query_string"]
        return _response(await self.link.ask(lambda number: Call(number, name, scope["path"], params, query)))

    async def read(self, name: str, here: Callable[[Request], Response | None], request: Request) -> Response:
        """Answer a read here, while there is an owner and it is nothing unusual; else have the owner answer it."""
        answer = None if self.link.declared is None else here(request)
        return await self.call(name, request) if answer is None else answer

    async def health(self, request: Request) -> Response:
        """Answer: this process lives."""
        return await health.get_health(None, request)  # type: ignore[arg-type] # it asks nobody

    def handler(self, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
        """Return what answers an operation here."""
        own: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "post_decision": self.decide,
            "post_events": self.ingest,
            "get_health": self.health,
            "get_score": partial(self.read, "get_score", self.reads.score),
            "get_features": partial(self.read, "get_features", self.reads.features),
            "get_decision": partial(self.read, "get_decision", self.reads.decision),
        }
        if operation.name in own:
            return own[operation.name]
        return partial(self.call, operation.name) if operation.name in CALLED else self.forward


class _Counts:
    def __init__(self, link: OwnerLink) -> None:
        self.answered = link.count


def worker_app(worker: Worker, keys: Keys | None) -> FastAPI:
    """Return the application of a worker."""
    counts = _Counts(worker.link)
    return application_of(
        {operation: guarded(operation, worker.handler(operation), keys, counts) for operation in PUBLIC}
    )


def run_worker(place: Place, listener: socket.socket, life: int) -> None:
    """Answer until SIGTERM, or until whoever started this has ended.

    Args:
        place: The project directory.
        listener: Where callers connect.
        life: A descriptor that ends when the supervisor does.
    """
    import uvloop

    from streamgauge.app.compiling import LATER, kernels_compiled
    from streamgauge.features.summary import put_off_summaries

    if not kernels_compiled(LATER):  # the owner sees to it, and one read is no worse without
        put_off_summaries()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(place, listener, life))


async def _serve(place: Place, listener: socket.socket, life: int) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_reader(life, partial(_life_ended, loop, life, stopping))
    link = OwnerLink(place.worker_socket)
    forward = Forwarder(place.socket)
    keys = Keys(place.keys) if place.settings.api.keys else None
    reads = LocalReads(place, SystemClock())
    server = server_of(worker_app(Worker(link, forward, place.settings.api, reads), keys))
    linking = loop.create_task(link.keep())
    waiting = loop.create_task(stopping.wait())
    greeted = loop.create_task(link.greeted.wait())
    await asyncio.wait([greeted, waiting], return_when=asyncio.FIRST_COMPLETED)
    greeted.cancel()
    if not stopping.is_set():
        reads.open()
        serving = loop.create_task(server.serve([listener]))
        await _listening(server, serving)
        with calm_collector(loop):
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await asyncio.wait([waiting, serving], return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        forward.close_streams()
        await serving
    waiting.cancel()
    linking.cancel()
    await asyncio.gather(linking, return_exceptions=True)
    reads.close()


async def _listening(server: HttpServer, serving: asyncio.Task[Any]) -> None:
    listening = asyncio.ensure_future(server.listening.wait())
    await asyncio.wait([listening, serving], return_when=asyncio.FIRST_COMPLETED)
    listening.cancel()


def _life_ended(loop: asyncio.AbstractEventLoop, life: int, stopping: asyncio.Event) -> None:
    if not os.read(life, 1):
        loop.remove_reader(life)
        stopping.set()


def _response(answer: Answer) -> Response:
    if not answer.headers:
        return Response(answer.body, answer.status, media_type=JSON)
    return Response(answer.body, answer.status, answer.headers)
