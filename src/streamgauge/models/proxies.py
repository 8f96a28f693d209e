"""What a model's features tell of a protected attribute: an estimator is fitted to find out, and thrown away."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from streamgauge.definitions.texts import hash_text
from streamgauge.models.estimators import one_thread
from streamgauge.models.fairness_report import Interval
from streamgauge.models.metrics import delong

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streamgauge.models.fairness import Judged
    from streamgauge.models.grouping import Grouping

_FOLDS: Final = 3
_MOST_ENTITIES: Final = 20_000
_Z95: Final = 1.959963984540054


def interval(value: float, drawn: Sequence[float]) -> Interval | None:
    """Return a figure with the interval that its replicates span; None where it is not defined.

    >>> interval(0.5, [0.4] * 20 + [0.6] * 20)
    Interval(value=0.5, low=0.4, high=0.6)
    """
    found = [one for one in drawn if math.isfinite(one)]
    if not math.isfinite(value) or not found:
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def attribute_auc(judged: Judged, grouping: Grouping, group: int) -> Interval | None:
    """Return how well the features tell a group from all others whose attribute is known; None if nothing can be said.

    One row an entity, its newest; gradient boosting on the other folds of entities ranks each.

    Args:
        judged: The model's rows.
        grouping: The groups.
        group: The group.
    """
    rows = _newest(judged, grouping)
    inside = (grouping.code[judged.entity[rows]] == group).astype(np.float64)
    fold = np.array([(hash_text(judged.entities[owner]) >> 8) % _FOLDS for owner in judged.entity[rows].tolist()])
    score = np.full(len(rows), np.nan)
    for number in range(_FOLDS):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(np.unique(inside[train])) < 2 or not len(test):  # noqa: PLR2004 - nothing to tell apart
            return None
        score[test] = _ranked(judged.X[rows[train]], inside[train], judged.X[rows[test]])
    auc, variance = delong(score, inside)
    half = _Z95 * math.sqrt(variance)
    return Interval(auc, max(0.0, auc - half), min(1.0, auc + half))


def _newest(judged: Judged, grouping: Grouping) -> NDArray[np.int64]:
    """Return the newest row of each entity whose attribute is known; of very many entities, every k-th."""
    order = np.lexsort((judged.t, judged.entity))
    last = order[np.append(judged.entity[order][1:] != judged.entity[order][:-1], True)]
    known: NDArray[np.int64] = last[grouping.code[judged.entity[last]] >= 0]
    return known[:: max(1, -(-len(known) // _MOST_ENTITIES))]


def _ranked(X: NDArray[np.float64], inside: NDArray[np.float64], asked: NDArray[np.float64]) -> NDArray[np.float64]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    estimator = HistGradientBoostingClassifier(
        max_iter=60,
        learning_rate=0.1,
        max_leaf_nodes=8,
        min_samples_leaf=20,
        l2_regularization=10.0,
        early_stopping=False,
        random_state=0,
    )
    # A column without any value cannot be binned; where it has none in training, it says nothing.
    some = ~np.isnan(X).all(axis=0)
    if not some.any():
        return np.zeros(len(asked))
    with one_thread():
        estimator.fit(X[:, some], inside)
        margin: NDArray[np.float64] = estimator.decision_function(asked[:, some])
    return margin
