from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from streamgauge.models.metrics import (
    auc_of,
    bootstrap_interval,
    calibration_line,
    calibration_shift,
    calibration_table,
    delong,
    kolmogorov_smirnov,
    measure,
)


def drawn(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Margins, their true probabilities, and outcomes drawn from these."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(-1.5, 1.2, n)
    pd = 1 / (1 + np.exp(-margin))
    return margin, pd, (rng.random(n) < pd).astype(np.float64)


def test_auc_counts_ties_half() -> None:
    margin, _, bad = drawn(800)
    assert auc_of(np.round(margin), bad) == pytest.approx(roc_auc_score(bad, np.round(margin)), abs=1e-12)


def test_delong_variance_is_the_one_of_its_definition() -> None:
    margin, _, bad = drawn(120)
    margin = np.round(margin, 1)
    bads, goods = margin[bad == 1], margin[bad == 0]
    beats = (bads[:, None] > goods) + 0.5 * (bads[:, None] == goods)
    expected = beats.mean(axis=1).var(ddof=1) / len(bads) + beats.mean(axis=0).var(ddof=1) / len(goods)
    auc, variance = delong(margin, bad)
    assert auc == pytest.approx(beats.mean(), abs=1e-12)
    assert variance == pytest.approx(expected, abs=1e-12)


def test_rows_of_one_entity_are_no_evidence_apart() -> None:
    margin, _, bad = drawn(60)
    alone = bootstrap_interval(margin, bad, np.arange(60))
    repeated = bootstrap_interval(np.repeat(margin, 20), np.repeat(bad, 20), np.repeat(np.arange(60), 20))
    as_if_apart = bootstrap_interval(np.repeat(margin, 20), np.repeat(bad, 20), np.arange(1200))
    assert repeated == pytest.approx(alone)
    assert as_if_apart[1] - as_if_apart[0] < 0.5 * (repeated[1] - repeated[0])


def test_the_interval_agrees_with_delong_where_entities_do_not_repeat() -> None:
    margin, _, bad = drawn(2000)
    low, high = bootstrap_interval(margin, bad, np.arange(2000))
    auc, variance = delong(margin, bad)
    assert high - low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.2)
    assert low < auc < high


def test_the_calibration_line_finds_the_distortion_of_the_odds() -> None:
    margin, _, bad = drawn(40_000)
    distorted = 1 / (1 + np.exp(-(2.0 * margin + 1.0)))
    slope, intercept = calibration_line(distorted, bad)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert intercept == pytest.approx(-0.5, abs=0.05)


def test_in_the_large_is_the_shift_that_makes_expected_bads_observed_ones() -> None:
    margin, pd, bad = drawn(5_000)
    shift = calibration_shift(pd, bad)
    assert (1 / (1 + np.exp(-(margin + shift)))).sum() == pytest.approx(bad.sum(), abs=1e-6)


def test_the_calibration_table_holds_every_row_once_in_order() -> None:
    _, pd, bad = drawn(1_003)
    table = calibration_table(np.round(pd, 2), bad)
    assert sum(row.rows for row in table) == 1_003
    assert sum(row.bads for row in table) == bad.sum()
    assert all(lower.high < upper.low for lower, upper in pairwise(table))
    assert len(calibration_table(np.full(50, 0.2), bad[:50])) == 1


def test_a_measurement_holds_the_usual_figures() -> None:
    margin, pd, bad = drawn(3_000)
    found = measure(margin, pd, bad, np.arange(3_000))
    assert found.auc_method == "delong"
    assert found.gini == pytest.approx(2 * found.auc - 1)
    assert found.brier == pytest.approx(brier_score_loss(bad, pd))
    assert found.ks == pytest.approx(kolmogorov_smirnov(margin, bad))
    assert found.auc_low < found.auc < found.auc_high
    assert found.slope == pytest.approx(1.0, abs=0.15)
    assert measure(margin, pd, bad, np.arange(3_000) // 2).auc_method == "bootstrap"
