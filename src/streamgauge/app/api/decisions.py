"""``/v1/decisions``: an event is decided, recorded durably, and can be asked for again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamgauge.app.answers import DecisionAnswer
from streamgauge.app.api.bodies import JSON, decode_struct, media_type, read_body
from streamgauge.app.api.events import EVENT_SCHEMA
from streamgauge.app.api.operations import Api, Operation, Parameter, answered
from streamgauge.app.api.parameters import Parameters
from streamgauge.app.api.problems import Problem, problem_of
from streamgauge.errors import UnknownName

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_LONGEST_ID: Final = 200


class DecisionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be decided.

    Attributes:
        decision_id: The caller's id of the decision; the same id again answers the first decision.
        event: The event, flat, as for `POST /v1/events`.
    """

    decision_id: str
    event: dict[str, Any]


_DECODER: Final = msgspec.json.Decoder(DecisionRequest)


async def post_decision(api: Api, request: Request) -> Response:
    """Decide an event."""
    asked = await decision_request(request, api.settings.max_body_bytes)
    try:
        return answered(await api.owner.adecide(asked.decision_id, asked.event))
    except UnknownName as error:
        raise refusal_of(error) from error


async def decision_request(request: Request, limit: int) -> DecisionRequest:
    """Read what is to be decided.

    Raises:
        Problem: The request is not of the form that is expected.
    """
    Parameters(request, ())
    media_type(request, (JSON,))
    asked = decode_struct(await read_body(request, limit), _DECODER)
    if not (0 < len(asked.decision_id) <= _LONGEST_ID and asked.decision_id.isprintable()):
        detail = f"decision_id is empty, unprintable or longer than {_LONGEST_ID} characters. Send a short unique text."
        raise Problem.at("invalid-body", "$.decision_id", detail)
    return asked


def refusal_of(error: Exception) -> Problem:
    """Return the problem that an error is for whoever asks for a decision."""
    if isinstance(error, UnknownName):
        problem = Problem.at("nothing-decides", "$.event.stream", str(error))
        problem.error = UnknownName.__name__
        return problem
    return problem_of(error)


async def get_decision(api: Api, request: Request) -> Response:
    """Return a decision, or its whole record."""
    full = Parameters(request, ("full",)).flag("full")
    decision_id = request.path_params["decision_id"]
    read = api.owner.decision_record if full else api.owner.decision
    return answered(await asyncio.to_thread(read, decision_id))


_SCHEMA: Final = {
    "type": "object",
    "title": "DecisionRequest",
    "description": "What is to be decided.",
    "properties": {
        "decision_id": {
            "type": "string",
            "minLength": 1,
            "maxLength": _LONGEST_ID,
            "description": "The caller's id of the decision; the same id again answers the first decision.",
        },
        "event": {
            "description": "The event that is decided. It may be in the log already: then it is decided as it was.",
            **EVENT_SCHEMA,
        },
    },
    "required": ["decision_id", "event"],
    "additionalProperties": False,
}
SCHEMAS: Final = {"DecisionRequest": _SCHEMA}

OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/v1/decisions",
        name="post_decision",
        tag="Decisions",
        summary="Decide an event",
        description=(
            "Appends the event, waits until it is applied, scores it, judges it by the policy in force, records the "
            "decision durably, and only then answers. The same `decision_id` with the same event answers the first "
            "decision again (`repeated`); with another event it is a 409. An event that cannot be accepted goes to the "
            "quarantine and is a 422: there is no decision."
        ),
        handle=post_decision,
        scope="decide",
        answer=DecisionAnswer,
        bodies={JSON: {"$ref": "#/components/schemas/DecisionRequest"}},
        problems=(
            "malformed-body",
            "decision-conflict",
            "body-too-large",
            "unsupported-media-type",
            "invalid-parameter",
            "invalid-body",
            "event-rejected",
            "nothing-decides",
            "ledger-unavailable",
            "storage-unavailable",
            "not-ready",
        ),
    ),
    Operation(
        method="GET",
        path="/v1/decisions/{decision_id:path}",
        name="get_decision",
        tag="Decisions",
        summary="A decision as it was made",
        description=(
            "The recorded decision. With `full=true` the whole record: the request, the feature vector, what the model "
            "saw, every version and hash: enough to reproduce the decision alone."
        ),
        handle=get_decision,
        scope="read",
        answer={
            "anyOf": [
                {"$ref": "#/components/schemas/DecisionAnswer"},
                {"type": "object", "title": "DecisionRecord", "description": "The whole record (`full=true`)."},
            ]
        },
        parameters=(
            Parameter("decision_id", "The caller's id of it.", {"type": "string", "minLength": 1}, "path"),
            Parameter("full", "Whether the whole record is answered.", {"type": "boolean"}),
        ),
        problems=("unknown-name", "decision-erased", "invalid-parameter", "ledger-unavailable"),
    ),
)
