"""Summaries of many live events: what long windows need of whole blocks, kept up to date in memory.

A stream of an entity with more than `SUMMARIZED` live events is evaluated from nodes of 64 events each, under a wide
tree, and from the single events at a window's edges only. Values are those of the kernel, bit for bit.

A summary is one int64 array, so that a block of events can name it by its address: `HEAD` scalars, the kinds of nodes,
where each level's nodes begin, and the nodes. It says itself which kinds it has, so any program may read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.specs import AggregateSpec, Tree
from streamgauge.features import opcodes as oc
from streamgauge.features.kernel_nodes import NODE_WIDTH
from streamgauge.features.kernel_tree import BLOCK_BITS, BUILT, FAN_BITS, HEAD, KIND_WIDTH, KINDS, LEVELS, NODES, SIZE

IntArray = NDArray[np.int64]

_LEAST_BLOCKS: Final = 1 << FAN_BITS
_OF_MOMENTS: Final = frozenset(
    {"count", "sum", "mean", "std", "min", "max", "first", "last", "time_since_first", "time_since_last", "share"}
)
_OF_GAPS: Final = frozenset({"gap_mean", "gap_max", "gap_std"})
_OF_BELOW: Final = frozenset({"level_time_below", "level_since_below"})


def node_kinds(
    aggregates: Sequence[AggregateSpec],
    conditions_of: Callable[[AggregateSpec], Iterable[Tree | None]],
    condition: Callable[[Tree | None], int],
    column: Callable[[str | None], int],
) -> IntArray:
    """Return the nodes that aggregates of one stream can be read from.

    Args:
        aggregates: The aggregates.
        conditions_of: The conditions that an aggregate's rows have to meet: two for a share.
        condition: The number of a condition in the layout.
        column: The number of a column in the layout.

    Returns:
        int64[k, 4]: a node's kind (as a group's), condition, column and threshold.
    """
    found: set[tuple[int, int, int, int]] = set()
    for spec in aggregates:
        kind = _kind(spec)
        if kind >= 0:
            threshold = spec.threshold if kind == oc.LEVEL_BELOW else 0
            found |= {(kind, condition(tree), column(spec.field), threshold) for tree in conditions_of(spec)}
    return np.array(sorted(found), np.int64).reshape(-1, KIND_WIDTH)


def new_summary(kinds: IntArray, events: int) -> IntArray:
    """Return a summary of which nothing is built.

    Args:
        kinds: int64[k, 4], from `node_kinds`.
        events: How many events it has room for.
    """
    sizes = [max(events >> BLOCK_BITS, _LEAST_BLOCKS)]
    while sizes[-1] >> FAN_BITS:
        sizes.append(sizes[-1] >> FAN_BITS)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    fixed = HEAD + kinds.size + len(sizes)
    memory = np.empty(fixed + len(kinds) * sum(sizes) * NODE_WIDTH, np.int64)
    memory[:HEAD] = 0
    memory[KINDS], memory[LEVELS], memory[NODES] = len(kinds), len(sizes), sum(sizes)
    memory[SIZE] = len(memory)
    memory[HEAD : HEAD + kinds.size] = kinds.ravel()
    memory[HEAD + kinds.size : fixed] = starts
    return memory


def invalidate(summary: IntArray, row: int) -> None:
    """Take the events from a row on for changed."""
    summary[BUILT] = min(int(summary[BUILT]), row >> BLOCK_BITS)


def _kind(spec: AggregateSpec) -> int:
    if spec.window.kind == "last":
        return -1
    if spec.kind in _OF_MOMENTS or spec.kind == "level_now" or (spec.kind == "each" and spec.step != "distinct"):
        return oc.MOMENTS
    if spec.kind in _OF_GAPS:
        return oc.GAPS
    if spec.kind == "slope":
        return oc.SLOPE
    if spec.kind in _OF_BELOW:
        return oc.LEVEL_BELOW
    return oc.LEVEL if spec.kind.startswith("level_") else -1
