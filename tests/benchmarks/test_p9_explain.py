"""P9's checks on a small model."""

import dataclasses

import pytest

from benchmarks.p9_explain import Differs, Explained, check, fitted


@pytest.fixture(scope="module")
def model() -> Explained:
    return fitted(trees=20, rows=1_500, explained=50)


def test_both_explain_the_same_margin(model: Explained) -> None:
    found, (own, theirs) = check(model)
    assert "2,000 contributions of 50 rows" in found[0]
    assert own <= 1e-9
    assert theirs <= 1e-9


def test_explanations_of_another_model_are_found(model: Explained) -> None:
    other = dataclasses.replace(model, shapley=fitted(trees=5, rows=1_500, explained=1).shapley)
    with pytest.raises(Differs, match="differs from shap's"):
        check(other)
