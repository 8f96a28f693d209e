"""``/v1/erasures``: everything of an entity is removed, and who had that done."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from streamgauge.app.answers import ErasureAnswer
from streamgauge.app.api.bodies import JSON, decode_struct, media_type, read_body
from streamgauge.app.api.operations import Api, Operation, answered
from streamgauge.app.api.parameters import Parameters
from streamgauge.app.api.security import caller

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class ErasureRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The entity that is erased.

    Attributes:
        entity: Its id.
        role: Its role; not needed where the log knows the id under one only.
    """

    entity: _Id
    role: _Id | None = None


_DECODER: Final = msgspec.json.Decoder(ErasureRequest)


async def post_erasure(api: Api, request: Request) -> Response:
    """Erase an entity."""
    Parameters(request, ())
    media_type(request, (JSON,))
    asked = decode_struct(await read_body(request, api.settings.max_body_bytes), _DECODER)
    erase = partial(api.owner.erase, asked.entity, role=asked.role, by=caller(request, api.keys))
    return answered(await asyncio.to_thread(erase))


async def get_erasures(api: Api, request: Request) -> Response:
    """Return who had something erased."""
    Parameters(request, ())
    return answered(await asyncio.to_thread(api.owner.erasures))


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/v1/erasures",
        name="post_erasure",
        tag="Erasure",
        summary="Erase an entity",
        description=(
            "Removes everything of an entity from every file, for ever: records in the log and its archive (of events "
            "with several roles under every role), states, published scores, refused events, protected attributes, "
            "rows kept beside models, and the bodies of its decisions. The ledger's chain still verifies and notes who "
            "asked, when and how much. Answers when it is done; what a crash cuts short goes on at the next start."
        ),
        handle=post_erasure,
        scope="admin",
        answer=ErasureAnswer,
        bodies={JSON: ErasureRequest},
        problems=(
            "malformed-body",
            "unknown-name",
            "invalid-body",
            "invalid-parameter",
            "body-too-large",
            "unsupported-media-type",
            "ledger-unavailable",
            "storage-unavailable",
        ),
    ),
    Operation(
        method="GET",
        path="/v1/erasures",
        name="get_erasures",
        tag="Erasure",
        summary="Erasures so far",
        description="Who had something erased, when and how much, as the ledger's chain has it; never what.",
        handle=get_erasures,
        scope="admin",
        answer=list[ErasureAnswer],
        problems=("invalid-parameter",),
    ),
)
