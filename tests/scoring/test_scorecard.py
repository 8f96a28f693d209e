"""Points and grades."""

from __future__ import annotations

import numpy as np
import pytest

from streamgauge.errors import ModelError
from streamgauge.scoring.scorecard import Scale, grade


def test_the_default_scale_is_600_at_50_to_1_and_20_points_double_the_odds() -> None:
    scale = Scale()
    assert scale.factor == pytest.approx(28.8539, abs=5e-5)
    assert scale.offset == pytest.approx(487.123, abs=5e-4)
    np.testing.assert_allclose(scale.points(np.array([1 / 51, 1 / 101, 1 / 26])), [600, 620, 580])


def test_a_bound_belongs_to_the_next_grade_and_the_last_takes_the_rest() -> None:
    grades = {"A": 0.01, "B": 0.02, "E": 0.5}
    assert [grade(pd, grades) for pd in (0.0099, 0.01, 0.02, 0.5, 0.99)] == ["A", "B", "E", "E", "E"]


def test_a_grade_needs_grades() -> None:
    with pytest.raises(ModelError, match="without grades"):
        grade(0.1, {})
