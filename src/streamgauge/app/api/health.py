"""``/healthz``, ``/readyz`` and ``/metrics``: for whoever watches over the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from streamgauge.app.api.operations import Api, Operation, answered
from streamgauge.app.api.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request


async def get_health(api: Api, request: Request) -> Response:  # noqa: ARG001 - the form of every handler
    """Answer: the process lives."""
    return answered({"status": "ok"})


async def get_readiness(api: Api, request: Request) -> Response:  # noqa: ARG001 - the form of every handler
    """Answer whether events are accepted and applied."""
    health = api.owner.health()
    if not health.get("ready") or api.news.stopping:
        detail = "Events are not applied now. What was acknowledged is safe; see the server's log, or restart it."
        raise Problem("not-ready", detail, members={"health": health})
    return answered(health)


async def get_metrics(api: Api, request: Request) -> Response:  # noqa: ARG001 - the form of every handler
    """Return everything that is measured."""
    return Response(api.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/healthz",
        name="get_health",
        tag="Operation",
        summary="The process lives",
        description="Answers as long as the process does. Needs no key.",
        handle=get_health,
        scope=None,
        answer={"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]},
    ),
    Operation(
        method="GET",
        path="/readyz",
        name="get_readiness",
        tag="Operation",
        summary="Events are accepted and applied",
        description=(
            "200 while the engine runs, 503 when it stopped or is stopping. `verification` says how many decisions and "
            "scores were recomputed while serving and which differed; alert on any. Needs no key."
        ),
        handle=get_readiness,
        scope=None,
        answer={"type": "object", "properties": {"ready": {"const": True}}, "required": ["ready"]},
        problems=("not-ready",),
    ),
    Operation(
        method="GET",
        path="/metrics",
        name="get_metrics",
        tag="Operation",
        summary="Prometheus metrics",
        description="Events, freshness, decisions, positions and requests, for Prometheus. Needs no key.",
        handle=get_metrics,
        scope=None,
        answer={"type": "string"},
        media_type="text/plain",
    ),
)
