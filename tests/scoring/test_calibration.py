"""PDs: floored, rounded, increasing, and refused where the margin does not order the outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamgauge.errors import ModelError
from streamgauge.scoring.calibration import Calibrator, fit_calibrator, rounded_pd


def outcomes(n: int, slope: float, intercept: float, seed: int = 0) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    margin = generator.normal(size=n)
    return margin, generator.random(n) < 1 / (1 + np.exp(-(slope * margin + intercept)))


def test_a_sigmoid_finds_the_slope_and_intercept_that_made_the_outcomes() -> None:
    calibrator = fit_calibrator("sigmoid", *outcomes(200_000, 0.7, -2.5))
    assert calibrator.slope == pytest.approx(0.7, abs=0.02)
    assert calibrator.intercept == pytest.approx(-2.5, abs=0.03)


def test_a_sigmoid_is_the_logistic_fit_and_is_right_on_the_whole() -> None:
    from sklearn.linear_model import LogisticRegression

    margin, bad = outcomes(20_000, 1.3, -1.0)
    calibrator = fit_calibrator("sigmoid", margin, bad)
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(margin[:, None], bad)
    assert calibrator.slope == pytest.approx(reference.coef_[0, 0], abs=1e-3)
    assert calibrator.pd(margin).mean() == pytest.approx(bad.mean(), abs=1e-4)


def test_outcomes_that_a_margin_separates_still_give_a_finite_slope() -> None:
    margin = np.linspace(-1, 1, 50)
    calibrator = fit_calibrator("sigmoid", margin, margin > 0)
    assert np.isfinite(calibrator.slope)
    assert 0.0003 <= calibrator.pd(margin).min() < calibrator.pd(margin).max() < 1


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
def test_a_margin_that_orders_outcomes_backwards_is_refused(kind: Any) -> None:
    margin, bad = outcomes(20_000, -1.0, -1.0)
    with pytest.raises(ModelError, match="a higher margin does not mean more bads"):
        fit_calibrator(kind, margin, bad)


def test_an_isotonic_fit_needs_a_thousand_bads() -> None:
    margin, bad = outcomes(2000, 1.0, -2.0)
    with pytest.raises(ModelError, match="needs 1,000 bads"):
        fit_calibrator("isotonic", margin, bad)


def test_isotonic_blocks_are_shrunk_and_strictly_increasing() -> None:
    margin, bad = outcomes(20_000, 1.5, -2.0)
    margin = margin.round(2)
    calibrator = fit_calibrator("isotonic", margin, bad)
    assert (np.diff(calibrator.pds) > 0).all()
    assert (np.diff(calibrator.margins) > 0).all()
    assert min(calibrator.pds) > 0.0
    assert max(calibrator.pds) < 1.0
    inner = np.linspace(calibrator.margins[0], calibrator.margins[-1], 500)
    assert (np.diff(calibrator.pd(inner)) > 0).all()
    assert calibrator.pd(margin).mean() == pytest.approx(bad.mean(), abs=2e-3)


def test_an_isotonic_block_is_its_bads_and_a_half_over_its_rows_and_one() -> None:
    margin = np.repeat([0.0, 1.0, 2.0], [1000, 1000, 2000])
    bad = np.concatenate([np.zeros(1000), np.arange(1000) < 300, np.arange(2000) < 1500]).astype(bool)
    calibrator = fit_calibrator("isotonic", margin, bad)
    assert calibrator.pds == (0.5 / 1001, 300.5 / 1001, 1500.5 / 2001)
    assert calibrator.margins == (0.0, 1.0, 2.0)


@pytest.mark.parametrize(
    ("margin", "bad", "words"),
    [
        ([1.0, 2.0], [False, False], "needs bads and goods"),
        ([1.0, 2.0], [True, True], "needs bads and goods"),
        ([1.0, np.nan], [True, False], "finite"),
        ([1.0, 1.0], [True, False], "All margins are equal"),
    ],
)
def test_rows_that_cannot_calibrate_are_refused(margin: Any, bad: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        fit_calibrator("sigmoid", np.array(margin), np.array(bad))


def test_pds_have_a_floor_and_nine_decimals() -> None:
    found = rounded_pd(np.array([0.0, 1e-9, 0.12345678951, 0.1234567894, 1.0]))
    assert found.tolist() == [0.0003, 0.0003, 0.12345679, 0.123456789, 1.0 - 1e-9]


def test_extreme_margins_keep_a_pd_between_floor_and_one() -> None:
    found = Calibrator(kind="sigmoid", slope=2.0).pd(np.array([-1e9, 1e9]))
    assert found.tolist() == [0.0003, 1.0 - 1e-9]


def test_bytes_round_trip_and_two_fits_are_the_same() -> None:
    margin, bad = outcomes(20_000, 1.5, -2.0)
    for kind in ("sigmoid", "isotonic"):
        calibrator = fit_calibrator(kind, margin, bad)
        assert Calibrator.from_bytes(calibrator.to_bytes()) == calibrator
        assert fit_calibrator(kind, margin, bad).sha256 == calibrator.sha256
    with pytest.raises(ModelError, match="cannot be read"):
        Calibrator.from_bytes(b"{}")
