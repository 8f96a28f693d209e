"""Conditions are three-valued, as in SQL; only true sets a bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.definitions.schema import NULL, FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, Tree, WindowSpec
from streamgauge.features.conditions import compile_conditions, words_of
from streamgauge.features.layout import StreamLayout, evaluate_conditions
from tests.features.direct import judge

FIELDS = tuple(FieldSpec(name, FieldKind.INTEGER, required=False) for name in ("a", "b"))
STREAM = StreamSpec("S", "id", "account", "at", FIELDS, lateness_us=1, tolerance_us=0)
A: Tree = ("field", "a")
B: Tree = ("field", "b")
ZERO: Tree = ("int", 0)
UNKNOWN: Tree = ("gt", ("field", "b"), ZERO)  # b is null in the truth tables
TRUE: Tree = ("eq", ZERO, ZERO)
FALSE: Tree = ("ne", ZERO, ZERO)


def kept(trees: list[Tree], rows: list[tuple[int | None, int | None]]) -> list[list[bool]]:
    """Return for each row which conditions are true."""
    window = WindowSpec("duration", 1)
    layout = StreamLayout.of(STREAM, [AggregateSpec("count", "S", window, where=tree) for tree in trees])
    units = np.array([[NULL if value is None else value for value in row] for row in rows], np.int64)
    mask = evaluate_conditions(layout, units)
    places = [layout.condition(tree) for tree in trees]
    return [[bool(int(words[place // 64]) >> (place % 64) & 1) for place in places] for words in mask]


@pytest.mark.parametrize(
    ("left", "right", "both", "either"),
    [
        (TRUE, TRUE, True, True),
        (TRUE, FALSE, False, True),
        (TRUE, UNKNOWN, None, True),
        (FALSE, TRUE, False, True),
        (FALSE, FALSE, False, False),
        (FALSE, UNKNOWN, False, None),
        (UNKNOWN, TRUE, None, True),
        (UNKNOWN, FALSE, False, None),
        (UNKNOWN, UNKNOWN, None, None),
    ],
)
def test_and_and_or_follow_the_truth_tables_of_sql(
    left: Tree,
    right: Tree,
    both: bool | None,
    either: bool | None,
) -> None:
    trees: list[Tree] = []
    for node in (("and", left, right), ("or", left, right)):
        trees += [node, ("not", node)]
    expected = [value is wanted for value in (both, either) for wanted in (True, False)]
    assert kept(trees, [(1, None)]) == [expected]


def test_a_comparison_with_null_keeps_nothing_and_neither_does_its_negation() -> None:
    trees: list[Tree] = [(op, A, ZERO) for op in ("eq", "ne", "lt", "le", "gt", "ge")]
    assert kept([*trees, *(("not", tree) for tree in trees)], [(None, 0)]) == [[False] * 12]


def test_a_null_is_in_no_set_and_outside_none() -> None:
    among: Tree = ("in", A, (-3, 0, 5))
    rows: list[tuple[int | None, int | None]] = [(5, 0), (-3, 0), (4, 0), (None, 0)]
    assert kept([among, ("not", among)], rows) == [[True, False], [True, False], [False, True], [False, False]]


def test_is_null_is_never_unknown() -> None:
    assert kept([("is_null", A), ("not", ("is_null", A))], [(None, 0), (0, 0)]) == [[True, False], [False, True]]


def test_arithmetic_with_null_is_null() -> None:
    tree: Tree = ("gt", ("sub", ("mul", A, ("int", 3)), B), ("int", 5))
    assert kept([tree], [(2, 0), (2, 1), (2, None), (None, -100)]) == [[True], [False], [False], [False]]


def test_more_conditions_than_a_word_has_bits_take_a_second_word() -> None:
    trees: list[Tree] = [("eq", A, ("int", number)) for number in range(70)]
    assert words_of(len(trees)) == 2
    rows: list[tuple[int | None, int | None]] = [(number, 0) for number in (0, 63, 64, 69, 70)]
    assert [[number for number, bit in enumerate(row) if bit] for row in kept(trees, rows)] == [
        [0],
        [63],
        [64],
        [69],
        [],
    ]


LEAF = st.one_of(st.just(A), st.just(B), st.builds(lambda value: ("int", value), st.integers(-3, 3)))
NUMBER = st.recursive(LEAF, lambda part: st.tuples(st.sampled_from(["add", "sub", "mul"]), part, part), max_leaves=4)
TRUTH = st.recursive(
    st.one_of(
        st.tuples(st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]), NUMBER, NUMBER),
        st.tuples(st.just("is_null"), st.sampled_from([A, B])),
        st.tuples(st.just("in"), st.sampled_from([A, B]), st.just((-1, 2))),
    ),
    lambda part: st.one_of(st.tuples(st.just("not"), part), st.tuples(st.sampled_from(["and", "or"]), part, part)),
    max_leaves=6,
)
CELL = st.one_of(st.none(), st.integers(-3, 3))


@given(st.lists(TRUTH, min_size=1, max_size=4), st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6))
def test_any_condition_is_judged_as_by_hand(trees: list[Tree], rows: list[tuple[int | None, int | None]]) -> None:
    expected = []
    for row in rows:
        values = {name: value for name, value in zip("ab", row, strict=True) if value is not None}
        expected.append([judge(tree, values) is True for tree in trees])
    assert kept(trees, rows) == expected


def test_an_unknown_node_is_named() -> None:
    with pytest.raises(ValueError, match="'xor' on S"):
        compile_conditions(STREAM, [("xor", A, B)])
