"""A loaded model: features in, margin, PD and points out, with the reasons."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from streamgauge.scoring.artefact import ModelArtefact
from streamgauge.scoring.ensemble import Floats, as_rows
from streamgauge.scoring.inference import OnnxModel
from streamgauge.scoring.reasons import Baseline, Reason, groups_of, nearest_below, principal_reasons
from streamgauge.scoring.shapley import Shapley
from streamgauge.scoring.shapley_lanes import LANES


@dataclass(frozen=True)
class Scores:
    """The scores of n rows.

    Attributes:
        margin: float64[n], raw margin: log-odds of bad, or the mean leaf probability of a forest.
        pd: float64[n], probability of default, at least 0.0003, rounded to 1e-9.
        points: float64[n], score points on the model's scale.
    """

    margin: Floats
    pd: Floats
    points: Floats


class Scorer:
    """Scores and explains rows of features with one artefact; safe to share between threads.

    Rows are float64[n, features] in the artefact's order, NaN for null; categories are level indices or hashes.
    """

    def __init__(self, artefact: ModelArtefact) -> None:
        self.artefact = artefact
        self._model = OnnxModel(artefact.onnx)

    @cached_property
    def _shapley(self) -> Shapley:
        return Shapley(self.artefact.ensemble)

    @cached_property
    def _reason_groups(self) -> list[tuple[str, list[int]]]:
        return groups_of(self.artefact.reasons)

    def warm(self) -> None:
        """Prepare explanations now, of one row and of many, not in the first decisions."""
        for rows in (1, LANES):
            self.explain(np.full((rows, len(self.artefact.features)), np.nan))

    @property
    def base(self) -> float:
        """The margin that contributions start from: base plus a row's contributions is its margin."""
        return self._shapley.base

    def encode(self, X: Floats) -> Floats:
        """Return rows as the model sees them: float64[n, columns], categories coded, unseen levels null."""
        return self.artefact.coding.encode(X)

    def nulls(self, X: Floats) -> npt.NDArray[np.bool_]:
        """Return which values the model cannot see, bool[n, features]."""
        return self.artefact.coding.nulls(X)

    def score_many(self, X: Floats) -> Scores:
        """Return margin, PD and points of each row.

        Raises:
            ModelError: The rows have another number of features.
        """
        margin = self._model.margin(self.encode(X))
        pd = self.artefact.calibrator.pd(margin)
        return Scores(margin, pd, self.artefact.scale.points(pd))

    def explain(self, X: Floats) -> Floats:
        """Return the exact Shapley values of the margin, float64[n, features].

        Raises:
            ModelError: The rows have another number of features.
        """
        return self.artefact.coding.by_feature(self._shapley.values(self.encode(X)))

    def baseline(self, X: Floats, approve_below: float | None) -> Baseline:
        """Return the baseline of a policy from the rows of calibration and test.

        Args:
            X: float64[n, features], those rows (without a policy: the calibration rows).
            approve_below: The policy's cutoff, or None without a policy.

        Raises:
            ModelError: There are no rows, or none below the cutoff.
        """
        rows = as_rows(X, len(self.artefact.features))
        scores = self.score_many(rows)
        chosen = nearest_below(scores.pd, approve_below)
        frozen = rows[chosen]
        return Baseline(
            contributions=tuple(self.explain(frozen).mean(axis=0).tolist()),
            margin=float(scores.margin[chosen].mean()),
            rows=len(chosen),
            approve_below=approve_below,
            sha256=hashlib.sha256(frozen.astype("<f8").tobytes()).hexdigest(),
        )

    def reasons(self, X: Floats, margin: Floats, baseline: Baseline) -> list[list[Reason]]:
        """Return the principal reasons of each row, checked to add up before any is given.

        Args:
            X: float64[n, features].
            margin: float64[n], the rows' margins as scored.
            baseline: What they are measured against.

        Raises:
            AdditivityError: A row's contributions do not add up to its margin.
        """
        names, codes = self.artefact.features, self.artefact.reasons
        contributions, nulls, groups = self.explain(X), self.nulls(X), self._reason_groups
        return [
            principal_reasons(names, codes, baseline.differences(contributions[i], float(margin[i])), nulls[i], groups)
            for i in range(len(contributions))
        ]
