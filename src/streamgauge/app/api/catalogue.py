"""``GET /v1/models`` and ``/v1/schema``: what is served, and what is declared."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from streamgauge.app.answers import ModelAnswer
from streamgauge.app.api.operations import Api, Operation, answered
from streamgauge.app.api.parameters import Parameters
from streamgauge.app.schema_report import SchemaAnswer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def get_models(api: Api, request: Request) -> Response:
    """Return all registered models."""
    Parameters(request, ())
    return answered(await asyncio.to_thread(api.owner.models))


async def get_schema(api: Api, request: Request) -> Response:
    """Return the declared streams and how what comes in differs."""
    Parameters(request, ())
    return answered(await asyncio.to_thread(api.owner.schema))


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/models",
        name="get_models",
        tag="Models",
        summary="Registered models",
        description="Every registered version, champions marked, with metrics and hashes.",
        handle=get_models,
        scope="read",
        answer=list[ModelAnswer],
        problems=("invalid-parameter",),
    ),
    Operation(
        method="GET",
        path="/v1/schema",
        name="get_schema",
        tag="Models",
        summary="Streams, and drift of their schema",
        description=(
            "The streams as the project file declares them now, where that differs from what the log knows, and fields "
            "that came in otherwise than declared: counts, first and last seen, and types, never values."
        ),
        handle=get_schema,
        scope="admin",
        answer=SchemaAnswer,
        problems=("invalid-parameter",),
    ),
)
