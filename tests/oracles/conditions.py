"""Conditions in three values: True, False, or None for unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.definitions.specs import Tree

Values = Mapping[str, int | None]


def keeps(where: Tree | None, values: Values) -> bool:
    """Return whether a condition is true of a row; the absent condition is."""
    return where is None or judge(where, values) is True


def judge(tree: Tree, values: Values) -> bool | None:
    """Return a condition's truth."""
    match tree:
        case ("and", a, b):
            return _both(judge(a, values), judge(b, values))
        case ("or", a, b):
            return _negated(_both(_negated(judge(a, values)), _negated(judge(b, values))))
        case ("not", a):
            return _negated(judge(a, values))
        case ("is_null", ("field", name)):
            return values[name] is None
        case ("in", ("field", name), members):
            value = values[name]
            return None if value is None else value in members
        case (op, a, b):
            left, right = number(a, values), number(b, values)
            return None if left is None or right is None else _compared(op, left, right)
    raise AssertionError(tree)


def number(tree: Tree, values: Values) -> int | None:
    """Return an integer expression's value, None with any null."""
    match tree:
        case ("field", name):
            return values[name]
        case ("int", units):
            return int(units)
    op, a, b = tree
    left, right = number(a, values), number(b, values)
    if left is None or right is None:
        return None
    return {"add": left + right, "sub": left - right, "mul": left * right}[op]


def _both(a: bool | None, b: bool | None) -> bool | None:
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def _negated(a: bool | None) -> bool | None:
    return None if a is None else not a


def _compared(op: Any, a: int, b: int) -> bool:
    return {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[op]
