"""Declared directions of risk, tested on the fitted model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from streamgauge.errors import TrainingRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streamgauge.definitions.specs import FeatureSpec
    from streamgauge.scoring.coding import Coding
    from streamgauge.scoring.ensemble import Ensemble

_ROWS: Final = 200
_VALUES: Final = 40
_SLACK: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep of one feature showed.

    Attributes:
        feature: The feature.
        risk: Its declared direction.
        steps: How many steps of the margin were looked at.
        worst: The largest step against the direction, 0.0 where there is none.
    """

    feature: str
    risk: str
    steps: int
    worst: float


def check_directions(
    features: Sequence[FeatureSpec], ensemble: Ensemble, coding: Coding, X: NDArray[np.float64]
) -> list[Sweep]:
    """Sweep each feature with a declared direction over its values, all else as it is, and look at the margin.

    Args:
        features: The features in order.
        ensemble: The fitted margin.
        coding: From features to its columns.
        X: float64[n, features], training rows.

    Raises:
        TrainingRefused: The margin moves against a declared direction; for a logistic model, its coefficient does.
    """
    rows = X[np.linspace(0, len(X) - 1, min(_ROWS, len(X)), dtype=np.int64)]
    return [
        _sweep(j, feature, ensemble, coding, rows, X[:, j])
        for j, feature in enumerate(features)
        if feature.risk is not None
    ]


def _sweep(
    j: int,
    feature: FeatureSpec,
    ensemble: Ensemble,
    coding: Coding,
    rows: NDArray[np.float64],
    column: NDArray[np.float64],
) -> Sweep:
    known = column[~np.isnan(column)]
    if not len(known):
        return Sweep(feature.name, str(feature.risk), 0, 0.0)
    values = np.unique(np.quantile(known, np.linspace(0, 1, _VALUES)))
    swept = np.repeat(rows, len(values), axis=0)
    swept[:, j] = np.tile(values, len(rows))
    steps = np.diff(ensemble.margin(coding.encode(swept)).reshape(len(rows), len(values)), axis=1)
    against = -steps if feature.risk == "up" else steps
    worst = float(against.max(initial=0.0))
    if worst > _SLACK:
        raise TrainingRefused(
            f'{feature.name} is declared risk="{feature.risk}", but the fitted model moves the other way: '
            f"by {worst:.3g} of margin in the worst step. Look at the feature's relation to the outcome; take risk= "
            "from it, or use sg.Boosting, which keeps the direction while fitting."
        )
    return Sweep(feature.name, str(feature.risk), int(steps.size), max(worst, 0.0))
