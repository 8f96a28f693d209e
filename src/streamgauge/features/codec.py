"""EntityState as bytes: a checksum, a MessagePack header and the columns of its streams."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.errors import StateDamaged
from streamgauge.features.compute import StreamArrays
from streamgauge.features.identity import Entry
from streamgauge.features.opcodes import FOLD_WIDTH
from streamgauge.features.stream_state import StreamState

if TYPE_CHECKING:
    from streamgauge.features.layout import Layout
    from streamgauge.features.state import EntityState

_MAGIC: Final = b"SGS\x01"
_PREFIX: Final = struct.Struct("<4sIII")
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
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
        sequence = _sequence(stream)
        headers.append(_stream_header(name, stream, state.last_known_at, sequenced=bool(sequence)))
        parts += _columns(stream, sequence)
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
    buffer, start = bytearray(data), _PREFIX.size + _header_length(data)  # one copy, which the arrays go on sharing
    if len(buffer) > start:
        ints, words = np.frombuffer(buffer, np.int64, -1, start), np.frombuffer(buffer, np.uint64, -1, start)
    else:
        ints, words = np.empty(0, np.int64), np.empty(0, np.uint64)
    at = 0
    for stream in header.streams:
        state.streams[stream.name], at = _stream(stream, state.layout, ints, words, at)
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


def _stream_header(name: str, stream: StreamState, known_us: int, *, sequenced: bool) -> _StreamHeader:
    edge = known_us - stream.lateness_us
    n = stream.count
    start = int(stream.time[:n].searchsorted(edge)) if n else 0
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
        sequenced,
        stream.folded_first,
        stream.folded_last,
        stream.forgot or len(kept) < len(entries),
        kept,
        [] if ordered else ids,
    )


def _columns(stream: StreamState, sequence: bytes) -> list[bytes]:
    n = stream.count
    parts = [stream.time[:n].tobytes(), sequence]
    if stream.layout is not None:
        parts += (stream.mask[:n].tobytes(), stream.cols[:, :n].tobytes())
        if stream.folded_last != NULL:
            parts.append(stream.folds.tobytes())
    return parts


def _sequence(stream: StreamState) -> bytes:
    """Return the sequences, or nothing where all are 0."""
    data = stream.sequence[: stream.count].tobytes()
    return b"" if data.count(0) == len(data) else data


def _stream(header: _StreamHeader, layout: Layout, ints: Ints, words: Words, at: int) -> tuple[StreamState, int]:
    """Return a stream whose arrays are views of the buffer from item ``at`` on, and where the next one's begin."""
    index = layout.index(header.name)
    own = None if index < 0 else layout.streams[index]
    n = header.events
    if own is None or not (n or header.folded):
        stream = StreamState(own, header.lateness_us)
    else:
        mask = at + (2 * n if header.sequenced else n)
        cols = mask + n * own.words
        folds = cols + n * len(own.columns)
        end = folds + own.fold_table.shape[0] * FOLD_WIDTH if header.folded else folds
        arrays = StreamArrays(
            ints[at : at + n],
            words[mask:cols].reshape(n, own.words),
            ints[cols:folds].reshape(len(own.columns), n),
            n,
            ints[folds:end].reshape(-1, FOLD_WIDTH) if header.folded else own.empty_folds(),
            header.folded_first,
        )
        stream = StreamState(own, header.lateness_us, arrays)
        stream.sequence = ints[at + n : mask] if header.sequenced else np.zeros(n, np.int64)
        stream.ids = [""] * (n - header.named) + (header.ids or list(header.entries)[: header.named])
        stream.folded_last = header.folded_last
        at = end
    stream.entries, stream.forgot = header.entries, header.forgot
    return stream, at
