"""``GET /v1/models/{model}/fairness``: what becomes of groups of people, for those who may know."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from streamgauge.app.api.operations import Api, Operation, Parameter, answered
from streamgauge.app.api.parameters import Parameters
from streamgauge.models.fairness_report import FairnessReport

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def get_fairness(api: Api, request: Request) -> Response:
    """Return the fairness report of a model's champion."""
    from streamgauge.app.protecting import fairness
    from streamgauge.definitions.loader import load_project

    Parameters(request, ())
    place = api.owner.place
    project = await asyncio.to_thread(load_project, place.project_file)
    return answered(await asyncio.to_thread(partial(fairness, place, project, request.path_params["model"])))


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/models/{model}/fairness",
        name="get_fairness",
        tag="Models",
        summary="Groups of people",
        description="What the champion's features tell of protected attributes, and how it and the project file's "
        "policy treat each group, on rows it was not fitted on. Computed anew at each call, in some seconds. No row of "
        "a person is answered.",
        handle=get_fairness,
        scope="fairness",
        answer=FairnessReport,
        parameters=(Parameter("model", "The model's name.", {"type": "string"}, "path"),),
        problems=("unknown-name", "invalid-parameter"),
    ),
)
