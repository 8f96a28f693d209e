from typing import Literal

import numpy as np
import pytest

from streamgauge.definitions.specs import EstimatorSpec, FeatureSpec
from streamgauge.errors import ModelError, TrainingRefused
from streamgauge.models.estimators import fit
from streamgauge.models.monotone import check_directions
from streamgauge.scoring.fitted import from_sklearn
from streamgauge.scoring.onnx_export import export_onnx
from streamgauge.scoring.parity import check_parity
from streamgauge.scoring.shapley import Shapley

BOOSTING = EstimatorSpec(
    "boosting", (("early_stopping", False), ("max_iter", 30), ("min_samples_leaf", 20), ("random_state", 0))
)
FOREST = EstimatorSpec("forest", (("n_estimators", 10), ("min_samples_leaf", 20), ("random_state", 0)))
LOGISTIC = EstimatorSpec("logistic", (("max_iter", 1000), ("random_state", 0)))


def rows() -> tuple[np.ndarray, np.ndarray]:
    """A value that raises risk, one without meaning, and a category; a tenth of the values is null."""
    rng = np.random.default_rng(2)
    X = np.column_stack([rng.normal(size=2_000), rng.normal(size=2_000), rng.integers(0, 4, 2_000)])
    bad = (rng.random(2_000) < 1 / (1 + np.exp(1 - X[:, 0] - (X[:, 2] == 2)))).astype(np.float64)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X, bad


def features(risk: Literal["up", "down"] | None) -> list[FeatureSpec]:
    expression = ("const", 0.0)
    return [
        FeatureSpec("F.x", expression, "account", risk=risk),
        FeatureSpec("F.noise", expression, "account"),
        FeatureSpec("F.kind", expression, "account", levels=("a", "b", "c", "d")),
    ]


@pytest.mark.parametrize("spec", [BOOSTING, LOGISTIC], ids=lambda spec: spec.kind)
def test_a_declared_direction_that_the_rows_agree_with_holds(spec: EstimatorSpec) -> None:
    X, bad = rows()
    fitted = fit(spec, features("up"), X, bad)
    ensemble = from_sklearn(fitted.estimator, fitted.coding.encode(X))
    (sweep,) = check_directions(features("up"), ensemble, fitted.coding, X)
    assert (sweep.feature, sweep.worst) == ("F.x", 0.0)
    assert sweep.steps > 5_000


def test_boosting_keeps_a_direction_against_the_rows() -> None:
    X, bad = rows()
    fitted = fit(BOOSTING, features("down"), X, bad)
    ensemble = from_sklearn(fitted.estimator, fitted.coding.encode(X))
    check_directions(features("down"), ensemble, fitted.coding, X)


def test_a_logistic_model_of_the_other_sign_is_refused() -> None:
    X, bad = rows()
    fitted = fit(LOGISTIC, features("down"), X, bad)
    ensemble = from_sklearn(fitted.estimator, fitted.coding.encode(X))
    with pytest.raises(
        TrainingRefused, match=r'F\.x is declared risk="down", but the fitted model moves the other way'
    ):
        check_directions(features("down"), ensemble, fitted.coding, X)


def test_boosting_without_the_constraint_fails_the_sweep() -> None:
    X, bad = rows()
    fitted = fit(BOOSTING, features(None), X, bad)
    ensemble = from_sklearn(fitted.estimator, fitted.coding.encode(X))
    with pytest.raises(TrainingRefused):
        check_directions(features("down"), ensemble, fitted.coding, X)


def test_a_forest_refuses_a_direction_where_values_are_null() -> None:
    X, bad = rows()
    with pytest.raises(TrainingRefused, match=r"a direction of risk where features are null \(F\.x\)"):
        fit(FOREST, features("up"), X, bad)
    whole = np.nan_to_num(X)
    fitted = fit(FOREST, features("up"), whole, bad)
    ensemble = from_sklearn(fitted.estimator, fitted.coding.encode(whole))
    assert check_directions(features("up"), ensemble, fitted.coding, whole)


def test_the_same_rows_give_the_same_fit_each_time() -> None:
    X, bad = rows()
    for spec in (BOOSTING, FOREST, LOGISTIC):
        first, second = (fit(spec, features(None), X, bad) for _ in range(2))
        np.testing.assert_array_equal(first.margin(X), second.margin(X))


def test_parameters_that_scikit_learn_refuses_are_named() -> None:
    X, bad = rows()
    with pytest.raises(ModelError, match="boosting estimator cannot be fitted"):
        fit(EstimatorSpec("boosting", (("max_iter", -1), ("random_state", 0))), features(None), X, bad)


CLASSES = {
    "ExtraTreesClassifier": EstimatorSpec(
        "forest", (("max_depth", 5), ("n_estimators", 12), ("random_state", 0)), "sklearn.ensemble:ExtraTreesClassifier"
    ),
    "RandomForestClassifier": EstimatorSpec(
        "forest",
        (("max_depth", 5), ("n_estimators", 12), ("random_state", 0)),
        "sklearn.ensemble:RandomForestClassifier",
    ),
    "HistGradientBoostingClassifier": EstimatorSpec(
        "boosting", (("max_iter", 10), ("random_state", 0)), "sklearn.ensemble:HistGradientBoostingClassifier"
    ),
    "LogisticRegression": EstimatorSpec(
        "logistic", (("C", 0.5), ("random_state", 0)), "sklearn.linear_model:LogisticRegression"
    ),
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_by_its_path_is_that_class_and_is_exported_and_explained_exactly(name: str) -> None:
    X, bad = rows()
    fitted = fit(CLASSES[name], features(None), X, bad)
    steps = [type(step).__name__ for _, step in getattr(fitted.estimator, "steps", [("", fitted.estimator)])]
    assert name in steps
    coded = fitted.coding.encode(X)
    ensemble = from_sklearn(fitted.estimator, coded)
    assert check_parity(fitted.estimator, ensemble, export_onnx(ensemble), coded) > len(X)
    explained = Shapley(ensemble)
    np.testing.assert_allclose(
        explained.base + explained.values(coded).sum(axis=1), fitted.margin(X), rtol=0, atol=1e-9
    )
