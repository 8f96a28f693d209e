"""``GET /v1/models``: what is registered and served."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from streamgauge.app.answers import ModelAnswer
from streamgauge.app.api.operations import Api, Operation, answered
from streamgauge.app.api.parameters import Parameters

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def get_models(api: Api, request: Request) -> Response:
    """Return all registered models."""
    Parameters(request, ())
    return answered(await asyncio.to_thread(api.owner.models))


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
)
