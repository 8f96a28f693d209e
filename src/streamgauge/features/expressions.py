"""Derived features: postfix code over finished aggregates, one IEEE operation at a time.

After every operation a value that is not finite becomes null (NaN), and −0 becomes +0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from streamgauge.definitions.specs import Tree
from streamgauge.features.kernels.apart import inlined, inner

_AGG, _CONST, _NEG, _ADD, _SUB, _MUL, _DIV, _MIN, _MAX, _COALESCE = range(10)
_BINARY: Final = {
    "add": _ADD,
    "sub": _SUB,
    "mul": _MUL,
    "div": _DIV,
    "min": _MIN,
    "max": _MAX,
    "coalesce": _COALESCE,
}


@dataclass(frozen=True, slots=True)
class ExpressionCode:
    """The code of all features.

    Attributes:
        code: int64[k, 2], postfix: operation and operand.
        starts: int64[features + 1]: where each feature's code starts.
        consts: float64[c].
        depth: The stack needed.
    """

    code: NDArray[np.int64]
    starts: NDArray[np.int64]
    consts: NDArray[np.float64]
    depth: int


def compile_expressions(expressions: Sequence[Tree]) -> ExpressionCode:
    """Return the code of some expressions over numbered aggregates.

    Raises:
        ValueError: A tree has an unknown node, or a constant is not finite.
    """
    code: list[tuple[int, int]] = []
    consts: list[float] = []
    starts = [0]
    depth = 1
    for expression in expressions:
        depth = max(depth, _emit(expression, code, consts))
        starts.append(len(code))
    return ExpressionCode(
        code=np.array(code, np.int64).reshape(-1, 2),
        starts=np.array(starts, np.int64),
        consts=np.array(consts, np.float64),
        depth=depth,
    )


def _emit(tree: Tree, code: list[tuple[int, int]], consts: list[float]) -> int:
    """Append the postfix code of a tree and return the stack it needs."""
    node: Any = tree[0]
    if node == "agg":
        code.append((_AGG, tree[1]))
        return 1
    if node == "const":
        value = float(tree[1])
        if not math.isfinite(value):
            raise ValueError(f"The constant {value} in a feature is not finite.")
        code.append((_CONST, len(consts)))
        consts.append(value + 0.0)
        return 1
    if node == "neg":
        depth = _emit(tree[1], code, consts)
        code.append((_NEG, 0))
        return depth
    if node not in _BINARY:
        raise ValueError(f"Unknown expression node {node!r}.")
    left = _emit(tree[1], code, consts)
    right = _emit(tree[2], code, consts)
    code.append((_BINARY[node], 0))
    return max(left, right + 1)


@inlined
def canonical(value: float) -> float:
    """Return null for a value that is not finite, +0 for −0, and any other value as it is."""
    if not math.isfinite(value):
        return np.nan
    return 0.0 if value == 0.0 else value


@inner
def _binary(op: int, a: float, b: float) -> float:
    if op == _COALESCE:
        return b if math.isnan(a) else a
    if math.isnan(a) or math.isnan(b):
        return np.nan
    if op == _ADD:
        return a + b
    if op == _SUB:
        return a - b
    if op == _MUL:
        return a * b
    if op == _DIV:
        return a / b
    if op == _MIN:
        return b if b < a else a
    return b if b > a else a


_INTS1 = types.Array(types.int64, 1, "C", readonly=True)
_INTS2 = types.Array(types.int64, 2, "C", readonly=True)
_FLOATS1 = types.Array(types.float64, 1, "C", readonly=True)
_FLOATS2 = types.Array(types.float64, 2, "C", readonly=True)


@njit(
    types.void(_INTS2, _INTS1, _FLOATS1, types.int64, _FLOATS2, types.float64[:, ::1]),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def finish(
    code: NDArray[np.int64],
    starts: NDArray[np.int64],
    consts: NDArray[np.float64],
    depth: int,
    aggs: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Compute features float64[m, features] from aggregates float64[m, aggregates], row by row."""
    stack = np.empty(depth, np.float64)
    for row in range(aggs.shape[0]):
        for feature in range(starts.shape[0] - 1):
            top = -1
            for step in range(starts[feature], starts[feature + 1]):
                op = code[step, 0]
                if op == _AGG:
                    top += 1
                    stack[top] = aggs[row, code[step, 1]]
                elif op == _CONST:
                    top += 1
                    stack[top] = consts[code[step, 1]]
                elif op == _NEG:
                    stack[top] = canonical(-stack[top])
                else:
                    top -= 1
                    stack[top] = canonical(_binary(op, stack[top], stack[top + 1]))
            out[row, feature] = stack[top]
