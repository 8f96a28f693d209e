"""The API: one application over one owner."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from streamgauge.app.api import (
    catalogue,
    decisions,
    entities,
    erasures,
    events,
    fairness,
    health,
    internal,
    quarantine,
    stream,
)
from streamgauge.app.api.direct import DirectApp
from streamgauge.app.api.jobs import Jobs
from streamgauge.app.api.news import ScoreNews
from streamgauge.app.api.openapi import document
from streamgauge.app.api.operations import Api, endpoint
from streamgauge.app.api.problems import problem_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from fastapi import FastAPI
    from starlette.requests import Request

    from streamgauge.app.api.operations import Operation
    from streamgauge.app.keys import Keys
    from streamgauge.app.owner import Owner

    Endpoint = Callable[[Request], Awaitable[Response]]

PUBLIC: Final[tuple[Operation, ...]] = (
    *events.OPERATIONS,
    *entities.OPERATIONS,
    *decisions.OPERATIONS,
    *stream.OPERATIONS,
    *catalogue.OPERATIONS,
    *fairness.OPERATIONS,
    *quarantine.OPERATIONS,
    *erasures.OPERATIONS,
    *health.OPERATIONS,
)
"""What is offered on the network."""


DIRECT: Final = frozenset({"/v1/events", "/v1/decisions"})
"""What is posted to these is answered before the framework."""


def create_app(owner: Owner, keys: Keys | None) -> FastAPI:
    """Return the application that answers for an owner.

    Handlers read and write JSON by msgspec and are documented by their `Operation`; FastAPI routes them and catches
    what escapes.

    Args:
        owner: Answers.
        keys: The API keys, or None where callers need none.
    """
    api = Api(owner, keys, owner.place.settings.api, owner.metrics, ScoreNews(owner.publisher), Jobs())
    app = application_of({operation: endpoint(api, operation) for operation in (*PUBLIC, *internal.OPERATIONS)})
    app.state.api = api
    return app


def application_of(endpoints: Mapping[Operation, Endpoint]) -> FastAPI:
    """Return the application that answers operations by these functions."""
    described = msgspec.json.encode(document(PUBLIC))

    async def get_openapi(request: Request) -> Response:  # noqa: ARG001 - the form of every route
        return Response(described, media_type="application/json")

    routes = [
        Route(operation.path, answer, methods=[operation.method], name=operation.name)
        for operation, answer in endpoints.items()
    ]
    app = DirectApp(
        title="Streamgauge",
        openapi_url=None,  # the document is made from the operations, once
        docs_url=None,  # FastAPI's pages load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        routes=[*routes, Route("/openapi.json", get_openapi, methods=["GET"], name="get_openapi")],
        exception_handlers={HTTPException: _problem, Exception: _problem},
    )
    app.direct = {
        (operation.method, operation.path): answer
        for operation, answer in endpoints.items()
        if operation.path in DIRECT and operation.method == "POST"
    }
    app.openapi = partial(document, PUBLIC)  # type: ignore[method-assign] # FastAPI's documented hook
    return app


async def _problem(request: Request, error: Exception) -> Response:
    return problem_of(error).response(request.scope["path"])
