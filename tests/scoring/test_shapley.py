"""Shapley values are exact: against enumeration, against shap where it is right, and always additive."""

from __future__ import annotations

import warnings
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from streamgauge.scoring.ensemble import Ensemble, Trees
from streamgauge.scoring.fitted import from_sklearn
from streamgauge.scoring.shapley import Shapley
from tests.scoring.portfolio import CATEGORICAL, fit, portfolio


def side(trees: Trees, node: int, x: float) -> int:
    if trees.members[node] >= 0:
        codes = {c for w, word in enumerate(trees.words[trees.members[node]]) for c in range(64 * w, 64 * w + 64)
                 if int(word) >> (c % 64) & 1}  # fmt: skip
        return int(trees.left[node] if not np.isnan(x) and x in codes else trees.right[node])
    goes_left = trees.missing_left[node] if np.isnan(x) else x <= trees.threshold[node]
    return int(trees.left[node] if goes_left else trees.right[node])


def expected_given(trees: Trees, node: int, x: Any, known: frozenset[int]) -> float:
    feature = int(trees.feature[node])
    if feature < 0:
        return float(trees.value[node])
    if feature in known:
        return expected_given(trees, side(trees, node, x[feature]), x, known)
    left, right = int(trees.left[node]), int(trees.right[node])
    total = trees.cover[left] * expected_given(trees, left, x, known)
    total += trees.cover[right] * expected_given(trees, right, x, known)
    return float(total / trees.cover[node])


def enumerated(ensemble: Ensemble, row: Any) -> Any:
    trees = ensemble.model
    assert isinstance(trees, Trees)
    x = row.astype(np.float32).astype(np.float64) if trees.float32 else row
    p = ensemble.n_features
    values = {
        frozenset(known): sum(expected_given(trees, int(root), x, frozenset(known)) for root in trees.roots)
        for size in range(p + 1)
        for known in combinations(range(p), size)
    }
    phi = np.zeros(p)
    for known, value in values.items():
        for j in set(range(p)) - known:
            phi[j] += (values[known | {j}] - value) / (p * comb(p - 1, len(known)))
    return phi / trees.divisor


