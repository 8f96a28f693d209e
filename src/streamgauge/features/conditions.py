"""Conditions compiled to one short program of int64 codes, run over many rows at once.

Integers and truth values live on one int64 stack: truth is 1, 0 or ``NULL`` (unknown), as in SQL. Each condition ends
by setting its bit where it is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numba import int64, njit, types, uint64
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL, StreamSpec
from streamgauge.definitions.specs import Tree
from streamgauge.features.kernels.apart import inner

CODE_WIDTH: Final = 3
_FIELD, _INT, _ADD, _SUB, _MUL, _EQ, _NE, _LT, _LE, _GT, _GE, _IN, _IS_NULL, _AND, _OR, _NOT, _STORE = range(17)
_BINARY: Final = {
    "add": _ADD,
    "sub": _SUB,
    "mul": _MUL,
    "eq": _EQ,
    "ne": _NE,
    "lt": _LT,
    "le": _LE,
    "gt": _GT,
    "ge": _GE,
    "and": _AND,
    "or": _OR,
}
_UNARY: Final = {"is_null": _IS_NULL, "not": _NOT}
_DEPTH: Final = 64
_WORD: Final = 64


def words_of(conditions: int) -> int:
    """Return how many 64-bit words hold that many conditions, at least 1."""
    return max(1, -(-conditions // _WORD))


def compile_conditions(stream: StreamSpec, conditions: Sequence[Tree]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the code ``int64[k, 3]`` and the sorted value sets ``int64[v]`` of some conditions.

    Raises:
        ValueError: A tree has an unknown node, or is nested more than 64 deep.
    """
    code: list[tuple[int, int, int]] = []
    sets: list[int] = []
    for number, condition in enumerate(conditions):
        depth = _emit(condition, stream, code, sets)
        if depth > _DEPTH:
            raise ValueError(f"A condition on {stream.name} is nested {depth} deep; {_DEPTH} is the most. Split it.")
        code.append((_STORE, number, 0))
    return np.array(code, np.int64).reshape(-1, CODE_WIDTH), np.array(sets, np.int64)


def _emit(tree: Tree, stream: StreamSpec, code: list[tuple[int, int, int]], sets: list[int]) -> int:
    """Append the postfix code of a tree and return the stack it needs."""
    node: Any = tree[0]
    if node == "field":
        code.append((_FIELD, stream.column(tree[1]), 0))
        return 1
    if node == "int":
        code.append((_INT, tree[1], 0))
        return 1
    if node == "in":
        depth = _emit(tree[1], stream, code, sets)
        code.append((_IN, len(sets), len(sets) + len(tree[2])))
        sets.extend(sorted(tree[2]))
        return depth
    if node in _UNARY:
        depth = _emit(tree[1], stream, code, sets)
        code.append((_UNARY[node], 0, 0))
        return depth
    if node not in _BINARY:
        raise ValueError(f"Unknown condition node {node!r} on {stream.name}.")
    left = _emit(tree[1], stream, code, sets)
    right = _emit(tree[2], stream, code, sets)
    code.append((_BINARY[node], 0, 0))
    return max(left, right + 1)


@inner
def _binary(op: int, a: int, b: int) -> int:
    if op == _AND:
        if a == 0 or b == 0:
            return 0
        return NULL if a == NULL or b == NULL else 1
    if op == _OR:
        if a == 1 or b == 1:
            return 1
        return NULL if a == NULL or b == NULL else 0
    if a == NULL or b == NULL:
        return NULL
    if op == _ADD:
        return a + b
    if op == _SUB:
        return a - b
    if op == _MUL:
        return a * b
    if op == _EQ:
        return 1 if a == b else 0
    if op == _NE:
        return 1 if a != b else 0
    if op == _LT:
        return 1 if a < b else 0
    if op == _LE:
        return 1 if a <= b else 0
    if op == _GT:
        return 1 if a > b else 0
    return 1 if a >= b else 0


@inner
def _contains(sets: NDArray[np.int64], start: int, stop: int, value: int) -> bool:
    while start < stop:
        middle = (start + stop) >> 1
        if sets[middle] < value:
            start = middle + 1
        elif sets[middle] > value:
            stop = middle
        else:
            return True
    return False


_READ1 = types.Array(types.int64, 1, "C", readonly=True)
_READ2 = types.Array(types.int64, 2, "C", readonly=True)


@njit(
    types.void(_READ2, _READ1, _READ2, types.uint64[:, ::1]),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def run_conditions(
    code: NDArray[np.int64], sets: NDArray[np.int64], units: NDArray[np.int64], mask: NDArray[np.uint64]
) -> None:
    """Set in ``mask`` (uint64[n, words], zeroed before) the bits of the conditions true on each row of ``units``.

    ``units`` is int64[n, fields] in the order of the stream's fields the code was compiled for.
    """
    stack = np.empty(_DEPTH, np.int64)
    for row in range(units.shape[0]):
        top = -1
        for step in range(code.shape[0]):
            op = code[step, 0]
            if op == _FIELD:
                top += 1
                stack[top] = units[row, code[step, 1]]
            elif op == _INT:
                top += 1
                stack[top] = code[step, 1]
            elif op == _IN:
                if stack[top] != NULL:
                    stack[top] = int64(_contains(sets, code[step, 1], code[step, 2], stack[top]))
            elif op == _IS_NULL:
                stack[top] = int64(stack[top] == NULL)
            elif op == _NOT:
                if stack[top] != NULL:
                    stack[top] = 1 - stack[top]
            elif op == _STORE:
                if stack[top] == 1:
                    number = code[step, 1]
                    mask[row, number >> 6] |= uint64(1) << uint64(number & 63)
                top -= 1
            else:
                top -= 1
                stack[top] = _binary(op, stack[top], stack[top + 1])
