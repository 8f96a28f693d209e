"""Derived features: one IEEE operation at a time, one null, no −0."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.definitions.specs import Tree
from streamgauge.features.expressions import compile_expressions, finish

X: Tree = ("agg", 0)
Y: Tree = ("agg", 1)
Z: Tree = ("agg", 2)
NULL = math.nan


def value(tree: Tree, *aggregates: float) -> float:
    code = compile_expressions([tree])
    out = np.empty((1, 1))
    finish(code.code, code.starts, code.consts, code.depth, np.array([aggregates]), out)
    return float(out[0, 0])


@pytest.mark.parametrize(
    ("tree", "aggregates", "expected"),
    [
        (("div", X, Y), (1.0, 0.0), NULL),
        (("div", X, Y), (0.0, 0.0), NULL),
        (("mul", X, Y), (1e200, 1e200), NULL),
        (("sub", X, Y), (1e308, -1e308), NULL),
        (("neg", X), (0.0,), 0.0),
        (("mul", X, Y), (0.0, -3.0), 0.0),
        (("div", X, Y), (0.0, -3.0), 0.0),
        (("add", X, Y), (NULL, 1.0), NULL),
        (("min", X, Y), (1.0, NULL), NULL),
        (("max", X, Y), (NULL, 1.0), NULL),
        (("min", X, Y), (1.0, -2.0), -2.0),
        (("max", X, Y), (1.0, -2.0), 1.0),
        (("neg", X), (NULL,), NULL),
        (("coalesce", X, Y), (NULL, 4.0), 4.0),
        (("coalesce", X, Y), (3.0, NULL), 3.0),
        (("coalesce", X, Y), (NULL, NULL), NULL),
        (("coalesce", ("div", X, Y), ("const", -0.0)), (1.0, 0.0), 0.0),
        (("sub", X, ("sub", Y, Z)), (1.0, 2.0, 4.0), 3.0),
        (
            ("div", ("neg", X), ("div", ("mul", Y, ("const", 7.0)), ("const", 90.0))),
            (3.0, 11.0),
            -3.0 / (11.0 * 7.0 / 90.0),
        ),
    ],
)
def test_operations_follow_the_law(tree: Tree, aggregates: tuple[float, ...], expected: float) -> None:
    got = value(tree, *aggregates)
    assert np.float64(got).tobytes() == np.float64(expected).tobytes()


def test_a_product_is_rounded_before_it_is_added() -> None:
    a = 1.0 + 2.0**-30
    assert value(("add", ("mul", X, Y), Z), a, a, -(1.0 + 2.0**-29)) == 0.0  # fused, it would be 2**-60
    assert value(("sub", ("mul", X, Y), Z), a, a, 1.0 + 2.0**-29) == 0.0


FLOAT = st.one_of(st.floats(allow_infinity=False), st.sampled_from([0.0, 1.0, -1.0]))


@given(FLOAT, FLOAT, st.sampled_from(["add", "sub", "mul", "div"]))
def test_any_operation_gives_the_bits_of_the_processor(a: float, b: float, op: str) -> None:
    with np.errstate(all="ignore"):
        operation = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[op]
        expected = operation(np.float64(a), np.float64(b))
    expected = expected + 0.0 if np.isfinite(expected) else np.float64(np.nan)
    assert np.float64(value((op, X, Y), a, b)).tobytes() == expected.tobytes()


def test_an_unknown_node_is_named() -> None:
    with pytest.raises(ValueError, match="'pow'"):
        compile_expressions([("pow", X, Y)])


def test_a_constant_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="inf"):
        compile_expressions([("const", math.inf)])
