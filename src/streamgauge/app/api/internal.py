"""``/internal/…``: what only the owner's user may ask, over the Unix socket: files, verification, reloading."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from starlette.responses import Response, StreamingResponse

from streamgauge.app.answers import DecisionAnswer, ErasureAnswer, ImportAnswer, IngestAnswer, VerifyAnswer
from streamgauge.app.api.bodies import JSON, NDJSON, check_depth, decode_struct, read_body
from streamgauge.app.api.events import ingest
from streamgauge.app.api.operations import Api, Operation, answered
from streamgauge.app.api.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from streamgauge.app.service import Progress

FormT = TypeVar("FormT", bound=msgspec.Struct)


class IngestForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events to accept, and whether to wait until they are applied."""

    events: list[Any]
    applied: bool = False


class FileForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file whose rows are events known now."""

    path: str
    stream: str


class ImportForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of history, and what it says of its arrival."""

    path: str
    stream: str
    known_after_us: int | None = None
    known_at: str | None = None


class DecideForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event to decide under an id made of its own."""

    event: dict[str, Any]


class VerifyForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of the newest decisions to verify; all if None."""

    last: int | None = None


class PortfolioForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where every entity's score is written, and by which model."""

    out: str
    model: str | None = None


class PrepareForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The models that are being trained."""

    models: list[str]


class EraseForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The entity that is erased, and who asks."""

    entity: str
    role: str | None = None
    by: str = ""


class ReloadForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing more to say."""


async def post_ingest(api: Api, request: Request) -> Response:
    """Accept events; refused ones are part of the answer, however many they are."""
    decoder = msgspec.json.Decoder(IngestForm)
    body = await read_body(request, api.settings.max_body_bytes)
    form = decode_struct(body, decoder)
    check_depth(body, form.events)
    return answered(await ingest(api, form.events, applied=form.applied))


def _job(form: type[FormT], work: Callable[[Api, FormT, Progress], object]) -> Callable[..., Awaitable[Response]]:
    """Return the handler that reads a form and runs work with it, telling its progress."""
    decoder = msgspec.json.Decoder(form)

    async def handle(api: Api, request: Request) -> Response:
        asked = decode_struct(await read_body(request, api.settings.max_body_bytes), decoder)
        lines = api.jobs.lines(partial(work, api, asked), request.scope["path"])
        return StreamingResponse(lines, media_type=NDJSON)

    return handle


def _ingest_file(api: Api, form: FileForm, tell: Progress) -> IngestAnswer:
    return api.owner.ingest_file(_path(form.path), form.stream, tell)


def _import_file(api: Api, form: ImportForm, tell: Progress) -> ImportAnswer:
    return api.owner.import_file(
        _path(form.path), form.stream, tell, known_after_us=form.known_after_us, known_at=form.known_at
    )


def _decide(api: Api, form: DecideForm, tell: Progress) -> DecisionAnswer:  # noqa: ARG001 - it has nothing to say
    return api.owner.decide(None, form.event)


def _verify(api: Api, form: VerifyForm, tell: Progress) -> VerifyAnswer:
    return api.owner.verify(tell, last=form.last)


def _portfolio(api: Api, form: PortfolioForm, tell: Progress) -> int:
    return api.owner.portfolio(_path(form.out), tell, model=form.model)


def _prepare(api: Api, form: PrepareForm, tell: Progress) -> None:
    api.owner.prepare(form.models, tell)


def _erase(api: Api, form: EraseForm, tell: Progress) -> ErasureAnswer:
    return api.owner.erase(form.entity, role=form.role, by=form.by, progress=tell)


def _reload(api: Api, form: ReloadForm, tell: Progress) -> None:  # noqa: ARG001 - it has nothing to say
    api.owner.reload(tell)


def _path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or "\0" in text:
        raise Problem.at("invalid-body", "$.path", "Send an absolute path: the owner runs in a directory of its own.")
    return path


def _operation(name: str, summary: str, form: type[FormT], handle: Callable[..., Awaitable[Response]]) -> Operation:
    return Operation(
        method="POST",
        path=f"/internal/{name}",
        name=f"internal_{name.replace('-', '_')}",
        tag="Internal",
        summary=summary,
        description="Answers lines of JSON: progress, then an answer or a problem.",
        handle=handle,
        scope=None,
        answer={"type": "string"},
        media_type=NDJSON,
        bodies={JSON: form},
        local=True,
    )


OPERATIONS: Final = (
    _operation("ingest", "Accept events", IngestForm, post_ingest),
    _operation("ingest-file", "Accept a file's rows", FileForm, _job(FileForm, _ingest_file)),
    _operation("import-file", "Accept history", ImportForm, _job(ImportForm, _import_file)),
    _operation("decide", "Decide an event under its own id", DecideForm, _job(DecideForm, _decide)),
    _operation("verify", "Recompute decisions", VerifyForm, _job(VerifyForm, _verify)),
    _operation("portfolio", "Score every entity", PortfolioForm, _job(PortfolioForm, _portfolio)),
    _operation("prepare", "Build the states that models will need", PrepareForm, _job(PrepareForm, _prepare)),
    _operation("erase", "Erase an entity", EraseForm, _job(EraseForm, _erase)),
    _operation("reload", "Serve what is registered", ReloadForm, _job(ReloadForm, _reload)),
)
