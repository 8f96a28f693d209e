"""A training run: the model, and the report it was registered with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from streamgauge.models.leaks import FeatureLeak
from streamgauge.models.metrics import Metrics
from streamgauge.models.sampling import Sampled

if TYPE_CHECKING:
    import polars as pl

    from streamgauge.models.registry import RegisteredModel
    from streamgauge.scoring.artefact import ModelArtefact
    from streamgauge.scoring.policy import RegisteredPolicy


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the split.

    Attributes:
        rows: How many rows.
        bads: How many are bad.
        entities: How many entities they are of.
        bad_rate: The share of bads, 0 without rows.
        begins: The first observation, µs, or None without rows.
        ends: The last observation, µs, or None without rows.
    """

    rows: int
    bads: int
    entities: int
    bad_rate: float
    begins: int | None
    ends: int | None


class Direction(msgspec.Struct, frozen=True, kw_only=True):
    """A declared direction of risk, as the fitted model keeps it.

    Attributes:
        feature: The feature.
        risk: ``up`` or ``down``.
        steps: How many steps of the margin were looked at.
    """

    feature: str
    risk: str
    steps: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a training found. The same log and project give the same report.

    Attributes:
        model: The model's name.
        known: ``recorded``, ``declared`` or ``final``.
        last_position: The position up to which the log was read.
        moment: The dataset's moment, µs.
        labels: How many observations have each label.
        parts: The parts of the split; with folds only ``train``.
        purged: How many rows close after the next part begins.
        metrics: Measured on the test part; with folds out of fold.
        measured_on: ``test`` or ``out of fold``.
        leaks: What the leak checks found, the highest AUC first.
        recomputed: How many rows were computed again from the cut log, and were identical.
        directions: The declared directions of risk, all kept.
        parity: How many rows scikit-learn, the arrays and ONNX Runtime agree on.
        estimator: The estimator and its parameters.
        split: The split's definition.
        warnings: What the owner should know.
        sample: What the model was fitted on, None where that is the whole training part.
    """

    model: str
    known: Literal["recorded", "declared", "final"]
    last_position: int
    moment: int
    labels: dict[str, int]
    parts: dict[str, Part]
    purged: int
    metrics: Metrics
    measured_on: Literal["test", "out of fold"]
    leaks: tuple[FeatureLeak, ...]
    recomputed: int
    directions: tuple[Direction, ...]
    parity: int
    estimator: dict[str, Any]
    split: dict[str, Any]
    warnings: tuple[str, ...]
    sample: Sampled | None = None

    def to_json(self) -> bytes:
        """Return the report as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A trained model with everything that is kept beside it.

    Attributes:
        artefact: The model.
        report: What was found.
        plots: PNG files by name.
        rows: Calibration and test rows, as `streamgauge.models.rows` describes them.
        registered: Its version, once registered.
        policy: The policy version that was registered with it, or None.
    """

    artefact: ModelArtefact
    report: Report
    plots: dict[str, bytes] = field(repr=False)
    rows: pl.DataFrame = field(repr=False)
    registered: RegisteredModel | None = None
    policy: RegisteredPolicy | None = None
