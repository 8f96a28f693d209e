"""EntityState as bytes: a checksum, a MessagePack header and the packed columns of its streams."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import numpy as np

from streamgauge.definitions.schema import NULL
from streamgauge.errors import StateDamaged
from streamgauge.features.block import new_block
from streamgauge.features.identity import Entry
from streamgauge.features.packing import pack_block, packed_bound, unpack_block
from streamgauge.features.stream_state import StreamState, shape_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamgauge.features.layout import Layout, StreamLayout
    from streamgauge.features.state import EntityState

_MAGIC: Final = b"SGS\x02"
_PREFIX: Final = struct.Struct("<4sII")
_DIGEST: Final = 16
_NO_DIGEST: Final = bytes(_DIGEST)
_ROOM: Final = 4
_State = TypeVar("_State", bound="EntityState")
_Head = TypeVar("_Head")


class _StreamHeader(msgspec.Struct, array_like=True, gc=False):
    """A stream's scalars, and what is remembered of ids.

    `ids` are those of the newest events, in the events' order, and `digests` theirs, one after another; one of zeros is
    that of an id that `entries` tells of.
    """

    name: str
    lateness_us: int
    events: int
    folded_last: int
    forgot: bool
    ids: list[str]
    digests: bytes
    entries: dict[str, Entry]


class _Header(msgspec.Struct, array_like=True, gc=False):
    layout: bytes
    last_position: int
    last_known_at: int
    last_event_time: int
    streams: list[_StreamHeader]


class StreamOutline(msgspec.Struct, array_like=True, gc=False):
    """A stream's scalars; what is remembered of ids is passed over."""

    name: str
    lateness_us: int
    events: int
    folded_last: int


class Outline(msgspec.Struct, array_like=True, gc=False):
    """A state's scalars, and where the first of its packed blocks begins."""

    layout: bytes
    last_position: int
    last_known_at: int
    last_event_time: int
    streams: list[StreamOutline]
    end: int = 0


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Header)
_OUTLINER: Final = msgspec.msgpack.Decoder(Outline)


def encode_state(state: EntityState) -> bytes:
    """Return a state as bytes; ids that no live record can find any more are left out.

    The form: magic, CRC-32 of all that follows it, length of the header (4 bytes each, little endian); the header; each
    kept stream's packed block (`streamgauge.features.packing`).
    """
    headers: list[_StreamHeader] = []
    blocks: list[bytes] = []
    for name, stream in state.streams.items():
        if stream.is_empty:
            continue
        headers.append(_stream_header(name, stream, state.last_known_at))
        if _has_block(stream.layout, headers[-1]):
            blocks.append(_packed(stream))
    header = _ENCODER.encode(
        _Header(
            bytes.fromhex(state.layout.digest), state.last_position, state.last_known_at, state.last_event_time, headers
        )
    )
    body = b"".join((len(header).to_bytes(4, "little"), header, *blocks))
    return _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body


def decode_state(state: _State, data: bytes) -> _State:
    """Fill an empty state from bytes.

    Raises:
        StateDamaged: The bytes are damaged, or were written under another layout or format.
    """
    header, at = _read(data, _DECODER)
    if header.layout.hex() != state.layout.digest:
        raise StateDamaged(
            f"A state was written under layout {header.layout.hex()[:12]}, not {state.layout.digest[:12]}: rebuild it."
        )
    state.last_position = header.last_position
    state.last_known_at = header.last_known_at
    state.last_event_time = header.last_event_time
    packed = np.frombuffer(data, np.uint8)
    for stream in header.streams:
        found, at = _stream(stream, state.layout, packed, at)
        state.keep(stream.name, found)
    return state


def outline(data: bytes) -> Outline:
    """Return the outline of a state, having checked its bytes.

    Raises:
        StateDamaged: They are damaged or of another format.
    """
    found, end = _read(data, _OUTLINER)
    found.end = end
    return found


def check_state(data: bytes) -> None:
    """Check the bytes of a state.

    Raises:
        StateDamaged: They are damaged or of another format.
    """
    _read(data, _OUTLINER)


def _read(data: bytes, decoder: msgspec.msgpack.Decoder[_Head]) -> tuple[_Head, int]:
    """Return a state's header, having checked its bytes, and where it ends."""
    if len(data) < _PREFIX.size:
        raise StateDamaged(f"A state of {len(data)} bytes was cut short: rebuild it from the log.")
    magic, crc, length = _PREFIX.unpack_from(data)
    if magic != _MAGIC:
        raise StateDamaged(f"A state begins with {magic!r}: another format, or no state. Rebuild it from the log.")
    if zlib.crc32(memoryview(data)[8:]) != crc:
        raise StateDamaged("A state does not have the checksum it was written with: rebuild it from the log.")
    end = _PREFIX.size + length
    try:
        return decoder.decode(memoryview(data)[_PREFIX.size : end]), end
    except msgspec.MsgspecError as error:
        raise StateDamaged(f"A state's header cannot be read ({error}): rebuild it from the log.") from error


def _stream_header(name: str, stream: StreamState, known_us: int) -> _StreamHeader:
    edge = known_us - stream.lateness_us
    n, ids, kept, fresh = stream.count, stream.ids, stream.entries, stream.fresh
    if ids and stream.time[n - len(ids)] < edge:
        ids = ids[int(stream.time[n - len(ids) : n].searchsorted(edge)) :]
    if kept:
        kept = {event_id: entry for event_id, entry in kept.items() if entry.event_time >= edge}
    return _StreamHeader(
        name,
        stream.lateness_us,
        n,
        stream.folded_last,
        stream.forgot or len(ids) < len(stream.ids) or len(kept) < len(stream.entries),
        ids,
        b"".join([fresh.get(event_id, _NO_DIGEST) for event_id in ids]),
        kept,
    )


def _has_block(layout: StreamLayout | None, header: _StreamHeader) -> bool:
    return layout is not None and (header.events > 0 or header.folded_last != NULL)


def _packed(stream: StreamState) -> bytes:
    words, columns, folds = shape_of(stream.layout) if stream.layout is not None else (1, 0, 0)
    folds = folds if stream.folded_last != NULL else 0
    out = np.empty(packed_bound(words, columns, folds, stream.count), np.uint8)
    return out[: pack_block(stream.block, words, columns, folds, out)].tobytes()


def _stream(header: _StreamHeader, layout: Layout, packed: NDArray[np.uint8], at: int) -> tuple[StreamState, int]:
    """Return a stream whose packed block begins at a byte, and where the next one begins."""
    index = layout.index(header.name)
    own = None if index < 0 else layout.streams[index]
    block = None
    if own is not None and _has_block(own, header):
        words, columns, folds = shape_of(own)
        block = new_block(words, columns, folds, header.events + header.events // 4 + _ROOM)
        used = folds if header.folded_last != NULL else 0
        at = unpack_block(packed, at, header.events, words, columns, used, block)
    stream = StreamState(own, header.lateness_us, block)
    stream.folded_last = header.folded_last
    stream.forgot = header.forgot
    stream.entries = header.entries
    stream.ids = header.ids
    digests = header.digests
    for number, event_id in enumerate(header.ids):
        digest = digests[_DIGEST * number : _DIGEST * (number + 1)]
        if digest != _NO_DIGEST:
            stream.fresh[event_id] = digest
    stream.settle()
    return stream, at
