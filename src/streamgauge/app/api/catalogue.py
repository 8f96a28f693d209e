"""``GET /v1/models`` and ``/v1/quarantine``: what is served, and what was refused."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from streamgauge.app.answers import ModelAnswer, QuarantineAnswer
from streamgauge.app.api.operations import Api, Operation, Parameter, answered
from streamgauge.app.api.parameters import Parameters
from streamgauge.app.api.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_MOST: Final = 1_000
_DIGITS: Final = 18


async def get_models(api: Api, request: Request) -> Response:
    """Return all registered models."""
    Parameters(request, ())
    return answered(await asyncio.to_thread(api.owner.models))


async def get_quarantine(api: Api, request: Request) -> Response:
    """Return the newest refused events."""
    last = Parameters(request, ("last",)).integer("last", 1, _MOST)
    return answered(await asyncio.to_thread(partial(api.owner.quarantined, last=last or 100)))


async def get_quarantined(api: Api, request: Request) -> Response:
    """Return one refused event."""
    Parameters(request, ())
    text = request.path_params["number"]
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise Problem.at("invalid-parameter", "path.number", "The number of a refused event is a positive integer.")
    found = await asyncio.to_thread(partial(api.owner.quarantined, number=int(text)))
    if not found:
        raise Problem("unknown-name", f"No event was refused under number {text}. GET /v1/quarantine lists the newest.")
    return answered(found[0])


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
        path="/v1/quarantine",
        name="get_quarantine",
        tag="Quarantine",
        summary="Refused events, newest first",
        description="What was not accepted, or contradicts what was, with the reason and the event as it came.",
        handle=get_quarantine,
        scope="admin",
        answer=list[QuarantineAnswer],
        parameters=(Parameter("last", "How many.", {"type": "integer", "minimum": 1, "maximum": _MOST}),),
        problems=("invalid-parameter",),
    ),
    Operation(
        method="GET",
        path="/v1/quarantine/{number}",
        name="get_quarantined",
        tag="Quarantine",
        summary="One refused event",
        description="A refused event by its number.",
        handle=get_quarantined,
        scope="admin",
        answer=QuarantineAnswer,
        parameters=(Parameter("number", "Its number.", {"type": "integer", "minimum": 0}, "path"),),
        problems=("unknown-name", "invalid-parameter"),
    ),
)
