"""Reasons add up, are summed per code, raise risk, and name missing data as such."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamgauge.errors import AdditivityError, ModelError
from streamgauge.scoring.reasons import Baseline, ReasonCode, nearest_below, principal_reasons, reason_codes

NAMES = ("C.a_7d", "C.a_30d", "C.b", "C.c", "C.d", "C.e")
DECLARED = {"C.a_7d": ("R01", "Income is low"), "C.a_30d": ("R01", "Income is low"), "C.b": ("R02", "Late")}
NO_NULLS = np.zeros(6, dtype=bool)


def reasons(differences: Any, nulls: Any = NO_NULLS) -> Any:
    return principal_reasons(NAMES, reason_codes(NAMES, DECLARED), np.array(differences), np.array(nulls))


def test_contributions_are_summed_per_code_and_only_those_that_raise_risk_are_given() -> None:
    found = reasons([0.5, 0.25, 0.6, -1.0, 0.0, 0.1])
    assert [(r.code, r.contribution, r.features) for r in found] == [
        ("R01", 0.75, ("C.a_7d", "C.a_30d")),
        ("R02", 0.6, ("C.b",)),
        ("C.e", 0.1, ("C.e",)),
    ]


def test_a_part_that_lowers_risk_counts_against_its_code_but_is_not_named() -> None:
    (found,) = reasons([0.5, -0.125, -1.0, -1.0, -1.0, -1.0])
    assert (found.contribution, found.features) == (0.375, ("C.a_7d",))


def test_at_most_four_reasons_are_given_and_ties_are_ordered_by_code() -> None:
    found = principal_reasons(NAMES, [ReasonCode(n, n) for n in NAMES], np.full(6, 0.5), NO_NULLS)
    assert [r.code for r in found] == ["C.a_30d", "C.a_7d", "C.b", "C.c"]


def test_missing_data_has_its_own_reason() -> None:
    found = reasons([0.5, 0.25, 0.1, 0.0, 0.0, 0.0], [False, True, True, False, False, False])
    assert [(r.code, r.text) for r in found] == [
        ("R01", "Income is low"),
        ("R01M", "Income is low: not enough data"),
        ("R02M", "Late: not enough data"),
    ]


def test_nothing_that_raises_risk_gives_no_reason() -> None:
    assert reasons([0.0, -1.0, 0.0, 0.0, 0.0, 0.0]) == []


def test_contributions_that_do_not_add_up_give_no_reason() -> None:
    baseline = Baseline((0.25, 0.5), margin=1.0, rows=2, approve_below=0.1, sha256="")
    np.testing.assert_array_equal(baseline.differences(np.array([1.0, 1.0]), 2.25), [0.75, 0.5])
    with pytest.raises(AdditivityError, match="no reason is given"):
        baseline.differences(np.array([1.0, 1.0]), 2.25 + 2e-9)
    with pytest.raises(AdditivityError):
        baseline.differences(np.array([1.0, np.nan]), 2.25)


def test_the_baseline_is_the_rows_nearest_below_the_cutoff_in_their_order() -> None:
    pd = np.array([0.05, 0.01, 0.04, 0.03, 0.03, 0.02])
    assert nearest_below(pd, 0.04, rows=2).tolist() == [3, 4]
    assert nearest_below(pd, 0.04, rows=3).tolist() == [3, 4, 5]
    assert nearest_below(pd, 0.04).tolist() == [1, 3, 4, 5]
    assert nearest_below(pd, None, rows=2).tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ModelError, match="No row of calibration"):
        nearest_below(pd, 0.01)
    with pytest.raises(ModelError, match="calibration part is empty"):
        nearest_below(pd[:0], None)


def test_a_code_that_is_anothers_code_for_missing_data_is_refused() -> None:
    with pytest.raises(ModelError, match='"R01M" is taken'):
        reason_codes(["a", "b"], {"a": ("R01", "x"), "b": ("R01M", "y")})
