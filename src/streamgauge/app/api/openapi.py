"""The OpenAPI 3.1 document, made from the operations."""

from __future__ import annotations

import inspect
import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamgauge.app.answers import DecisionAnswer, PublishedScore
from streamgauge.app.api import decisions, events
from streamgauge.app.api.examples import DETAILS, EXAMPLES
from streamgauge.app.api.problems import KINDS, MEDIA_TYPE, Problem, ProblemDetails, RejectedDetails

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from streamgauge.app.api.operations import Example, Operation

_REF: Final = "#/components/schemas/{name}"
_ATTRIBUTE: Final = re.compile(r"    (\w+): (.*(?:\n {8,}.*)*)")
_TAGS: Final = {
    "Events": "What happened comes in.",
    "Entities": "The risk and the features of one entity, as of any moment.",
    "Decisions": "An event is decided by policy, recorded durably, and replays.",
    "Scores": "Every score, as it is made.",
    "Models": "What is registered and served.",
    "Quarantine": "What was refused, and why.",
    "Erasure": "Everything of an entity is removed.",
    "Operation": "For whoever watches over the process.",
}


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of some operations."""
    typed = [operation.answer for operation in operations if not isinstance(operation.answer, dict)]
    typed += [body for operation in operations for body in operation.bodies.values() if not isinstance(body, dict)]
    typed += [PublishedScore, DecisionAnswer, ProblemDetails, RejectedDetails]
    _, components = msgspec.json.schema_components(typed, ref_template=_REF)
    for kind in _structs(typed):
        _describe(components[kind.__name__], kind)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.template, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Streamgauge",
            "version": version("streamgauge"),
            "description": (
                "Streaming risk scoring: events in, point-in-time features, calibrated scores, decisions with reasons "
                "that replay. Moments are ISO-8601 in UTC; every error is a problem (RFC 9457) with a stable `code`."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted({**components, **events.SCHEMAS, **decisions.SCHEMAS}.items())),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, `sg_…`, from `streamgauge keys create`.",
                },
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    examples = EXAMPLES.get(operation.name, ())
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "responses": {"200": _answer(operation, examples), **_problems(operation)},
    }
    if operation.scope is not None:
        described["description"] += f" Needs the scope `{operation.scope}`."
        described["security"] = [{"bearer": []}, {"header": []}]
    if operation.parameters:
        described["parameters"] = [
            {
                "name": parameter.name,
                "in": parameter.place,
                "description": parameter.description,
                "required": parameter.place == "path",
                "schema": dict(parameter.schema),
                **_named(
                    (example.name, example.summary, example.parameters[parameter.name])
                    for example in examples
                    if parameter.name in example.parameters
                ),
            }
            for parameter in operation.parameters
        ]
    if operation.bodies:
        described["requestBody"] = {
            "required": True,
            "content": {
                media_type: {
                    "schema": schema if isinstance(schema, dict) else _reference(schema),
                    **_named(
                        (example.name, example.summary, example.body)
                        for example in examples
                        if example.media_type == media_type and example.body is not None
                    ),
                }
                for media_type, schema in operation.bodies.items()
            },
        }
    return described


def _answer(operation: Operation, examples: Sequence[Example]) -> dict[str, Any]:
    schema = operation.answer if isinstance(operation.answer, dict) else _reference(operation.answer)
    shown = _named((one.name, one.summary, one.answer) for one in examples if one.answer is not None)
    return {"description": operation.summary, "content": {operation.media_type: {"schema": schema, **shown}}}


def _problems(operation: Operation) -> dict[str, Any]:
    codes = [*operation.problems, "internal"]
    if operation.scope is not None:
        codes += ["unauthorized", "missing-scope"]
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(KINDS[code].status, []).append(code)
    responses = {}
    for status, together in sorted(by_status.items()):
        rejected = "events-rejected" in together
        schema = _reference(RejectedDetails if rejected else ProblemDetails)
        shown = _named((code, KINDS[code].title, problem_example(operation, code)) for code in together)
        responses[str(status)] = {
            "description": " · ".join(f"`{code}`: {KINDS[code].title}" for code in together),
            "content": {MEDIA_TYPE: {"schema": schema, **shown}},
            **_headers(together),
        }
    return responses


def problem_example(operation: Operation, code: str) -> dict[str, Any]:
    """Return how a problem of an operation looks."""
    return Problem(code, DETAILS[code]).content(operation.template)


def _headers(codes: Sequence[str]) -> dict[str, Any]:
    headers = {}
    if any(KINDS[code].retry_after for code in codes):
        headers["Retry-After"] = {"description": "Seconds to wait before asking again.", "schema": {"type": "integer"}}
    if "unauthorized" in codes:
        headers["WWW-Authenticate"] = {"description": "How to send a key.", "schema": {"type": "string"}}
    return {"headers": headers} if headers else {}


def _named(shown: Iterable[tuple[str, str, Any]]) -> dict[str, Any]:
    examples = {name: {"summary": summary, "value": value} for name, summary, value in shown}
    return {"examples": examples} if examples else {}


def _reference(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a struct's class, or a list of one
    [schema], _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema


def _structs(kinds: Iterable[Any]) -> Iterator[type[msgspec.Struct]]:
    """Yield every struct that the types are made of, once."""
    seen: set[type] = set()
    waiting = list(kinds)
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            if kind not in seen:
                seen.add(kind)
                yield kind
                waiting += [field.type for field in msgspec.structs.fields(kind)]
        else:
            waiting += getattr(kind, "__args__", ())


def _describe(schema: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    """Move what a class's docstring says of its attributes to the properties."""
    texts = {}
    for cls in reversed(kind.__mro__):
        for name, text in _ATTRIBUTE.findall(inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")[2]):
            texts[name] = _markdown(text)
    schema["description"] = _markdown(inspect.cleandoc(kind.__doc__ or "").partition("\n\nAttributes:")[0])
    for name, held in schema.get("properties", {}).items():
        if name in texts:
            held["description"] = texts[name]


def _markdown(text: str) -> str:
    return re.sub(r"``(.+?)``", r"`\1`", re.sub(r"\s+", " ", text)).strip()
