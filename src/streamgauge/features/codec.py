"""EntityState as bytes: a checksum, a MessagePack header and the columns of its streams."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import numpy as np

from streamgauge.definitions.schema import NULL
from streamgauge.errors import StateDamaged
from streamgauge.features.identity import Entry
from streamgauge.features.stream_state import StreamState

if TYPE_CHECKING:
    from streamgauge.features.layout import Layout
    from streamgauge.features.state import EntityState

_MAGIC: Final = b"SGS\x01"
_PREFIX: Final = struct.Struct("<4sIII")
_State = TypeVar("_State", bound="EntityState")


class _StreamHeader(msgspec.Struct, array_like=True, gc=False):
    """A stream's scalars.

    `named` counts the newest events whose ids are still remembered. They are the first of `entries`, in the events'
    order, unless `ids` spells them out (two events may share an id where the first of them is forgotten).
    """

    name: str
    lateness_us: int
    events: int
    named: int
    sequenced: bool
    folded_first: int
    folded_last: int
    forgot: bool
    entries: dict[str, Entry]
    ids: list[str] = []

    @property
    def folded(self) -> bool:
        """Whether there are accumulators."""
        return self.folded_last != NULL


class _Header(msgspec.Struct, array_like=True, gc=False):
    layout: str
    last_position: int
    last_known_at: int
    last_event_time: int
    streams: list[_StreamHeader]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Header)


def encode_state(state: EntityState) -> bytes:
    """Return a state as bytes; ids that no live record can find any more are left out.

    The form: magic, CRC-32 of all that follows it, length of the header, 0 (4 bytes each, little endian); the header,
    padded to 8 bytes; each stream's event times, sequences (unless all are 0), masks, columns and accumulators.
    """
    headers: list[_StreamHeader] = []
    parts: list[bytes] = [b"", b""]
    for name, stream in state.streams.items():
        if stream.is_empty:
            continue
        headers.append(_stream_header(name, stream, state.last_known_at))
        parts.extend(_columns(stream, headers[-1]))
    header = _ENCODER.encode(
        _Header(state.layout.digest, state.last_position, state.last_known_at, state.last_event_time, headers)
    )
    parts[1] = header + bytes(-len(header) % 8)
    crc = 0
    tail = struct.pack("<II", len(header), 0)
    crc = zlib.crc32(tail)
    for part in parts[1:]:
        crc = zlib.crc32(part, crc)
    parts[0] = _MAGIC + crc.to_bytes(4, "little") + tail
    return b"".join(parts)


def decode_state(state: _State, data: bytes) -> _State:
    """Fill an empty state from bytes.

    Raises:
        StateDamaged: The bytes are damaged, or were written under another layout or format.
    """
    header = read_header(data)
    if header.layout != state.layout.digest:
        raise StateDamaged(
            f"A state was written under layout {header.layout[:12]}, not {state.layout.digest[:12]}: rebuild it."
        )
    state.last_position = header.last_position
    state.last_known_at = header.last_known_at
    state.last_event_time = header.last_event_time
    reader = _Reader(bytearray(data), _PREFIX.size + _header_length(data))
    for stream in header.streams:
        state.streams[stream.name] = _stream(stream, state.layout, reader)
    return state


def read_header(data: bytes) -> _Header:
    """Return a state's header, having checked its bytes.

    Raises:
        StateDamaged: They are damaged or of another format.
    """
    if len(data) < _PREFIX.size:
        raise StateDamaged(f"A state of {len(data)} bytes was cut short: rebuild it from the log.")
    magic, crc, length, _ = _PREFIX.unpack_from(data)
    if magic != _MAGIC:
        raise StateDamaged(f"A state begins with {magic!r}: another format, or no state. Rebuild it from the log.")
    if zlib.crc32(memoryview(data)[8:]) != crc:
        raise StateDamaged("A state does not have the checksum it was written with: rebuild it from the log.")
    try:
        return _DECODER.decode(memoryview(data)[_PREFIX.size : _PREFIX.size + length])
    except msgspec.MsgspecError as error:
        raise StateDamaged(f"A state's header cannot be read ({error}): rebuild it from the log.") from error


def _header_length(data: bytes) -> int:
    length = int.from_bytes(data[8:12], "little")
    return length + -length % 8


def _stream_header(name: str, stream: StreamState, known_us: int) -> _StreamHeader:
    edge = known_us - stream.lateness_us
    n = stream.count
    start = int(np.searchsorted(stream.time[:n], edge, "left")) if n else 0
    entries = stream.entries
    ids = stream.ids[start:]
    kept = {event_id: entries[event_id] for event_id in ids}
    ordered = len(kept) == len(ids)
    kept.update({event_id: entry for event_id, entry in entries.items() if entry.event_time >= edge})
    return _StreamHeader(
        name,
        stream.lateness_us,
        n,
        len(ids),
        bool(stream.sequence[:n].any()),
        stream.folded_first,
        stream.folded_last,
        stream.forgot or len(kept) < len(entries),
        kept,
        [] if ordered else ids,
    )


def _columns(stream: StreamState, header: _StreamHeader) -> list[bytes]:
    n = stream.count
    parts = [stream.time[:n].tobytes()]
    if header.sequenced:
        parts.append(stream.sequence[:n].tobytes())
    if stream.layout is not None:
        parts.extend((stream.mask[:n].tobytes(), stream.cols[:, :n].tobytes()))
        if header.folded:
            parts.append(stream.folds.tobytes())
    return parts


class _Reader:
    """Takes arrays off a buffer that they go on sharing, so that decoding copies once."""

    __slots__ = ("_at", "_buffer")

    def __init__(self, buffer: bytearray, start: int) -> None:
        self._buffer = buffer
        self._at = start

    def ints(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        found = np.frombuffer(self._buffer, np.int64, count, self._at)
        self._at += 8 * count
        return found


def _stream(header: _StreamHeader, layout: Layout, reader: _Reader) -> StreamState:
    index = layout.index(header.name)
    stream = StreamState(None if index < 0 else layout.streams[index], header.lateness_us)
    n = header.events
    stream.count = n
    stream.entries = header.entries
    stream.ids = [""] * (n - header.named) + (header.ids or list(header.entries)[: header.named])
    stream.folded_first, stream.folded_last, stream.forgot = header.folded_first, header.folded_last, header.forgot
    if not n and not header.folded:
        return stream
    stream.time = reader.ints(n)
    stream.sequence = reader.ints(n) if header.sequenced else np.zeros(n, np.int64)
    if stream.layout is not None:
        words, columns = stream.layout.words, len(stream.layout.columns)
        stream.mask = reader.ints(n * words).view(np.uint64).reshape(n, words)
        stream.cols = reader.ints(n * columns).reshape(columns, n)
        if header.folded:
            stream.folds = reader.ints(stream.folds.size).reshape(stream.folds.shape)
    return stream
