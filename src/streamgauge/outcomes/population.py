"""The population of a grid: where a predicate over finished features is true, over many rows at once."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streamgauge.outcomes.events import Mask

_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


def holds_many(predicate: Sequence[Any], columns: Mapping[str, NDArray[np.float64]], n: int) -> Mask:
    """Return where a rewritten predicate is true, bool[n]; null is not.

    Args:
        predicate: What `streamgauge.features.predicates.name_expressions` returned.
        columns: Finished features by name, float64[n] with NaN for null.
        n: How many rows there are.

    >>> predicate = ["gt", ["column", "F.loans"], ["const", 0.0]]
    >>> holds_many(predicate, {"F.loans": np.array([1.0, 0.0, np.nan])}, 3).tolist()
    [True, False, False]
    """
    return _truths(predicate, columns, n)[0]


def _truths(predicate: Sequence[Any], columns: Mapping[str, NDArray[np.float64]], n: int) -> tuple[Mask, Mask]:
    """Return where the predicate is true and where it is false; null is neither."""
    kind = predicate[0]
    if kind in _COMPARE:
        left, right = (_values(leaf, columns, n) for leaf in predicate[1:])
        known = ~(np.isnan(left) | np.isnan(right))
        true = np.asarray(_COMPARE[kind](left, right), np.bool_) & known
        return true, known & ~true
    if kind == "is_null":
        null = np.isnan(_values(predicate[1], columns, n))
        return null, ~null
    if kind == "not":
        true, false = _truths(predicate[1], columns, n)
        return false, true
    (true_a, false_a), (true_b, false_b) = (_truths(part, columns, n) for part in predicate[1:])
    if kind == "and":
        return true_a & true_b, false_a | false_b
    return true_a | true_b, false_a & false_b


def _values(leaf: Sequence[Any], columns: Mapping[str, NDArray[np.float64]], n: int) -> NDArray[np.float64]:
    return np.full(n, float(leaf[1])) if leaf[0] == "const" else columns[leaf[1]]
