"""A registered model as files: all that a server needs to score and explain, each part under its hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from streamgauge.errors import ArtefactAltered, ModelError
from streamgauge.scoring.calibration import Calibrator
from streamgauge.scoring.coding import Coding
from streamgauge.scoring.ensemble import Ensemble
from streamgauge.scoring.reasons import Baseline, ReasonCode
from streamgauge.scoring.scorecard import Scale

MANIFEST = "manifest.json"
_FORMAT = 1

Known = Literal["recorded", "declared", "final"]


class _Card(msgspec.Struct, frozen=True, kw_only=True):
    """The parts that are a few values each."""

    name: str
    label: str
    label_sha256: str
    known: Known
    program_sha256: str
    scale: Scale
    reasons: tuple[ReasonCode, ...]
    metadata: dict[str, Any]


class _Manifest(msgspec.Struct, frozen=True):
    format: int
    sha256: str
    parts: dict[str, str]


class _Blob(msgspec.Struct, frozen=True):
    manifest: bytes
    parts: dict[str, bytes]


@dataclass(frozen=True, kw_only=True)
class ModelArtefact:
    """Everything a server needs of one model; the same content always has the same hash.

    Attributes:
        name: The model's name.
        ensemble: The raw margin as arrays, for explanations and replay.
        onnx: Its ONNX export, for scoring.
        coding: The features in order and the training levels of categories.
        calibrator: From margin to PD.
        program: The FeatureProgram in canonical form, any JSON value.
        program_sha256: The program's hash, as its owner computes it.
        label: The label's name.
        label_sha256: The hash of the label's definition.
        known: ``recorded``, ``declared`` (an import declared its arrivals) or ``final`` (hindsight).
        reasons: The reason code of each feature.
        scale: The score scale.
        baseline: What reasons are measured against, or None until a policy has its own.
        metadata: Code version, data range, metrics, inventory: any JSON object.
    """

    name: str
    ensemble: Ensemble
    onnx: bytes
    coding: Coding
    calibrator: Calibrator
    program: Any
    program_sha256: str
    label: str
    label_sha256: str
    known: Known
    reasons: tuple[ReasonCode, ...]
    scale: Scale = field(default_factory=Scale)
    baseline: Baseline | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns, n = len(self.coding.sources), self.ensemble.n_features
        if columns != n:
            raise ModelError(f"The coding makes {columns} columns, the model takes {n}: they were not fitted together.")
        if len(self.reasons) != len(self.features):
            raise ModelError(f"{len(self.reasons)} reason codes for {len(self.features)} features: give one for each.")

    @property
    def features(self) -> tuple[str, ...]:
        """The features in order."""
        return self.coding.names

    def parts(self) -> dict[str, bytes]:
        """Return the content of each file but the manifest, sorted by name."""
        card = _Card(
            name=self.name,
            label=self.label,
            label_sha256=self.label_sha256,
            known=self.known,
            program_sha256=self.program_sha256,
            scale=self.scale,
            reasons=self.reasons,
            metadata=self.metadata,
        )
        return {
            "baseline.json": _json(self.baseline),
            "calibrator.json": self.calibrator.to_bytes(),
            "card.json": _json(card),
            "coding.json": _json(self.coding),
            "ensemble.msgpack": self.ensemble.to_bytes(),
            "model.onnx": self.onnx,
            "program.json": _json(self.program),
        }

    @property
    def sha256(self) -> str:
        """The hex SHA-256 over the names and hashes of all parts."""
        return _total(_hashes(self.parts()))

    def save(self, directory: Path) -> str:
        """Write the parts and their manifest into a directory, the manifest last; return the artefact's hash."""
        directory.mkdir(parents=True, exist_ok=True)
        parts = self.parts()
        for name, data in parts.items():
            (directory / name).write_bytes(data)
        (directory / MANIFEST).write_bytes(_manifest(parts))
        return _total(_hashes(parts))

    @classmethod
    def load(cls, directory: Path, sha256: str | None = None) -> ModelArtefact:
        """Read an artefact that ``save`` wrote, and verify the hash of every part.

        Args:
            directory: Where it is.
            sha256: The hash it was registered under, where one is known.

        Raises:
            ArtefactAltered: A part is missing or altered; names it.
            ModelError: The directory holds no artefact of this version.
        """
        path = directory / MANIFEST
        if not path.is_file():
            raise ModelError(f"{directory} holds no model: {MANIFEST} is missing. Train, or fetch the model again.")
        manifest = path.read_bytes()
        parts = {item.name: item.read_bytes() for item in sorted(directory.iterdir()) if item.is_file()}
        return _verified(manifest, parts, str(directory), sha256)

    def to_bytes(self) -> bytes:
        """Return the whole artefact as one blob."""
        parts = self.parts()
        return msgspec.msgpack.encode(_Blob(_manifest(parts), parts))

    @classmethod
    def from_bytes(cls, data: bytes, sha256: str | None = None) -> ModelArtefact:
        """Read an artefact that ``to_bytes`` wrote, and verify the hash of every part.

        Raises:
            ArtefactAltered: A part is missing or altered; names it.
            ModelError: The bytes are no artefact of this version.
        """
        try:
            blob = msgspec.msgpack.decode(data, type=_Blob)
        except msgspec.DecodeError as error:
            raise ModelError(f"The model artefact cannot be read ({error}). Fetch the model again.") from error
        return _verified(blob.manifest, blob.parts, "the blob", sha256)


