"""Points and grades: how a lender reads a PD."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np

from streamgauge.errors import ModelError
from streamgauge.scoring.ensemble import Floats


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """A score scale: ``anchor_points`` at ``anchor_odds`` of good to bad, and ``pdo`` points that double the odds.

    Source: Siddiqi 2006, Credit Risk Scorecards, chapter 6: points = offset + factor · ln(odds of good).

    >>> round(Scale().factor, 4), round(Scale().offset, 3)
    (28.8539, 487.123)
    >>> Scale().points(np.array([1 / 51, 1 / 101])).round(6)
    array([600., 620.])
    """

    anchor_points: float = 600.0
    anchor_odds: float = 50.0
    pdo: float = 20.0

    @property
    def factor(self) -> float:
        """Points per unit of log-odds."""
        return self.pdo / math.log(2.0)

    @property
    def offset(self) -> float:
        """Points at even odds."""
        return self.anchor_points - self.factor * math.log(self.anchor_odds)

    def points(self, pd: Floats) -> Floats:
        """Return the points of each PD strictly between 0 and 1, as float64."""
        p = np.asarray(pd, dtype=np.float64)
        out: Floats = self.offset + self.factor * np.log((1.0 - p) / p)
        return out


def grade(pd: float, grades: Mapping[str, float]) -> str:
    """Return the first grade whose bound is above the PD; the last grade takes the rest.

    Raises:
        ModelError: There are no grades.

    >>> grade(0.02, {"A": 0.01, "B": 0.02, "C": 0.04})
    'C'
    >>> grade(0.9, {"A": 0.01, "B": 0.02, "C": 0.04})
    'C'
    """
    if not grades:
        raise ModelError("A PD cannot be graded without grades: give the policy at least one.")
    for name, bound in grades.items():
        if pd < bound:
            return name
    return tuple(grades)[-1]
