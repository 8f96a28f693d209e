"""What workers and the owner say to each other: MessagePack in frames, each behind its length.

A frame holds a list, so that what was said within one turn of an event loop travels together.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from streamgauge.definitions.schema import StreamSpec
from streamgauge.errors import StreamgaugeError
from streamgauge.events.record import NewRecord

PROTOCOL: Final = 1
LONGEST: Final = 256 * 2**20
"""No frame is longer, so that a stray byte does not make anybody wait for gigabytes."""

_LENGTH: Final = 4


class Hello(msgspec.Struct, array_like=True, frozen=True, tag="hello"):
    """What the owner says first, and again when it has changed: how events are validated.

    Attributes:
        protocol: Of these frames.
        version: Counts the declarations up.
        streams: The project's streams by name.
    """

    protocol: int
    version: int
    streams: dict[str, StreamSpec]


class Answer(msgspec.Struct, array_like=True, frozen=True, tag="answer"):
    """How a request is answered over HTTP.

    Attributes:
        number: The request's.
        status: The HTTP status; 0 where the worker's declarations were old: send the request unvalidated.
        body: The body.
        headers: Further headers.
    """

    number: int
    status: int
    body: bytes = b""
    headers: dict[str, str] = {}


class Decide(msgspec.Struct, array_like=True, frozen=True, tag="decide"):
    """A decision that is asked for, its event validated.

    Attributes:
        number: Of the request; unique while it is under way.
        version: Of the declarations that it was validated by.
        decision_id: The caller's id.
        new: The event.
        request: The event in its canonical form.
        digest: Of the request.
    """

    number: int
    version: int
    decision_id: str
    new: NewRecord
    request: dict[str, Any]
    digest: str


class DecideRaw(msgspec.Struct, array_like=True, frozen=True, tag="decide-raw"):
    """A decision that is asked for, its event as it came: the owner validates it, or quarantines it."""

    number: int
    decision_id: str
    event: dict[str, Any]


class Ingest(msgspec.Struct, array_like=True, frozen=True, tag="ingest"):
    """Events to accept, all of them validated.

    Attributes:
        number: Of the request.
        version: Of the declarations that they were validated by.
        records: The events.
        applied: Whether the answer waits until they are applied.
    """

    number: int
    version: int
    records: list[NewRecord]
    applied: bool


class Call(msgspec.Struct, array_like=True, frozen=True, tag="call"):
    """A request without a body, which the caller's key was found to open.

    Attributes:
        number: Of the request.
        name: The operation.
        path: The path that was asked for.
        path_params: What the route found in it.
        query: What stands behind the question mark.
    """

    number: int
    name: str
    path: str
    path_params: dict[str, Any]
    query: bytes


class Counted(msgspec.Struct, array_like=True, frozen=True, tag="counted"):
    """Requests that a worker answered: route, method, status and seconds of each. It has no answer."""

    requests: list[tuple[str, str, int, float]]


FromWorker = Decide | DecideRaw | Ingest | Call | Counted
FromOwner = Hello | Answer

_encoder: Final = msgspec.msgpack.Encoder()
decode_from_worker: Final = msgspec.msgpack.Decoder(list[FromWorker]).decode
decode_from_owner: Final = msgspec.msgpack.Decoder(list[FromOwner]).decode


class FrameError(StreamgaugeError):
    """Bytes that are no frame."""


def frame(messages: list[Any]) -> bytes:
    """Return a frame of messages."""
    body = _encoder.encode(messages)
    return len(body).to_bytes(_LENGTH, "little") + body


class Frames:
    """Cuts a stream of bytes into frames.

    >>> frames = Frames()
    >>> sent = frame([Answer(1, 200)])
    >>> [len(frames.feed(part)) for part in (sent[:5], sent[5:])]
    [0, 1]
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, and return the bodies of the frames that are whole.

        Raises:
            FrameError: A frame is longer than any may be.
        """
        buffer = self._buffer
        buffer += data
        bodies: list[bytes] = []
        start = 0
        while len(buffer) - start >= _LENGTH:
            length = int.from_bytes(buffer[start : start + _LENGTH], "little")
            if length > LONGEST:
                raise FrameError(f"A frame of {length} bytes is longer than any may be.")
            if len(buffer) - start - _LENGTH < length:
                break
            bodies.append(bytes(buffer[start + _LENGTH : start + _LENGTH + length]))
            start += _LENGTH + length
        del buffer[:start]
        return bodies