def _json(value: object) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


def _hashes(parts: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(parts[name]).hexdigest() for name in sorted(parts)}


def _total(hashes: dict[str, str]) -> str:
    return hashlib.sha256(_json([_FORMAT, sorted(hashes.items())])).hexdigest()


def _manifest(parts: dict[str, bytes]) -> bytes:
    hashes = _hashes(parts)
    return msgspec.json.format(_json(_Manifest(_FORMAT, _total(hashes), hashes)), indent=2) + b"\n"


def _verified(manifest: bytes, parts: dict[str, bytes], place: str, sha256: str | None) -> ModelArtefact:
    try:
        listed = msgspec.json.decode(manifest, type=_Manifest)
    except msgspec.DecodeError as error:
        raise ArtefactAltered(f"{MANIFEST} in {place} was altered ({error}). Fetch the model again.") from error
    if listed.format != _FORMAT:
        raise ModelError(f"The model in {place} has format {listed.format}, this version reads {_FORMAT}. Train again.")
    if listed.sha256 != _total(listed.parts):
        raise ArtefactAltered(
            f"{MANIFEST} in {place} was altered: its hashes do not give its total. Fetch the model again."
        )
    for name, expected in sorted(listed.parts.items()):
        if name not in parts:
            raise ArtefactAltered(f"{name} is missing from {place}. Fetch the model again.")
        found = hashlib.sha256(parts[name]).hexdigest()
        if found != expected:
            raise ArtefactAltered(
                f"{name} in {place} was altered: SHA-256 {found[:12]}… instead of {expected[:12]}…. "
                "Fetch the model again."
            )
    if sha256 is not None and listed.sha256 != sha256:
        raise ArtefactAltered(
            f"The model in {place} is {listed.sha256[:12]}…, {sha256[:12]}… was registered: {MANIFEST} was replaced. "
            "Fetch the model again."
        )
    return _built({name: parts[name] for name in listed.parts}, place)


def _built(parts: dict[str, bytes], place: str) -> ModelArtefact:
    try:
        card = msgspec.json.decode(parts["card.json"], type=_Card)
        return ModelArtefact(
            name=card.name,
            ensemble=Ensemble.from_bytes(parts["ensemble.msgpack"]),
            onnx=parts["model.onnx"],
            coding=msgspec.json.decode(parts["coding.json"], type=Coding),
            calibrator=Calibrator.from_bytes(parts["calibrator.json"]),
            program=msgspec.json.decode(parts["program.json"]),
            program_sha256=card.program_sha256,
            label=card.label,
            label_sha256=card.label_sha256,
            known=card.known,
            reasons=card.reasons,
            scale=card.scale,
            baseline=msgspec.json.decode(parts["baseline.json"], type=Baseline | None),
            metadata=card.metadata,
        )
    except KeyError as error:
        raise ModelError(f"The model in {place} has no part {error}. Fetch the model again.") from error
    except msgspec.DecodeError as error:
        raise ModelError(f"The model in {place} cannot be read ({error}). Train again with this version.") from error
