"""``/v1/quarantine``: what was refused, and trying it again."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from streamgauge.app.answers import QuarantineAnswer, RetryAnswer
from streamgauge.app.api.bodies import JSON, decode_struct, media_type, read_body
from streamgauge.app.api.operations import Api, Operation, Parameter, answered
from streamgauge.app.api.parameters import Parameters
from streamgauge.app.api.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_MOST: Final = 1_000
_DIGITS: Final = 18
_LONGEST: Final = 200
_Number = Annotated[int, msgspec.Meta(ge=1, lt=10**_DIGITS)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST)]


class RetryRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is tried again: some numbers, or all open ones of a reason and a stream; all where nothing is said.

    Attributes:
        numbers: Their numbers in the quarantine, at most 1,000.
        reason: Only those that were refused for it.
        stream: Only those of it.
    """

    numbers: Annotated[list[_Number], msgspec.Meta(max_length=_MOST)] | None = None
    reason: _Name | None = None
    stream: _Name | None = None


_DECODER: Final = msgspec.json.Decoder(RetryRequest)


async def get_quarantine(api: Api, request: Request) -> Response:
    """Return the newest refused events."""
    asked = Parameters(request, ("last", "before", "reason", "stream", "state"))
    state = asked.choice("state", ("open", "resolved"))
    read = partial(
        api.owner.quarantined,
        last=asked.integer("last", 1, _MOST) or 100,
        before=asked.integer("before", 1),
        reason=_short(asked, "reason"),
        stream=_short(asked, "stream"),
        resolved=None if state is None else state == "resolved",
    )
    return answered(await asyncio.to_thread(read))


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


async def post_retry(api: Api, request: Request) -> Response:
    """Try refused events again."""
    Parameters(request, ())
    media_type(request, (JSON,))
    asked = decode_struct(await read_body(request, api.settings.max_body_bytes), _DECODER)
    if asked.numbers is not None and (asked.reason is not None or asked.stream is not None):
        raise Problem.at("invalid-body", "$", "Name numbers, or a reason and a stream: not both.")
    retry = partial(api.owner.retry, asked.numbers, reason=asked.reason, stream=asked.stream)
    return answered(await asyncio.to_thread(retry))


def _short(asked: Parameters, name: str) -> str | None:
    value = asked.text(name)
    if value is not None and (len(value) > _LONGEST or not value.isprintable()):
        raise Problem.at("invalid-parameter", f"query.{name}", f"{name} is no name. Give one as the quarantine has it.")
    return value


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/quarantine",
        name="get_quarantine",
        tag="Quarantine",
        summary="Refused events, newest first",
        description=(
            "What was not accepted, or contradicts what was, with the reason and the event as it came. Ask for the "
            "page before by `before`, the smallest number seen."
        ),
        handle=get_quarantine,
        scope="admin",
        answer=list[QuarantineAnswer],
        parameters=(
            Parameter("last", "How many.", {"type": "integer", "minimum": 1, "maximum": _MOST}),
            Parameter("before", "Only smaller numbers.", {"type": "integer", "minimum": 1}),
            Parameter(
                "reason", "Only those refused for it.", {"type": "string", "minLength": 1, "maxLength": _LONGEST}
            ),
            Parameter("stream", "Only those of it.", {"type": "string", "minLength": 1, "maxLength": _LONGEST}),
            Parameter(
                "state", "Only open ones, or those a retry resolved.", {"type": "string", "enum": ["open", "resolved"]}
            ),
        ),
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
    Operation(
        method="POST",
        path="/v1/quarantine/retry",
        name="post_quarantine_retry",
        tag="Quarantine",
        summary="Try refused events again",
        description=(
            "Validates stored bodies again under today's declarations and submits what is valid like new events; "
            "answers when they are applied. What is accepted is `resolved`, what is refused again stays with the newer "
            "reason. What is in the log already, or was cut short, is passed over. Doing it twice is harmless."
        ),
        handle=post_retry,
        scope="admin",
        answer=RetryAnswer,
        bodies={JSON: RetryRequest},
        problems=(
            "malformed-body",
            "invalid-body",
            "invalid-parameter",
            "body-too-large",
            "unsupported-media-type",
            "unknown-name",
            "storage-unavailable",
        ),
    ),
)
