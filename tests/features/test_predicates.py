"""Predicates over finished features are three-valued."""

import itertools
import math

import pytest

from streamgauge.features.predicates import holds

TRUE = ["gt", ["const", 1.0], ["const", 0.0]]
FALSE = ["gt", ["const", 0.0], ["const", 1.0]]
NULL = ["gt", ["column", "x"], ["const", 0.0]]
VALUES = {"x": math.nan}
TRUTH = {True: TRUE, False: FALSE, None: NULL}


def kleene(kind: str, left: bool | None, right: bool | None) -> bool | None:
    if kind == "and":
        return False if False in (left, right) else (None if None in (left, right) else True)
    return True if True in (left, right) else (None if None in (left, right) else False)


@pytest.mark.parametrize(
    ("kind", "left", "right"), list(itertools.product(["and", "or"], [True, False, None], [True, False, None]))
)
def test_and_and_or_follow_three_valued_logic(kind: str, left: bool | None, right: bool | None) -> None:
    assert holds([kind, TRUTH[left], TRUTH[right]], VALUES) is kleene(kind, left, right)


def test_not_null_is_null() -> None:
    assert holds(["not", NULL], VALUES) is None
    assert holds(["not", FALSE], VALUES) is True


def test_is_null_is_never_null() -> None:
    assert holds(["is_null", ["column", "x"]], VALUES) is True
    assert holds(["is_null", ["column", "x"]], {"x": 0.0}) is False


@pytest.mark.parametrize(
    ("kind", "expected"), [("eq", False), ("ne", True), ("lt", True), ("le", True), ("gt", False), ("ge", False)]
)
def test_comparisons_compare(kind: str, expected: bool) -> None:
    assert holds([kind, ["column", "x"], ["const", 2.0]], {"x": 1.0}) is expected
