"""What is kept of a decision, so that it can be reproduced from this alone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec
import numpy as np

from streamgauge.errors import DecisionInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Outcome = Literal["approve", "refer", "decline"]

_FLOAT64 = np.dtype("<f8")


class Vector(msgspec.Struct, frozen=True, array_like=True):
    """Float64 values kept as raw little-endian bytes: equal only if equal in every bit, NaN (null) and -0.0 included.

    >>> Vector.of([1.5, None]) == Vector.of([1.5, None])
    True
    >>> Vector.of([0.0]) == Vector.of([-0.0])
    False
    """

    raw: bytes

    @classmethod
    def of(cls, values: NDArray[np.float64] | Sequence[float | None]) -> Self:
        """Keep one-dimensional values; None becomes NaN."""
        return cls(np.asarray(values, dtype=_FLOAT64).ravel().tobytes())

    @property
    def array(self) -> NDArray[np.float64]:
        """The values, read-only."""
        return np.frombuffer(self.raw, dtype=_FLOAT64)

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self.raw) // _FLOAT64.itemsize


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One principal reason: its code and text, its contribution to the margin, the features it sums."""

    code: str
    text: str
    contribution: float
    features: tuple[str, ...]


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The model that scored: registered name, version, hex SHA-256 of its artefact."""

    name: str
    version: str
    sha256: str


class PolicyVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The policy that decided: name, version, hex SHA-256 of its definition (reason baseline included)."""

    name: str
    version: str
    sha256: str


class DecisionRecord(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="format", tag="decision/1"
):
    """One decision, as taken. All times are UTC int64 microseconds.

    `seq` is the ledger's number, set on records that were read and never part of the body. Fields that later formats
    add need defaults, so that old bodies decode and re-encode to the same bytes.
    """

    decision_id: str
    stream: str
    event_id: str
    entities: dict[str, str]
    """Role to entity id."""
    as_of: int
    """The moment t of the features."""
    positions: dict[str, int]
    """Role to the position k that cuts the knowledge."""
    known_at: int
    request: dict[str, Any]
    """The flat event as accepted: JSON values."""
    request_digest: str
    """Of `digest_request`; another one under a used decision_id is a conflict."""
    feature_names: tuple[str, ...]
    features: Vector
    """Finished values in the order of `feature_names`, NaN = null."""
    model_input: Vector
    """The values as the model saw them."""
    margin: float
    pd: float
    points: float
    grade: str | None
    outcome: Outcome
    reasons: tuple[Reason, ...]
    stage: str
    """What decided: a rule or the score."""
    rules: tuple[str, ...]
    """Names of the rules that fired."""
    model: ModelVersion
    program_sha256: str
    calibrator_sha256: str
    policy: PolicyVersion
    code_version: str
    lag_us: int
    wall_time_us: int
    """When it was decided, by the wall clock."""
    seq: int | None = None

    def __post_init__(self) -> None:
        """Refuse a vector that does not belong to its names."""
        if len(self.features.raw) != len(self.feature_names) * _FLOAT64.itemsize:
            msg = f"{len(self.feature_names)} feature names for a vector of {len(self.features.raw)} bytes"
            raise ValueError(msg)

    def feature_values(self) -> dict[str, float | None]:
        """Map each feature's name to its value, null as None."""
        values = self.features.array.tolist()
        return {
            name: None if value != value else value  # noqa: PLR0124 - only NaN differs from itself
            for name, value in zip(self.feature_names, values, strict=True)
        }


class ErasureAudit(msgspec.Struct, frozen=True, kw_only=True):
    """Who had what erased, and how much: it names neither the entity nor anything of it."""

    id: str
    """Of the erasure: it is noted once, however often it was taken up again."""
    by: str
    """Who asked for it."""
    counts: dict[str, int]
    """What was erased beside decisions: records, scores, refused events, …"""


class Erasure(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="erasure/1"):
    """The ledger's note that the bodies of these entries were erased on purpose; it names no person."""

    seqs: tuple[int, ...]
    erased_at: int
    """UTC int64 µs."""
    audit: ErasureAudit | None = None


class Identity(msgspec.Struct, frozen=True):
    """The part of any body that a store repeats in its own columns."""

    decision_id: str | None = None
    entities: dict[str, str] = {}


def _scalar(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    msg = f"a value of type {type(value).__name__} cannot be recorded"
    raise TypeError(msg)


_encoder = msgspec.msgpack.Encoder(order="deterministic", enc_hook=_scalar)
_decision_decoder = msgspec.msgpack.Decoder(DecisionRecord)
_erasure_decoder = msgspec.msgpack.Decoder(Erasure)
_identity_decoder = msgspec.msgpack.Decoder(Identity)


def encode(record: DecisionRecord | Erasure) -> bytes:
    """Encode a body: MessagePack, maps sorted by key, without `seq`; equal records give equal bytes.

    Raises:
        DecisionInvalid: A value that MessagePack cannot hold (an integer beyond 64 bits, a lone surrogate).
    """
    if isinstance(record, DecisionRecord) and record.seq is not None:
        record = msgspec.structs.replace(record, seq=None)
    try:
        return _encoder.encode(record)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        msg = f"A decision's record cannot be written: {error}. Check the values of its request."
        raise DecisionInvalid(msg) from error


def decode(body: bytes, seq: int | None = None) -> DecisionRecord:
    """Decode a decision's body, and give it the ledger's number.

    Raises:
        DecisionInvalid: The bytes are no decision in a format this version knows.
    """
    try:
        record = _decision_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        msg = f"Entry {seq} is no decision record that this version of Streamgauge can read: {error}."
        raise DecisionInvalid(msg) from error
    return record if seq is None else msgspec.structs.replace(record, seq=seq)


def decode_erasure(body: bytes) -> Erasure:
    """Decode the body of an erasure.

    Raises:
        DecisionInvalid: The bytes are no erasure in a format this version knows.
    """
    try:
        return _erasure_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        msg = f"An erasure cannot be read by this version of Streamgauge: {error}."
        raise DecisionInvalid(msg) from error


def identity(body: bytes) -> Identity:
    """Read a body's decision_id and entities; empty for bytes that hold none."""
    try:
        return _identity_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Identity()


def digest_request(request: Mapping[str, object]) -> str:
    """Hex SHA-256 of a request's values, whatever the order of its keys.

    >>> digest_request({"a": 1, "b": 2}) == digest_request({"b": 2, "a": 1})
    True

    Raises:
        DecisionInvalid: A value that cannot be recorded.
    """
    try:
        return hashlib.sha256(_encoder.encode(dict(request))).hexdigest()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        msg = f"The request of a decision cannot be recorded: {error}."
        raise DecisionInvalid(msg) from error


def record_digest(salt: bytes, body: bytes) -> bytes:
    """SHA-256 over salt and body: with the salt gone, it tells nothing of the body.

    >>> record_digest(bytes(16), b"body").hex()[:8]
    'c8fffe6b'
    """
    return hashlib.sha256(salt + body).digest()
