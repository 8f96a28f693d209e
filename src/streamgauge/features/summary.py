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
from streamgauge.features.block import address_of
from streamgauge.features.kernels import fractions as kf
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.kernels import ordered as ko
from streamgauge.features.kernels import tree as kt
from streamgauge.features.kernels.apart import pointer
from streamgauge.features.kernels.nodes import NODE_WIDTH
from streamgauge.features.kernels.tree import BLOCK_BITS, FAN_BITS, HEAD, KIND_WIDTH

IntArray = NDArray[np.int64]

_LEAST_BLOCKS: Final = 1 << FAN_BITS
_OF_MOMENTS: Final = frozenset(
    {"count", "sum", "mean", "std", "min", "max", "first", "last", "time_since_first", "time_since_last", "share"}
)
_OF_GAPS: Final = frozenset({"gap_mean", "gap_max", "gap_std"})
_ROLLED: Final = {
    "distinct": oc.DISTINCT,
    "top_share": oc.TOP_SHARE,
    "quantile": oc.QUANTILE,
    "gap_median": oc.GAP_MEDIAN,
}
_SUMS: Final = {oc.SLOPE: kf.SLOPE_SUMS, oc.LEVEL: kf.LEVEL_SUMS, oc.LEVEL_BELOW: kf.BELOW_SUMS}
_FEW: Final = 128
"""So many of the newest events are looked at one by one."""
_OF_BELOW: Final = frozenset({"level_time_below", "level_since_below"})


class _Kernels:
    """The kernels of summaries, loaded when one is made for the first time."""

    def __init__(self) -> None:
        self.put_off = False
        self._found: tuple[int, int] | None = None

    def addresses(self) -> tuple[int, int]:
        """Return where the kernels lie that evaluate a summary and that note a change."""
        if self._found is None:
            from streamgauge.features.kernels.noting import note_changed
            from streamgauge.features.kernels.summarized import evaluate_summarized

            self._found = pointer(evaluate_summarized), pointer(note_changed)
        return self._found


_KERNELS: Final = _Kernels()


def put_off_summaries() -> None:
    """Make no summary from now on, for their kernels are not compiled yet.

    Without one each row of a window is looked at: the same values, and slower where a stream has very many.
    """
    _KERNELS.put_off = True


def make_summaries() -> None:
    """Make summaries from now on again; the first one loads their kernels, and compiles them where nobody has."""
    _KERNELS.put_off = False


def makes_summaries() -> bool:
    """Return whether streams with very many events are summarized."""
    return not _KERNELS.put_off


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
        int64[k, KIND_WIDTH - 1]: a node's kind (as a group's), condition, column and threshold.
    """
    found: set[tuple[int, int, int, int]] = set()
    for spec in aggregates:
        kind = _kind(spec)
        if kind >= 0:
            threshold = spec.threshold if kind == oc.LEVEL_BELOW else 0
            found |= {(kind, condition(tree), column(spec.field), threshold) for tree in conditions_of(spec)}
    return np.array(sorted(found), np.int64).reshape(-1, KIND_WIDTH - 1)


def roll_kinds(
    aggregates: Sequence[AggregateSpec],
    condition: Callable[[Tree | None], int],
    column: Callable[[str | None], int],
) -> IntArray:
    """Return the passes that roll along for aggregates of one stream.

    Args:
        aggregates: The aggregates.
        condition: As for `node_kinds`.
        column: As for `node_kinds`.

    Returns:
        int64[p, ROLL_KEY]: a pass's kind (as a group's), condition, column, key column (0 but for a top share), and its
        window's kind, width and n.
    """
    found: set[tuple[int, ...]] = set()
    for spec in aggregates:
        window = spec.window
        if spec.kind in _ROLLED and (window.kind == "duration" or window.n > _FEW):
            key = column(spec.key) if spec.kind == "top_share" else 0
            last = oc.SPAN_LAST if window.kind == "last" else oc.SPAN_DURATION
            of = (_ROLLED[spec.kind], condition(spec.where), column(spec.field), key)
            found.add((*of, last, window.width_us, window.n))
    return np.array(sorted(found), np.int64).reshape(-1, ko.ROLL_KEY)


def new_rolls(kinds: IntArray, events: int) -> IntArray:
    """Return the passes that roll along, none begun, and room for what they keep.

    Args:
        kinds: int64[p, ROLL_KEY], from `roll_kinds`.
        events: How many events there is room for.
    """
    heads = np.zeros((len(kinds), ko.ROLL_WIDTH), np.int64)
    heads[:, : ko.ROLL_KEY] = kinds
    at = 1 + heads.size
    for head in heads:
        keyed = head[ko.R_KIND] in (oc.DISTINCT, oc.TOP_SHARE)
        head[ko.R_STORE] = at
        head[ko.R_ROOM] = 1 << (events - 1).bit_length() if keyed else 4 * (events // ko.CHUNK + 2)
        at += int(head[ko.R_ROOM]) * ((6 if head[ko.R_KIND] == oc.TOP_SHARE else 4) if keyed else 3 + ko.CHUNK)
    rolls = np.zeros(at, np.int64)  # what is not used is never touched, and takes no memory
    rolls[0] = len(kinds)
    rolls[1 : 1 + heads.size] = heads.ravel()
    return rolls


def new_summary(kinds: IntArray, events: int, rolls: IntArray) -> IntArray:
    """Return a summary of which nothing is built.

    Args:
        kinds: int64[k, KIND_WIDTH - 1], from `node_kinds`.
        events: How many events it has room for.
        rolls: What rolls along; whoever keeps the summary keeps it too.
    """
    sizes = [max(events >> BLOCK_BITS, _LEAST_BLOCKS)]
    while sizes[-1] >> FAN_BITS:
        sizes.append(sizes[-1] >> FAN_BITS)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    own = np.zeros((len(kinds), KIND_WIDTH), np.int64)
    own[:, :-1] = kinds
    head = np.zeros(HEAD, np.int64)
    head[kt.KINDS], head[kt.LEVELS], head[kt.NODES] = len(kinds), len(sizes), sum(sizes)
    head[kt.ROLLS], head[kt.ROLLS_SIZE] = address_of(rolls), len(rolls)
    head[kt.EVALUATE], head[kt.NOTE] = _KERNELS.addresses()
    fixed = HEAD + own.size + len(sizes)
    at = head[kt.JOINED] = fixed + len(kinds) * sum(sizes) * NODE_WIDTH
    at = head[kt.LATE] = at + len(kinds) * kt.JOINED_WAYS * kt.JOINED_WIDTH
    at += len(kinds) * kf.LATE_WAYS * kf.LATE_WIDTH
    known = at
    rows = events >> kf.SHEET_BITS << kf.SHEET_BITS
    if rows and any(kind in _SUMS for kind in kinds[:, 0].tolist()):
        head[kt.FRACTIONS] = at
        at += rows
        for kind in own:
            if kind[kt.K_KIND] in _SUMS:
                kind[kt.K_SUMS] = at
                at += rows * _SUMS[kind[kt.K_KIND]]
    head[kt.SIZE] = at
    memory = np.empty(int(at), np.int64)
    memory[:HEAD] = head
    memory[HEAD : HEAD + own.size] = own.ravel()
    memory[HEAD + own.size : fixed] = starts
    memory[head[kt.JOINED] : known] = 0
    return memory


def _kind(spec: AggregateSpec) -> int:
    if spec.window.kind == "last" and spec.window.n <= _FEW:
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
