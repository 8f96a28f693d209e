"""``GET /v1/scores/stream``: scores as they are made, as server-sent events that can be resumed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response, StreamingResponse

from streamgauge.app.api.operations import Api, Operation, Parameter
from streamgauge.app.api.parameters import Parameters
from streamgauge.app.api.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

HEARTBEAT_S: Final = 15.0
"""How long a stream may be silent before a comment shows that it lives."""

_MEDIA_TYPE: Final = "text/event-stream"
_AT_ONCE: Final = 500
_LARGEST: Final = 2**63 - 1
_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}


class _Named(msgspec.Struct):
    """What a filter looks at."""

    entity: str
    model: str


_DECODER: Final = msgspec.json.Decoder(_Named)


@dataclass(frozen=True, slots=True)
class _Filter:
    entity: str | None
    model: str | None

    def keeps(self, score: bytes) -> bool:
        if self.entity is None and self.model is None:
            return True
        named = _DECODER.decode(score)
        return self.entity in {None, named.entity} and self.model in {None, named.model}


async def stream_scores(api: Api, request: Request) -> Response:
    """Stream scores from a number on, or from now on."""
    parameters = Parameters(request, ("model", "entity", "after"))
    wanted = _Filter(parameters.text("entity"), parameters.text("model"))
    after = _last_event_id(request)
    if after is None:
        after = parameters.integer("after")
    if after is None:
        after = api.owner.last_score()
    if request.method == "HEAD":
        return Response(headers=_HEADERS, media_type=_MEDIA_TYPE)
    return StreamingResponse(_scores(api, after, wanted), headers=_HEADERS, media_type=_MEDIA_TYPE)


async def _scores(api: Api, after: int, wanted: _Filter) -> AsyncIterator[bytes]:
    published = api.news.join()
    try:
        yield b": connected\n\n"
        while not api.news.stopping:
            published.clear()
            batch = await asyncio.to_thread(api.owner.scores_after, after, _AT_ONCE)
            if batch:
                after = batch[-1][0]
                text = b"".join(_event(number, score) for number, score in batch if wanted.keeps(score))
                if text:
                    yield text
                continue
            try:
                await asyncio.wait_for(published.wait(), HEARTBEAT_S)
            except TimeoutError:
                yield b": alive\n\n"
    finally:
        api.news.leave(published)


def _event(number: int, score: bytes) -> bytes:
    return b"id: %d\nevent: score\ndata: %b\n\n" % (number, score)


def _last_event_id(request: Request) -> int | None:
    value = request.headers.get("last-event-id", "").strip()
    if not value:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= len(str(_LARGEST)) and int(value) <= _LARGEST):
        detail = "Last-Event-ID is no number of a score. Send the last `id:` that was received, or leave it out."
        raise Problem.at("invalid-parameter", "header.last-event-id", detail)
    return int(value)


_NUMBER: Final = {"type": "integer", "minimum": 0, "maximum": _LARGEST}

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/scores/stream",
        name="stream_scores",
        tag="Scores",
        summary="Scores as they are made",
        description=(
            "Server-sent events that never end: `event: score`, its number as `id`, and a PublishedScore as `data`. "
            "A client that comes back with `Last-Event-ID` (browsers do by themselves) misses nothing still kept "
            "(`[engine] outbox`). Without it, or `after`, the stream starts now; `after=0` starts with the oldest "
            "score kept. A score may come twice, with an equal `id` member in its data. A comment is sent in every 15 "
            "seconds of silence."
        ),
        handle=stream_scores,
        scope="read",
        answer={"type": "string", "description": "Server-sent events whose data are PublishedScore objects."},
        media_type=_MEDIA_TYPE,
        parameters=(
            Parameter("model", "Only scores of this model.", {"type": "string", "minLength": 1}),
            Parameter("entity", "Only scores of this entity.", {"type": "string", "minLength": 1}),
            Parameter("after", "Start behind this number.", _NUMBER),
            Parameter("Last-Event-ID", "Start behind this number; stands above `after`.", _NUMBER, "header"),
        ),
        problems=("invalid-parameter", "not-ready"),
    ),
)
