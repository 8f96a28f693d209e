"""Request bodies: read once, bounded, decoded strictly; what is wrong is said with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from streamgauge.app.api.problems import Problem
from streamgauge.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

DEEPEST: Final = 64
"""How many containers of a body may lie within each other."""

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

StructT = TypeVar("StructT", bound=msgspec.Struct)

_DECODER: Final = msgspec.json.Decoder()
_CONTAINERS: Final = (dict, list)
_UTF8: Final = {"utf-8", "utf8"}


async def read_body(request: Request, limit: int) -> bytes:
    """Return the whole body.

    Raises:
        Problem: It is larger than the limit, or compressed.
    """
    headers = request.headers
    if headers.get("content-encoding", "identity") != "identity":
        raise Problem.at("unsupported-media-type", "header.content-encoding", "Send the body uncompressed.")
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def media_type(request: Request, taken: Sequence[str]) -> str:
    """Return the body's content type; a body without one is taken as the first.

    Raises:
        Problem: It is none of those, or its charset is not UTF-8.
    """
    header = request.headers.get("content-type")
    if header is None:
        return taken[0]
    name, *parameters = (part.strip().lower() for part in header.split(";"))
    if name not in taken:
        expected = " or ".join(taken)
        detail = f'The content type is "{name[:80]}". Send {expected} (curl: -H "content-type: {taken[0]}").'
        raise Problem.at("unsupported-media-type", "header.content-type", detail)
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key == "charset" and value.strip('"') not in _UTF8:
            detail = f'The charset is "{value[:40]}". Send UTF-8.'
            raise Problem.at("unsupported-media-type", "header.content-type", detail)
    return name


def decode_json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text.

    Raises:
        Problem: It is no JSON, no UTF-8, nested too deeply, or holds a number beyond all bounds.
    """
    try:
        value = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(body, error) from error
    check_depth(body, value)
    return value


def decode_struct(body: bytes, decoder: msgspec.json.Decoder[StructT]) -> StructT:
    """Return the value of a JSON text of a declared form.

    Raises:
        Problem: It is no JSON, or has another form.
    """
    try:
        value = decoder.decode(body)
    except msgspec.ValidationError as error:
        decode_json(body)  # what cannot be read at all is malformed rather than of another form
        raise _misshapen(str(error), decoder.type) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(body, error) from error
    check_depth(body, value)
    return value


def decode_events(body: bytes, content_type: str, limit: int) -> list[Any]:
    """Return the events of a body: one object, an array, ``{"events": […]}``, or one JSON value a line.

    What is no object, and a line that is no JSON, stays in its place, to be quarantined as malformed.

    Raises:
        Problem: There are too many, or the body cannot be read.
    """
    events = _lines(body, limit) if content_type == NDJSON else _array(body)
    if len(events) > limit:
        raise Problem.at(
            "too-many-events", "body", f"The body holds {len(events)} events. Send at most {limit} in one call."
        )
    return events


def check_depth(body: bytes, value: object) -> None:
    """Refuse a value that nests too deeply.

    Args:
        body: Its text: one with few brackets needs no walk through the value.
        value: The value.

    Raises:
        Problem: It does.
    """
    # Of the objects side by side in an array, at most one lies on the deepest way.
    flat = sum(isinstance(one, dict) for one in value) if isinstance(value, list) else 0
    if body.count(b"[") + body.count(b"{") - flat < DEEPEST:
        return
    level: list[object] = [msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _members(outer) if isinstance(inner, _CONTAINERS)]
        if not level:
            return
    raise Problem.at("malformed-body", "body", f"The body nests more than {DEEPEST} objects and arrays. Send it flat.")


def _members(value: object) -> Sequence[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _array(body: bytes) -> list[Any]:
    value = decode_json(body)
    if isinstance(value, dict):
        if "events" not in value or "stream" in value:
            return [value]
        unknown = next((key for key in value if key != "events"), None)
        if unknown is not None:
            detail = f'Beside "events" there is an unknown member "{unknown[:80]}". Send {{"events": […]}} alone.'
            raise Problem.at("invalid-body", "$", detail)
        value = value["events"]
        if not isinstance(value, list):
            raise Problem.at("invalid-body", "$.events", "Send an array of events.")
    if not isinstance(value, list):
        raise Problem.at("invalid-body", "$", 'Send an event such as {"stream": "Movement", …}, or an array of them.')
    return value


def _lines(body: bytes, limit: int) -> list[Any]:
    lines = [line for line in body.split(b"\n") if line.strip()]
    if len(lines) > limit:
        raise Problem.at(
            "too-many-events", "body", f"The body holds {len(lines)} lines. Send at most {limit} in one call."
        )
    return [_line(line) for line in lines]


def _line(line: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return decode_json(line)
    except Problem:
        return line.decode("utf-8", "backslashreplace").strip()


def _too_large(limit: int) -> Problem:
    detail = f"The body is larger than {limit} bytes ([api] max_body_bytes). Send it in parts."
    problem = Problem.at("body-too-large", "body", detail)
    problem.headers = {"connection": "close"}
    return problem


def _malformed(body: bytes, error: Exception) -> Problem:
    if isinstance(error, RecursionError):
        detail = f"The body nests more than {DEEPEST} objects and arrays. Send it flat."
        return Problem.at("malformed-body", "body", detail)
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as unreadable:
        detail = f"The body is no UTF-8: {unreadable.reason} at byte {unreadable.start}."
        return Problem.at("malformed-body", f"body.byte[{unreadable.start}]", detail)
    if not body.strip():
        return Problem.at("malformed-body", "body", "The body is empty. Send JSON.")
    return Problem.at("malformed-body", "body", f"The body cannot be read as JSON: {error}.")


def _misshapen(message: str, expected: Any) -> Problem:  # noqa: ANN401 - a struct's class
    text, _, place = message.partition(" - at ")
    names = [field.encode_name for field in msgspec.structs.fields(expected)]
    if "unknown field" in text:
        unknown = text.partition("unknown field `")[2].rstrip("`")
        text = f'Unknown member "{unknown[:80]}". {close_match(unknown[:80], names)}'
    else:
        text = f"{text}. Send an object with: {', '.join(names)}."
    return Problem.at("invalid-body", place.strip("`") or "$", text)
