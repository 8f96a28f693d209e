"""From raw features to a score and its reasons."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamgauge.errors import AdditivityError, ModelError
from streamgauge.scoring.scorer import Scorer


def test_margins_are_those_of_the_fitted_model_on_raw_rows(scorer: Scorer, fitted: Any) -> None:
    estimator = fitted.estimator
    expected = (
        estimator.decision_function(fitted.rows)
        if hasattr(estimator, "decision_function")
        else estimator.predict_proba(fitted.rows)[:, 1]
    )
    scores = scorer.score_many(fitted.raw)
    np.testing.assert_allclose(scores.margin, expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(scores.pd, np.rint(scores.pd * 1e9) / 1e9)
    assert (np.diff(scores.points[np.argsort(scores.pd)]) <= 0).all()


def test_contributions_add_up_per_feature_on_every_row(scorer: Scorer, fitted: Any) -> None:
    contributions = scorer.explain(fitted.raw)
    assert contributions.shape == fitted.raw.shape
    total = contributions.sum(axis=1) + scorer.base
    assert np.abs(total - scorer.score_many(fitted.raw).margin).max() <= 1e-9


def test_an_unseen_level_scores_and_explains_like_a_null(scorer: Scorer, fitted: Any) -> None:
    unseen, null = fitted.raw[:20].copy(), fitted.raw[:20].copy()
    unseen[:, 3], null[:, 3] = 1.0, np.nan
    np.testing.assert_array_equal(scorer.score_many(unseen).margin, scorer.score_many(null).margin)
    np.testing.assert_array_equal(scorer.explain(unseen), scorer.explain(null))


def test_reasons_are_measured_against_the_rows_just_inside_the_cutoff(scorer: Scorer, fitted: Any) -> None:
    scores = scorer.score_many(fitted.raw)
    cutoff = float(np.quantile(scores.pd, 0.8))
    baseline = scorer.baseline(fitted.raw, cutoff)
    inside = np.argsort(np.where(scores.pd < cutoff, -scores.pd, 1.0), kind="stable")[:200]
    assert baseline.rows == 200
    assert baseline.margin == pytest.approx(np.mean(scores.margin[inside]), abs=1e-12)
    declined = np.argsort(-scores.pd)[:30]
    found = scorer.reasons(fitted.raw[declined], scores.margin[declined], baseline)
    assert all(1 <= len(reasons) <= 4 for reasons in found)
    for i, reasons in zip(declined, found, strict=True):
        values = [reason.contribution for reason in reasons]
        assert values == sorted(values, reverse=True)
        assert min(values) > 0
        for reason in reasons:
            missing = {np.isnan(fitted.raw[i, scorer.artefact.features.index(name)]) for name in reason.features}
            assert missing == {reason.code.endswith("M")}


def test_a_margin_of_another_model_gives_no_reasons(scorer: Scorer, fitted: Any) -> None:
    baseline = scorer.baseline(fitted.raw, None)
    margin = scorer.score_many(fitted.raw[:1]).margin
    assert scorer.reasons(fitted.raw[:1], margin, baseline)
    with pytest.raises(AdditivityError):
        scorer.reasons(fitted.raw[:1], margin + 1e-8, baseline)
    with pytest.raises(AdditivityError):
        scorer.reasons(fitted.raw[:1], margin, replace_margin(baseline))


def replace_margin(baseline: Any) -> Any:
    from msgspec.structs import replace as changed

    return changed(baseline, margin=baseline.margin - 1e-6)


def test_threads_share_a_scorer(scorer: Scorer, fitted: Any) -> None:
    expected, values = scorer.score_many(fitted.raw[:200]).margin, scorer.explain(fitted.raw[:200])

    def work(i: int) -> tuple[Any, Any]:
        rows = fitted.raw[i : i + 1]
        return scorer.score_many(rows).margin[0], scorer.explain(rows)[0]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(200)))
    np.testing.assert_allclose([margin for margin, _ in found], expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal([phi for _, phi in found], values)


def test_rows_of_another_width_are_refused(scorer: Scorer) -> None:
    with pytest.raises(ModelError, match="Rows of shape"):
        scorer.score_many(np.zeros((1, 3)))
    assert replace(scorer.artefact).sha256 == scorer.artefact.sha256
