"""P9: exact Shapley contributions of one decision, against `shap.TreeExplainer` on the same model and rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Report, Row, Spread, interleave, ratios, seconds
from streamgauge.scoring.fitted import from_sklearn
from streamgauge.scoring.inference import OnnxModel
from streamgauge.scoring.onnx_export import export_onnx
from streamgauge.scoring.shapley import Shapley

Floats = NDArray[np.float64]
GOAL = "2 × `shap.TreeExplainer`, |sum − margin| at most 1e-9"
FEATURES, TREES, LEAVES, TRAINING_ROWS = 40, 200, 31, 20_000


class Differs(AssertionError):
    """Both explain the same model, and differ."""


@dataclass(frozen=True)
class Explained:
    """One model, explained by both.

    Attributes:
        estimator: The fitted estimator, which shap reads.
        shapley: Our explainer of it.
        onnx: The model that decides.
        rows: float64[n, features], rows to explain.
    """

    estimator: Any
    shapley: Shapley
    onnx: OnnxModel
    rows: Floats


def fitted(trees: int = TREES, rows: int = TRAINING_ROWS, explained: int = 1_000) -> Explained:
    """Fit boosted trees on forty numeric features with nulls.

    Values are of float32's precision, to which shap rounds them: where they are not, it explains other rows than the
    model scores. There is no category, for which it is wrong.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    generator = np.random.default_rng(11)
    X = generator.normal(size=(rows, FEATURES)).astype(np.float32).astype(np.float64)
    X[generator.random(X.shape) < 0.05] = np.nan
    seen = np.nan_to_num(X)
    margin = seen[:, :8] @ np.linspace(1, 0.2, 8) + seen[:, 8] * seen[:, 9] + np.sin(2 * seen[:, 10])
    bad = margin + generator.logistic(size=rows) > 1.5
    estimator = HistGradientBoostingClassifier(
        max_iter=trees, max_leaf_nodes=LEAVES, early_stopping=False, random_state=0
    ).fit(X, bad.astype(int))
    ensemble = from_sklearn(estimator)
    return Explained(estimator, Shapley(ensemble), OnnxModel(export_onnx(ensemble)), X[:explained])


def run(*, quick: bool) -> Report:
    """Check, then measure."""
    model = fitted(rows=5_000 if quick else TRAINING_ROWS, explained=200 if quick else 1_000)
    checks, residue = check(model)
    shap = _shap(model)
    single, batch = model.rows[:50], model.rows
    repetitions = 5 if quick else 15

    def one_by_one(explain: Any) -> float:  # noqa: ANN401 - either explainer
        return seconds(lambda: [explain(row) for row in np.split(single, len(single))]) / len(single)

    ours = model.shapley.values
    alone = interleave(repetitions, {"ours": lambda: one_by_one(ours), "shap": lambda: one_by_one(shap)})
    together = interleave(
        repetitions,
        {
            "ours": lambda: seconds(lambda: ours(batch)) / len(batch),
            "shap": lambda: seconds(lambda: shap(batch)) / len(batch),
        },
    )
    return Report(
        id="P9",
        title="Reasons: exact Shapley contributions of the margin",
        size={"features": FEATURES, "trees": TREES, "leaves": LEAVES, "rows": len(batch)},
        goal=GOAL,
        checks=checks,
        rows=[
            Row("Streamgauge, one row (a decision)", Spread.of(alone["ours"]), "s"),
            Row("`shap.TreeExplainer`, one row", Spread.of(alone["shap"]), "s", ratios(alone["shap"], alone["ours"])),
            Row(f"Streamgauge, a row of {len(batch):,}", Spread.of(together["ours"]), "s"),
            Row(
                f"`shap.TreeExplainer`, a row of {len(batch):,}",
                Spread.of(together["shap"]),
                "s",
                ratios(together["shap"], together["ours"]),
            ),
            Row("Streamgauge, greatest |sum − margin|", Spread.of([residue[0]]), ""),
            Row("`shap.TreeExplainer`, greatest |sum − margin|", Spread.of([residue[1]]), ""),
        ],
        notes=(
            (
                "The margin is that of the ONNX model that decides. shap is given what it can do: no category, values "
                "of float32's precision."
            ),
        ),
    )


def check(model: Explained) -> tuple[list[str], tuple[float, float]]:
    """Return what was found equal, and by how much sums miss the margin: ours, and shap's.

    Raises:
        Differs: The explanations differ, or ours do not add up.
    """
    explainer = _explainer(model)
    own, theirs = model.shapley.values(model.rows), _shap(model)(model.rows)
    gap = float(np.abs(own - theirs).max())
    if gap > 1e-6:
        raise Differs(f"A contribution differs from shap's by {gap}.")
    margin = model.onnx.margin(model.rows)
    base = float(np.ravel(explainer.expected_value)[0])
    residue = float(np.abs(model.shapley.base + own.sum(axis=1) - margin).max())
    other = float(np.abs(base + theirs.sum(axis=1) - margin).max())
    if residue > 1e-9:
        raise Differs(f"Contributions miss the margin by {residue}.")
    return [
        f"{own.size:,} contributions of {len(own):,} rows within {gap:.1e} of `shap.TreeExplainer`'s",
        f"base plus contributions within {residue:.1e} of the margin that ONNX Runtime gives, on every row",
    ], (residue, other)


def _shap(model: Explained) -> Any:  # noqa: ANN401 - shap has no types
    explainer = _explainer(model)

    def values(rows: Floats) -> Floats:
        found: Floats = explainer.shap_values(rows, check_additivity=False)
        return found

    return values


def _explainer(model: Explained) -> Any:  # noqa: ANN401 - shap has no types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what importing it does is deprecated elsewhere
        import shap

        return shap.TreeExplainer(model.estimator, feature_perturbation="tree_path_dependent")
