"""``POST /v1/events``: events come in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamgauge.app.answers import IngestAnswer
from streamgauge.app.api.bodies import JSON, NDJSON, decode_events, media_type, read_body
from streamgauge.app.api.operations import Api, Operation, Parameter, answered
from streamgauge.app.api.parameters import Parameters
from streamgauge.app.api.problems import Fault, Problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from streamgauge.app.settings import ApiSettings

_AT_ONCE: Final = 64
"""How many events are validated on the event loop; more of them would keep other requests waiting."""


async def post_events(api: Api, request: Request) -> Response:
    """Accept events; answer after the durable append, or after applying."""
    found, applied = await events_request(request, api.settings)
    return answer_events(await ingest(api, found, applied=applied))


async def events_request(request: Request, settings: ApiSettings) -> tuple[list[Any], bool]:
    """Read events, and whether the answer waits until they are applied.

    Raises:
        Problem: The request is not of the form that is expected.
    """
    applied = Parameters(request, ("wait",)).choice("wait", ("applied",)) is not None
    content_type = media_type(request, (JSON, NDJSON))
    body = await read_body(request, settings.max_body_bytes)
    return decode_events(body, content_type, settings.max_events), applied


def answer_events(answer: IngestAnswer) -> Response:
    """Return the answer to events.

    Raises:
        Problem: None was accepted.
    """
    if answer.quarantined and not answer.accepted:
        raise _rejected(answer)
    return answered(answer)


async def ingest(api: Api, events: list[Any], *, applied: bool) -> IngestAnswer:
    """Submit events and wait for the append, or for applying."""
    if len(events) <= _AT_ONCE:
        pending = api.owner.submit(events)
    else:
        pending = await asyncio.to_thread(api.owner.submit, events)
    return await asyncio.wrap_future(pending.applied if applied else pending.appended)


def _rejected(answer: IngestAnswer) -> Problem:
    faults = [
        Fault(
            place=f"$[{one.index}]",
            detail=one.detail,
            index=one.index,
            reason=one.reason,
            quarantine=one.quarantine,
        )
        for one in answer.refused
    ]
    count = answer.quarantined
    detail = "The event was not accepted" if count == 1 else f"None of {count} events was accepted"
    detail = f"{detail}: {faults[0].detail}" if faults else f"{detail}."
    return Problem("events-rejected", detail, faults, msgspec.to_builtins(answer), error="EventRejected")


_EVENT: Final = {
    "type": "object",
    "title": "Event",
    "description": "A flat event: the stream's name, its fields, and what a revision needs.",
    "properties": {
        "stream": {"type": "string", "description": "The stream: its class name in the project file."},
        "sequence": {"type": "integer", "description": "Orders events of one event time; 0 if absent."},
        "revision": {"type": "integer", "minimum": 0, "description": "0 inserts; greater ones replace or delete."},
        "op": {"enum": ["insert", "replace", "delete"], "description": "What a revision does."},
    },
    "required": ["stream"],
    "additionalProperties": {
        "description": "A field of the stream. Money and decimals best come as text, exactly; moments as ISO-8601 text."
    },
}

EVENT_SCHEMA: Final = {"$ref": "#/components/schemas/Event"}
SCHEMAS: Final = {"Event": _EVENT}

OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/v1/events",
        name="post_events",
        tag="Events",
        summary="Send events",
        description=(
            'Takes one event, an array of them, `{"events": […]}`, or one JSON object a line (NDJSON). Each bad one is '
            "quarantined with its index and reason, the good ones are accepted. The answer comes after the durable "
            "append: what was accepted survives a crash. With `wait=applied` it comes when the events are in every "
            "score, and counts duplicates and conflicts. Where none was accepted, the answer is a 422 with the same "
            "members. A line that is no JSON is quarantined as malformed; a JSON body that cannot be read is a 400 as "
            "a whole. Sending an event again is harmless: the same revision with the same content is a no-op."
        ),
        handle=post_events,
        scope="ingest",
        answer=IngestAnswer,
        parameters=(
            Parameter(
                "wait",
                "`applied` answers after applying rather than after the append.",
                {"type": "string", "enum": ["applied"]},
            ),
        ),
        bodies={
            JSON: {
                "oneOf": [
                    EVENT_SCHEMA,
                    {"type": "array", "items": EVENT_SCHEMA},
                    {
                        "type": "object",
                        "properties": {"events": {"type": "array", "items": EVENT_SCHEMA}},
                        "required": ["events"],
                        "additionalProperties": False,
                    },
                ]
            },
            NDJSON: {"type": "string", "description": "One event a line."},
        },
        problems=(
            "malformed-body",
            "invalid-parameter",
            "invalid-body",
            "events-rejected",
            "body-too-large",
            "too-many-events",
            "unsupported-media-type",
            "storage-unavailable",
            "not-ready",
        ),
    ),
)
