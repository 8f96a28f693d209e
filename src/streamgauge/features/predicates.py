"""Predicates over finished features: the population of a grid, the rules of a policy.

A predicate of the project file names expressions; to be carried by an artefact and judged without the project file, its
expressions become columns of a program and the predicate itself a tree over the columns' names.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final

from streamgauge.definitions.specs import FeatureSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streamgauge.definitions.specs import Tree

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


def name_expressions(
    predicate: Tree, known: Sequence[FeatureSpec], prefix: str, role: str
) -> tuple[list[Any], list[FeatureSpec]]:
    """Rewrite a predicate over columns' names.

    Args:
        predicate: A feature predicate, as `streamgauge.definitions.specs` describes it.
        known: Features that have names already; an expression equal to one of theirs takes its name.
        prefix: What the names of other expressions begin with.
        role: The role of the expressions.

    Returns:
        The predicate as nested lists (fit for JSON) whose leaves are ``["column", name]`` and ``["const", value]``, and
        the features it needs: some of ``known``, and new ones named ``prefix.0``, ``prefix.1``, …
    """
    by_expression: dict[Tree, FeatureSpec] = {}
    for feature in known:
        by_expression.setdefault(feature.expression, feature)
    needed: dict[str, FeatureSpec] = {}

    def leaf(expression: Tree) -> list[Any]:
        if expression[0] == "const":
            return ["const", float(expression[1])]
        feature = by_expression.get(expression)
        if feature is None:
            number = sum(1 for name in needed if name.startswith(f"{prefix}."))
            feature = FeatureSpec(name=f"{prefix}.{number}", expression=expression, role=role)
            by_expression[expression] = feature
        needed[feature.name] = feature
        return ["column", feature.name]

    def rewrite(node: Tree) -> list[Any]:
        kind = node[0]
        if kind in _COMPARE:
            return [kind, leaf(node[1]), leaf(node[2])]
        if kind == "is_null":
            return [kind, leaf(node[1])]
        return [kind, *(rewrite(part) for part in node[1:])]

    rewritten = rewrite(predicate)
    return rewritten, list(needed.values())


def holds(predicate: Sequence[Any], values: Mapping[str, float]) -> bool | None:
    """Judge a rewritten predicate; None where it is null.

    Args:
        predicate: What `name_expressions` returned.
        values: Finished features by name, NaN for null.

    >>> holds(["lt", ["column", "F.history"], ["const", 10.0]], {"F.history": 3.0})
    True
    >>> holds(["lt", ["column", "F.history"], ["const", 10.0]], {"F.history": float("nan")}) is None
    True
    """
    kind = predicate[0]
    if kind in _COMPARE:
        left, right = _value(predicate[1], values), _value(predicate[2], values)
        if left is None or right is None:
            return None
        return bool(_COMPARE[kind](left, right))
    if kind == "is_null":
        return _value(predicate[1], values) is None
    if kind == "not":
        inner = holds(predicate[1], values)
        return None if inner is None else not inner
    left_truth, right_truth = holds(predicate[1], values), holds(predicate[2], values)
    decisive: bool = kind == "or"
    if decisive in (left_truth, right_truth):
        return decisive
    return None if left_truth is None or right_truth is None else not decisive


def _value(leaf: Sequence[Any], values: Mapping[str, float]) -> float | None:
    if leaf[0] == "const":
        return float(leaf[1])
    value = values[leaf[1]]
    return None if value != value else value  # noqa: PLR0124 - only NaN differs from itself
