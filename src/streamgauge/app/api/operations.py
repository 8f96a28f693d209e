"""What the API offers: an operation is its route, its rights, its documentation and the function that answers it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from starlette.responses import Response

from streamgauge.app.api.problems import Problem, problem_of
from streamgauge.app.api.security import FORWARDED, admit, is_local

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from streamgauge.app.api.jobs import Jobs
    from streamgauge.app.api.news import ScoreNews
    from streamgauge.app.keys import Keys
    from streamgauge.app.metrics import Metrics
    from streamgauge.app.owner import Owner
    from streamgauge.app.settings import ApiSettings

_ENCODER: Final = msgspec.json.Encoder()


class Counts(Protocol):
    """Counts requests."""

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one."""


@dataclass(slots=True)
class Api:
    """What every answer is made from.

    Attributes:
        owner: Answers.
        keys: The API keys, or None where none is needed.
        settings: The limits.
        metrics: Counts requests.
        news: Wakes the streams of scores.
        jobs: Runs what takes long.
    """

    owner: Owner
    keys: Keys | None
    settings: ApiSettings
    metrics: Metrics
    news: ScoreNews
    jobs: Jobs


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operation.

    Attributes:
        name: Its name.
        description: What it means.
        schema: Its JSON Schema.
        place: ``query``, ``path`` or ``header``.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Example:
    """One call as it is documented, with its answer. Every one of them is executed by the tests.

    Attributes:
        name: Unique within the operation; ties parameters, body and answer together.
        summary: What it shows.
        parameters: Values by the parameters' names.
        body: The body, or None.
        answer: What is answered with 200, or None for no example of it.
        media_type: The body's content type.
    """

    name: str
    summary: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    answer: Any = None
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One thing that can be asked.

    Attributes:
        method: The HTTP method.
        path: The route, as Starlette writes it.
        name: The ``operationId``.
        tag: The chapter it is documented in.
        summary: One line.
        description: Everything else, in Markdown.
        handle: The function that answers.
        scope: What the key must open, or None where no key is needed.
        answer: The type of the answer's body, or a JSON Schema.
        media_type: The answer's content type.
        parameters: What can be said in the address and the headers.
        bodies: Schemas, or types, of the body by content type.
        problems: Codes of the problems that this operation has beside those that every operation has.
        local: Whether it exists on the owner's Unix socket only.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    description: str
    handle: Callable[[Api, Request], Awaitable[Response]]
    scope: str | None
    answer: Any
    media_type: str = "application/json"
    parameters: tuple[Parameter, ...] = ()
    bodies: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    local: bool = False

    @property
    def template(self) -> str:
        """The path as OpenAPI writes it."""
        return self.path.replace(":path}", "}")


def answered(value: object) -> Response:
    """Return an answer as JSON."""
    return Response(_ENCODER.encode(value), media_type="application/json")


def endpoint(api: Api, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    """Return the function that answers an operation's requests, every error as a problem."""
    return guarded(operation, partial(operation.handle, api), api.keys, api.metrics)


def guarded(
    operation: Operation, handle: Callable[[Request], Awaitable[Response]], keys: Keys | None, counts: Counts
) -> Callable[[Request], Awaitable[Response]]:
    """Return a function that lets handle those who may, answers every error as a problem, and counts.

    Args:
        operation: What is asked for.
        handle: Answers it.
        keys: The API keys, or None where none is needed.
        counts: Counts requests.
    """
    template, scope, local = operation.template, operation.scope, operation.local

    async def answer(request: Request) -> Response:
        started = time.perf_counter()
        try:
            if local and not is_local(request):
                raise Problem("no-route", "This is answered on the owner's own socket only.")  # noqa: TRY301
            admit(request, keys, scope)
            response = await handle(request)
        except Exception as error:  # noqa: BLE001 - no error may leave the API in another form
            response = problem_of(error).response(request.scope["path"])
        if FORWARDED not in request.headers or not is_local(request):
            counts.answered(template, request.method, response.status_code, time.perf_counter() - started)
        return response

    return answer
