"""Problem details (RFC 9457): every error of the API has one shape, and every kind of error one code."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from streamgauge import errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem.

    Attributes:
        code: Machine-readable and stable; the end of the problem's ``type``.
        status: The HTTP status.
        title: The sentence that is the same at every occurrence.
        retry_after: Seconds after which the same call may succeed, or None.
    """

    code: str
    status: int
    title: str
    retry_after: int | None = None

    @property
    def type(self) -> str:
        """The URI that identifies the kind."""
        return f"urn:streamgauge:problem:{self.code}"


KINDS: Final = {
    kind.code: kind
    for kind in (
        Kind("malformed-body", 400, "The body is not what its content type says"),
        Kind("unauthorized", 401, "An API key is needed"),
        Kind("missing-scope", 403, "The API key does not open this"),
        Kind("no-route", 404, "There is nothing under this path"),
        Kind("unknown-name", 404, "What was named does not exist"),
        Kind("method-not-allowed", 405, "This path does not take this method"),
        Kind("needs-event", 409, "The model scores events: decide one"),
        Kind("inactive", 409, "The entity is not in the model's population"),
        Kind("decision-conflict", 409, "The decision id was used before"),
        Kind("decision-erased", 410, "The decision was erased on purpose"),
        Kind("body-too-large", 413, "The body is too large"),
        Kind("too-many-events", 413, "The call brings too many events"),
        Kind("unsupported-media-type", 415, "The body's content type is not taken here"),
        Kind("invalid-parameter", 422, "A parameter has no usable value"),
        Kind("invalid-body", 422, "The body does not have the form that is expected"),
        Kind("events-rejected", 422, "No event was accepted"),
        Kind("event-rejected", 422, "The event cannot be accepted"),
        Kind("nothing-decides", 422, "No model with a policy decides this event"),
        Kind("refused", 422, "What was asked for cannot be done"),
        Kind("internal", 500, "Something went wrong here"),
        Kind("position-not-reached", 503, "The position is not applied yet", 1),
        Kind("ledger-unavailable", 503, "The decision ledger cannot be written now", 1),
        Kind("storage-unavailable", 503, "The disk refused", 5),
        Kind("not-ready", 503, "The engine is not running", 5),
    )
}

_OF_ERROR: Final[tuple[tuple[type[Exception], str], ...]] = (
    (errors.EventRejected, "event-rejected"),
    (errors.UnknownName, "unknown-name"),
    (errors.NeedsEvent, "needs-event"),
    (errors.Inactive, "inactive"),
    (errors.PositionNotReached, "position-not-reached"),
    (errors.DecisionErased, "decision-erased"),
    (errors.DecisionConflict, "decision-conflict"),
    (errors.LedgerUnavailable, "ledger-unavailable"),
    (errors.DecisionInvalid, "invalid-body"),
    (errors.ImportRefused, "refused"),
    (errors.ReadRefused, "refused"),
    (errors.DefinitionError, "refused"),
    (errors.SettingsError, "refused"),
)


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong with a request.

    Attributes:
        place: Where: a JSON path into the body (``$.event.amount``), ``body``, ``query.NAME``, ``path.NAME`` or
            ``header.NAME``.
        detail: What is wrong, and the next step.
        index: The place of the event in the call, from 0, where it brings several.
        reason: Machine-readable, as in the quarantine.
        quarantine: The event's number in the quarantine.
    """

    place: str
    detail: str
    index: int | None = None
    reason: str | None = None
    quarantine: int | None = None


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem (RFC 9457).

    Attributes:
        type: The URI of its kind.
        title: What is the same at every occurrence.
        status: The HTTP status.
        detail: What went wrong this time, and the next step.
        instance: The path that was asked for.
        code: The end of ``type``, for programs.
        error: The class in `streamgauge.errors`, where it is one of those.
        errors: What is wrong, place by place.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    error: str | None = None
    errors: list[Fault] = []


class RejectedDetails(ProblemDetails, frozen=True, kw_only=True, omit_defaults=True):
    """A problem with events of which none was accepted, and the answer they would have had.

    Attributes:
        accepted: How many are in the log: 0.
        quarantined: How many are not.
        position: 0.
        refused: Why, the first hundred of them.
    """

    accepted: int | None = None
    quarantined: int | None = None
    position: int | None = None
    refused: list[dict[str, Any]] = []


@dataclass(eq=False)
class Problem(Exception):
    """A request that is answered with a problem.

    Attributes:
        code: The kind, of `KINDS`.
        detail: What went wrong this time, and the next step.
        faults: What is wrong, place by place.
        members: Further members of the answer.
        headers: Further headers.
        error: The class of `streamgauge.errors` it comes from.
    """

    code: str
    detail: str
    faults: Sequence[Fault] = ()
    members: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None

    @classmethod
    def at(cls, code: str, place: str, detail: str, *, index: int | None = None) -> Problem:
        """Return a problem with one place."""
        return cls(code, detail, [Fault(place=place, detail=detail, index=index)])

    def __str__(self) -> str:
        """Return the detail."""
        return self.detail

    @property
    def kind(self) -> Kind:
        """The kind of problem."""
        return KINDS[self.code]

    def content(self, instance: str) -> dict[str, Any]:
        """Return what is answered."""
        kind = self.kind
        details = ProblemDetails(
            type=kind.type,
            title=kind.title,
            status=kind.status,
            detail=self.detail,
            instance=instance,
            code=kind.code,
            error=self.error,
            errors=list(self.faults),
        )
        content: dict[str, Any] = msgspec.to_builtins(details)
        content.update(self.members)
        return content

    def response(self, instance: str) -> Response:
        """Return the answer."""
        headers = dict(self.headers)
        if self.kind.retry_after is not None:
            headers["retry-after"] = str(self.kind.retry_after)
        body = msgspec.json.encode(self.content(instance))
        return Response(body, status_code=self.kind.status, headers=headers, media_type=MEDIA_TYPE)


def problem_of(error: Exception) -> Problem:
    """Return the problem that an exception is; one that nobody foresaw is logged and says nothing of the inside."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, ClientDisconnect):
        return Problem.at("malformed-body", "body", "The connection ended before the body did.")
    name = type(error).__name__
    for cls, code in _OF_ERROR:
        if isinstance(error, cls):
            return Problem(code, str(error), _faults_of(error), error=name)
    if isinstance(error, errors.StreamgaugeError):
        logger.error("%s: %s", name, error)
        return Problem("not-ready", f"{error} Run: streamgauge doctor.", error=name)
    if isinstance(error, OSError):
        logger.error("The storage failed: %s", error)
        return Problem("storage-unavailable", f"The disk refused: {error.strerror or name}. Nothing was accepted.")
    logger.error("An unforeseen error", exc_info=error)
    return Problem("internal", "The request failed for a reason that nobody foresaw; the server's log has it.")


def _of_http(error: HTTPException) -> Problem:
    headers = error.headers or {}
    if error.status_code == HTTPStatus.NOT_FOUND:
        return Problem("no-route", "There is nothing under this path. GET /openapi.json lists what there is.")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = {key.lower(): value for key, value in headers.items()}.get("allow", "")
        return Problem("method-not-allowed", f"This path takes {allowed or 'other methods'}.", headers=headers)
    return Problem("malformed-body", str(error.detail), headers=headers)


def _faults_of(error: Exception) -> list[Fault]:
    if isinstance(error, errors.EventRejected):
        place = f"$.event.{error.field}" if error.field else "$.event"
        return [Fault(place=place, detail=str(error), reason=error.reason)]
    return []