@pytest.mark.parametrize("kind", ["boosting", "bushes", "forest"])
@pytest.mark.parametrize("count", [1, 4, 5, 7, 8, 12, 16, 21])
def test_a_row_has_the_same_values_bit_for_bit_whatever_rows_are_beside_it(kind: str, count: int) -> None:
    X, bad = portfolio(400, 3)
    categorical = [j for j in range(X.shape[1]) if CATEGORICAL[j]]
    estimator = {
        "boosting": HistGradientBoostingClassifier(
            max_iter=20, max_leaf_nodes=31, min_samples_leaf=3, early_stopping=False, categorical_features=categorical
        ),
        "bushes": HistGradientBoostingClassifier(
            max_iter=20, max_depth=3, min_samples_leaf=3, early_stopping=False, categorical_features=categorical
        ),
        "forest": RandomForestClassifier(3, min_samples_leaf=2, max_depth=14, random_state=0),
    }[kind]
    codes = X if kind != "forest" else np.nan_to_num(X)
    shapley = Shapley(from_sklearn(estimator.fit(codes, bad)))
    rows = X[np.random.default_rng(count).permutation(len(X))[:count]]
    rows[count // 2] = np.nan
    alone = np.concatenate([shapley.values(row.reshape(1, -1)) for row in rows])
    assert shapley.values(rows).tobytes() == alone.tobytes()


@pytest.mark.parametrize("kind", ["boosting", "forest"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_values_equal_the_enumeration_of_all_subsets(kind: str, seed: int) -> None:
    columns = [0, 1, 2, 3, 4, 5]
    X, bad = portfolio(300, seed)
    X = X[:, columns]
    X[:, 3] = (X[:, 3] - np.nanmin(X[:, 3])) / 7.0
    if kind == "boosting":
        categorical = [j for j in columns if CATEGORICAL[j]]
        estimator = HistGradientBoostingClassifier(
            max_iter=5, max_leaf_nodes=12, min_samples_leaf=3, early_stopping=False, categorical_features=categorical
        )
    else:
        estimator = RandomForestClassifier(3, min_samples_leaf=8, random_state=seed)
    ensemble = from_sklearn(estimator.fit(X, bad))
    rows = X[:6].copy()
    rows[0, :] = np.nan
    rows[1, 2] = 99.0
    found = Shapley(ensemble).values(rows)
    for i, row in enumerate(rows):
        np.testing.assert_allclose(found[i], enumerated(ensemble, row), rtol=0, atol=1e-12)


def test_values_and_base_add_up_to_the_margin_on_every_row(fitted: Any) -> None:
    shapley = Shapley(fitted.ensemble)
    rows = np.concatenate([fitted.rows, np.full((1, fitted.rows.shape[1]), np.nan)])
    total = shapley.values(rows).sum(axis=1) + shapley.base
    assert np.abs(total - fitted.ensemble.margin(rows)).max() <= 1e-9


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    leaves=st.integers(2, 60),
    iterations=st.integers(1, 6),
    width=st.integers(1, 30),
)
def test_random_models_are_additive(seed: int, leaves: int, iterations: int, width: int) -> None:
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(400, width)).round(1)
    X[generator.random(X.shape) < 0.2] = np.nan
    bad = (np.nan_to_num(X).sum(axis=1) + generator.normal(size=400) > 0.5).astype(int)
    estimator = HistGradientBoostingClassifier(
        max_iter=iterations, max_leaf_nodes=leaves, min_samples_leaf=2, early_stopping=False
    )
    ensemble = from_sklearn(estimator.fit(X, bad))
    shapley = Shapley(ensemble)
    assert np.abs(shapley.values(X).sum(axis=1) + shapley.base - ensemble.margin(X)).max() <= 1e-9


def test_paths_of_very_many_features_stay_exact() -> None:
    generator = np.random.default_rng(0)
    X = generator.normal(size=(3000, 60))
    bad = (X.max(axis=1) > 2.4).astype(int)
    estimator = RandomForestClassifier(2, max_features=1, random_state=0).fit(X, bad)
    shapley, ensemble = Shapley(from_sklearn(estimator)), from_sklearn(estimator)
    assert max(paths.size for paths in shapley._paths) >= 16
    assert np.abs(shapley.values(X[:50]).sum(axis=1) + shapley.base - ensemble.margin(X[:50])).max() <= 1e-9


@pytest.mark.parametrize("kind", ["boosting", "forest"])
def test_values_equal_those_of_shap_where_it_is_right(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shap = pytest.importorskip("shap")
    X, bad = portfolio(800, 5)
    X[:, [2, 3]] = np.nan_to_num(X[:, [2, 3]]) % 5
    X = X.astype(np.float32).astype(np.float64)
    estimator = (
        HistGradientBoostingClassifier(max_iter=30, early_stopping=False)
        if kind == "boosting"
        else RandomForestClassifier(10, min_samples_leaf=5, random_state=0)
    ).fit(X, bad)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(shap.TreeExplainer(estimator).shap_values(X[:100]))
    expected = expected[..., 1] if expected.ndim == 3 else expected
    np.testing.assert_allclose(Shapley(from_sklearn(estimator)).values(X[:100]), expected, rtol=0, atol=1e-9)


def test_a_linear_value_is_the_weight_times_the_distance_from_the_mean_null_flag_included() -> None:
    fitted = fit("logistic")
    imputer, scaler, regression = (step for _, step in fitted.estimator.steps)
    design = scaler.transform(imputer.transform(fitted.rows))
    terms = regression.coef_[0] * (design - design.mean(axis=0))
    n = fitted.rows.shape[1]
    expected = terms[:, :n].copy()
    for k, j in enumerate(imputer.indicator_.features_):
        expected[:, j] += terms[:, n + k]
    np.testing.assert_allclose(Shapley(fitted.ensemble).values(fitted.rows), expected, rtol=0, atol=1e-9)
