"""``GET /v1/entities/{id}/…``: scores and features of one entity, as of any moment."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streamgauge.app.answers import FeaturesAnswer, ScoreAnswer
from streamgauge.app.api.operations import Api, Operation, Parameter, answered
from streamgauge.app.api.parameters import Parameters
from streamgauge.errors import PositionNotReached

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

_PARAMETERS: Final = (
    Parameter(
        "entity",
        "The entity's id, percent-encoded; with its role, `merchant:M-7`, where the project has several.",
        {"type": "string", "minLength": 1},
        "path",
    ),
    Parameter("model", "The model's name.", {"type": "string", "minLength": 1}),
    Parameter(
        "as_of",
        "The moment t: ISO-8601 with a zone, or µs since 1970. Now if absent.",
        {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}]},
    ),
    Parameter(
        "position",
        "Knowing no more than what the log held at this position. Alone, it also sets the moment: the newest one known "
        "at it.",
        {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
    ),
    Parameter(
        "min_position",
        "Read your own writes: wait until this position, from an answer to `POST /v1/events`, is applied.",
        {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    ),
)
NAMES: Final = tuple(parameter.name for parameter in _PARAMETERS if parameter.place == "query")


async def get_score(api: Api, request: Request) -> Response:
    """Return an entity's risk by a model of entities."""
    asked = await _asked(api, request)
    read = partial(api.owner.score, request.path_params["entity"], **asked)
    quick = asked["as_of"] is None and asked["position"] is None
    return answered(await _read(read, quick=quick))


async def get_features(api: Api, request: Request) -> Response:
    """Return an entity's finished features."""
    asked = await _asked(api, request)
    read = partial(api.owner.features, request.path_params["entity"], **asked)
    quick = asked["as_of"] is None and asked["position"] is None and asked["model"] is not None
    return answered(await _read(read, quick=quick))


async def _read(read: Callable[[], Any], *, quick: bool) -> Any:  # noqa: ANN401 - either answer
    """Read from the state here, in microseconds, or from the log on another thread."""
    return read() if quick else await asyncio.to_thread(read)


async def _asked(api: Api, request: Request) -> dict[str, Any]:
    parameters = Parameters(request, NAMES)
    position = parameters.integer("position", 1)
    await _reached(api, max(position or 0, parameters.integer("min_position") or 0))
    return {"model": parameters.text("model"), "as_of": parameters.moment("as_of"), "position": position}


async def _reached(api: Api, position: int) -> None:
    publisher = api.owner.publisher
    if position <= publisher.position:
        return
    try:
        await asyncio.wait_for(asyncio.wrap_future(publisher.reached(position)), api.settings.wait)
    except TimeoutError as error:
        raise PositionNotReached(
            f"Position {position} was not applied within {api.settings.wait:g} s; the newest applied position is "
            f"{publisher.position}. Ask again."
        ) from error


_PROBLEMS: Final = ("unknown-name", "invalid-parameter", "position-not-reached", "not-ready")

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/entities/{entity:path}/score",
        name="get_score",
        tag="Entities",
        summary="Score of an entity",
        description=(
            "The probability of default and the points of one entity by a model that observes entities. `as_of`, "
            "`position`, `known_at` and `lag` say which moment it is for and what was known: windows age by the "
            "clock, a stalled stream shows as lag. `model` may be absent while one model scores entities. A model "
            "that observes events has no score without its event: decide it."
        ),
        handle=get_score,
        scope="read",
        answer=ScoreAnswer,
        parameters=_PARAMETERS,
        problems=("needs-event", "inactive", *_PROBLEMS),
    ),
    Operation(
        method="GET",
        path="/v1/entities/{entity:path}/features",
        name="get_features",
        tag="Entities",
        summary="Features of an entity",
        description=(
            "The finished features of one entity by their names in the project file; null where they have none. "
            "With `model`: the ones it was trained on; without: all of the project file's, read from the log."
        ),
        handle=get_features,
        scope="read",
        answer=FeaturesAnswer,
        parameters=_PARAMETERS,
        problems=_PROBLEMS,
    ),
)
