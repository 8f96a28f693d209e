"""The owner's side: what workers ask is done, many requests at once on each connection."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from streamgauge.app.api import catalogue, decisions, entities, health
from streamgauge.app.api.decisions import refusal_of
from streamgauge.app.api.direct import LeanRequest
from streamgauge.app.api.events import answer_events
from streamgauge.app.api.problems import problem_of
from streamgauge.app.deciding import Asked
from streamgauge.app.submitting import submit_records
from streamgauge.app.workers.frames import (
    PROTOCOL,
    Answer,
    Call,
    Counted,
    Decide,
    DecideRaw,
    FrameError,
    Frames,
    Hello,
    Ingest,
    decode_from_worker,
    frame,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Message

    from streamgauge.app.answers import DecisionAnswer, IngestAnswer
    from streamgauge.app.api.operations import Api
    from streamgauge.app.owner import Owner
    from streamgauge.app.workers.frames import FromWorker
    from streamgauge.definitions.schema import StreamSpec

_encode: Final = msgspec.json.Encoder().encode
_DECISIONS: Final = "/v1/decisions"
_EVENTS: Final = "/v1/events"
_ENDED_S: Final = 1.0


CALLED: Final = {
    operation.name: operation
    for operation in (*entities.OPERATIONS, *decisions.OPERATIONS, *catalogue.OPERATIONS, *health.OPERATIONS)
    if operation.method == "GET"
}
"""What workers ask for in a frame: it has no body, and a short answer."""


class WorkerPort:
    """Answers the frames of every worker; lives on the owner's event loop.

    Attributes:
        owner: Does what is asked.
        api: Answers reads.
        connections: Workers that are connected.
    """

    def __init__(self, owner: Owner, api: Api) -> None:
        self.owner = owner
        self.api = api
        self.connections: set[_Connection] = set()
        self._streams: Mapping[str, StreamSpec] = owner.intake.streams
        self._version = 1
        owner.metrics.watch_workers(lambda: len(self.connections))

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        return _Connection(self)

    def close(self) -> None:
        """Let every worker go."""
        for connection in list(self.connections):
            connection.close()

    def forget_readers(self) -> None:
        """Let go of what workers that died were reading."""
        with suppress(Exception):  # the store was closed, or is being put in another's place
            self.owner.engine.applier.store.forget_readers()

    def version(self) -> int:
        """Return the number of the declarations in force; where they have changed, every worker is told."""
        if self.owner.intake.streams is not self._streams:
            self._streams = self.owner.intake.streams
            self._version += 1
            for connection in self.connections:
                connection.say(self.hello())
        return self._version

    def hello(self) -> Hello:
        """Return what a worker has to know."""
        return Hello(PROTOCOL, self._version, dict(self._streams))


class _Connection(asyncio.Protocol):
    """One worker."""

    def __init__(self, port: WorkerPort) -> None:
        self._port = port
        self._frames = Frames()
        self._said: list[Any] = []
        self._running: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = transport  # type: ignore[assignment] # a stream's
        self._port.connections.add(self)
        self.say(self._port.hello())

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the form of the protocol
        self._port.connections.discard(self)
        # Its process is ending, or has ended; if in the middle of a read, what it read must not be kept for ever.
        self._loop.call_later(_ENDED_S, self._port.forget_readers)

    def data_received(self, data: bytes) -> None:
        try:
            batches = [decode_from_worker(body) for body in self._frames.feed(data)]
        except (FrameError, msgspec.DecodeError):
            self._transport.abort()
            return
        for batch in batches:
            self._take(batch)

    def say(self, message: Hello | Answer) -> None:
        """Send a message, together with all that is said in this turn of the loop."""
        if not self._said:
            self._loop.call_soon(self._send)
        self._said.append(message)

    def close(self) -> None:
        """Send what was said, and close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._said and not self._transport.is_closing():
            self._transport.write(frame(self._said))
        self._said = []

    def _take(self, batch: list[FromWorker]) -> None:
        version = self._port.version()
        decisions: list[Decide] = []
        for one in batch:
            if isinstance(one, Decide | Ingest) and one.version != version:
                self.say(Answer(one.number, 0))
            elif isinstance(one, Decide):
                decisions.append(one)
            elif isinstance(one, Counted):
                for request in one.requests:
                    self._port.owner.metrics.answered(*request)
            elif isinstance(one, Ingest):
                self._ingest(one)
            elif isinstance(one, Call):
                self._run(self._call(one))
            else:
                self._run(self._decide_raw(one))
        if decisions:
            self._decide(decisions)

    def _decide(self, decisions: list[Decide]) -> None:
        started = time.perf_counter()
        asked = [Asked(one.decision_id, one.new, one.request, one.digest, started) for one in decisions]

        def told(done: asyncio.Future[list[DecisionAnswer | Exception]]) -> None:
            error = done.exception()
            answers = [error] * len(decisions) if error is not None else done.result()
            for one, answer in zip(decisions, answers, strict=True):
                self._answer_decision(one.number, answer)

        try:
            self._port.owner.desk.ask_many(asked).add_done_callback(told)
        except RuntimeError as error:  # the owner is closing
            for one in decisions:
                self._answer_decision(one.number, error)

    def _answer_decision(self, number: int, answer: DecisionAnswer | BaseException) -> None:
        if isinstance(answer, BaseException):
            self._respond(number, lambda: refusal_of(_as_exception(answer)).response(_DECISIONS))
        else:
            self.say(Answer(number, 200, _encode(answer)))

    def _ingest(self, one: Ingest) -> None:
        pending = submit_records(self._port.owner.engine, one.records)
        future = asyncio.wrap_future(pending.applied if one.applied else pending.appended, loop=self._loop)

        def told(done: asyncio.Future[IngestAnswer]) -> None:
            self._respond(one.number, lambda: answer_events(done.result()), _EVENTS)

        future.add_done_callback(told)

    async def _decide_raw(self, one: DecideRaw) -> None:
        try:
            answer: DecisionAnswer | Exception = await self._port.owner.adecide(one.decision_id, one.event)
        except Exception as error:  # noqa: BLE001 - it is the caller's
            answer = error
        self._answer_decision(one.number, answer)

    async def _call(self, one: Call) -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "path": one.path,
            "path_params": one.path_params,
            "query_string": one.query,
            "headers": [],
        }
        request = cast("Request", LeanRequest(scope, _no_body))
        try:
            response = await CALLED[one.name].handle(self._port.api, request)
        except Exception as error:  # noqa: BLE001 - it is the caller's
            response = problem_of(error).response(one.path)
        self._respond(one.number, lambda: response)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _respond(self, number: int, make: Callable[[], Response], path: str = _DECISIONS) -> None:
        try:
            response = make()
        except Exception as error:  # noqa: BLE001 - it is the caller's
            response = problem_of(error).response(path)
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        self.say(Answer(number, response.status_code, bytes(response.body), headers))


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(str(error))


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
