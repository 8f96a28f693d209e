"""The export agrees with scikit-learn, and a disagreement is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from streamgauge.errors import ModelError, ParityError
from streamgauge.scoring.ensemble import Ensemble, Trees
from streamgauge.scoring.fitted import from_sklearn
from streamgauge.scoring.inference import OnnxModel
from streamgauge.scoring.onnx_export import export_onnx
from streamgauge.scoring.parity import _probes, check_parity


def fitted_margin(estimator: Any, rows: Any) -> Any:
    if hasattr(estimator, "decision_function"):
        return estimator.decision_function(rows)
    return estimator.predict_proba(rows)[:, 1]


def test_every_kind_agrees_with_scikit_learn_on_training_threshold_null_and_unseen_rows(fitted: Any) -> None:
    checked = check_parity(fitted.estimator, fitted.ensemble, export_onnx(fitted.ensemble), fitted.rows)
    assert checked > len(fitted.rows)


def test_boosting_gives_the_very_bits_of_scikit_learn(boosting: Any) -> None:
    expected = fitted_margin(boosting.estimator, boosting.rows)
    np.testing.assert_array_equal(boosting.ensemble.margin(boosting.rows), expected)
    np.testing.assert_array_equal(OnnxModel(export_onnx(boosting.ensemble)).margin(boosting.rows), expected)


def test_the_probes_reach_thresholds_nulls_and_unseen_categories(boosting: Any) -> None:
    probes: dict[str, list[Any]] = {}
    for kind, rows in _probes(boosting.ensemble, boosting.rows):
        probes.setdefault(kind, []).append(rows)
    assert set(probes) == {"training", "null", "threshold", "packed threshold", "unseen category"}
    trees = boosting.ensemble.model
    placed = np.concatenate(probes["packed threshold"])
    numeric = (trees.feature >= 0) & (trees.members < 0)
    for j in np.unique(trees.feature[numeric]):
        thresholds = np.unique(trees.threshold[numeric & (trees.feature == j)])
        limit = np.finfo(np.float64).max
        assert np.isin(np.clip(thresholds, -limit, limit), placed[:, j]).all()
    assert np.isnan(probes["null"][0]).all(axis=1).any()
    assert np.nanmax(probes["unseen category"][0][:, 2]) > np.nanmax(boosting.rows[:, 2])


def test_levels_that_a_fold_never_saw_go_where_a_null_goes(boosting: Any) -> None:
    rows = boosting.rows[(boosting.rows[:, 2] != 1) & (boosting.rows[:, 3] % 2 == 0)]
    bad = boosting.bad[(boosting.rows[:, 2] != 1) & (boosting.rows[:, 3] % 2 == 0)]
    estimator = HistGradientBoostingClassifier(
        max_iter=20, early_stopping=False, categorical_features=[2, 3], random_state=0
    ).fit(rows, bad)
    ensemble = from_sklearn(estimator)
    check_parity(estimator, ensemble, export_onnx(ensemble), rows)
    expected = fitted_margin(estimator, boosting.rows)
    np.testing.assert_array_equal(ensemble.margin(boosting.rows), expected)
    np.testing.assert_array_equal(OnnxModel(export_onnx(ensemble)).margin(boosting.rows), expected)


@pytest.mark.parametrize("estimator", [HistGradientBoostingClassifier(max_iter=5), RandomForestClassifier(5)])
def test_trees_of_a_single_leaf_are_exported(estimator: Any) -> None:
    rows, bad = np.zeros((60, 2)), np.arange(60) % 3 == 0
    estimator.fit(rows, bad.astype(int))
    ensemble = from_sklearn(estimator)
    assert (ensemble.model.feature < 0).any()  # type: ignore[union-attr]
    check_parity(estimator, ensemble, export_onnx(ensemble), rows)


def test_a_forest_compares_in_float32(forest: Any) -> None:
    rows = np.nan_to_num(forest.rows)
    estimator = RandomForestClassifier(5, min_samples_leaf=15, random_state=0).fit(rows, forest.bad)
    ensemble = from_sklearn(estimator)
    check_parity(estimator, ensemble, export_onnx(ensemble), rows)
    assert isinstance(ensemble.model, Trees)
    moved = Ensemble(ensemble.n_features, replace(ensemble.model, float32=False))
    with pytest.raises(ParityError, match="threshold row"):
        check_parity(estimator, moved, export_onnx(moved), rows)


def test_a_threshold_moved_to_the_next_number_is_refused(boosting: Any) -> None:
    trees = boosting.ensemble.model
    node = int(np.flatnonzero((trees.feature >= 0) & (trees.members < 0) & np.isfinite(trees.threshold))[0])
    threshold = trees.threshold.copy()
    threshold[node] = np.nextafter(threshold[node], np.inf)
    altered = Ensemble(boosting.ensemble.n_features, replace(trees, threshold=threshold))
    with pytest.raises(
        ParityError, match=r"ensemble disagrees with the fitted model on .*threshold row \d+: .*difference"
    ):
        check_parity(boosting.estimator, altered, export_onnx(altered), boosting.rows)


def test_an_onnx_file_of_another_fit_is_refused(boosting: Any, forest: Any) -> None:
    trees = boosting.ensemble.model
    assert isinstance(trees, Trees)
    other = Ensemble(boosting.ensemble.n_features, replace(trees, value=trees.value * (1 + 1e-9)))
    with pytest.raises(ParityError, match="ONNX export disagrees"):
        check_parity(boosting.estimator, boosting.ensemble, export_onnx(other), boosting.rows)
    assert forest.ensemble != boosting.ensemble


def test_an_estimator_of_another_kind_or_with_other_labels_is_refused() -> None:
    rows, bad = np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 2
    with pytest.raises(ModelError, match="classes"):
        from_sklearn(RandomForestClassifier(2).fit(rows, bad + 1))
    with pytest.raises(ModelError, match="Known: Boosting, Forest, Logistic"):
        from_sklearn(DecisionTreeClassifier().fit(rows, bad))
    with pytest.raises(ModelError, match="SimpleImputer"):
        from_sklearn(LogisticRegression().fit(rows, bad))
