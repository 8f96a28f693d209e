"""Which of a stream's groups can roll along an entity's moments, and the int64 tables that do so.

Where moments follow one another in time, a window's sums follow from the last moment's: events enter at one edge and
leave at the other. Groups that need each row again (slopes, levels, quantiles, …) stay with the sweep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.features.kernels import opcodes as oc

IntArray = NDArray[np.int64]

# A pass: what it keeps, span, key, its first result column, the columns of EACH: times, step in µs, threshold and feed;
# then its first item and how many it has (EACH), and its table of keys (DISTINCT) or stacks (EXTREMES).
PASS_WIDTH: Final = 11
P_KIND: Final = 0
P_SPAN: Final = 1
P_KEY: Final = 2
P_SLOT: Final = 3
P_TIMES: Final = 4
P_STEP: Final = 5
P_THRESHOLD: Final = 6
P_FEED: Final = 7
P_ITEM: Final = 8
P_ITEMS: Final = 9
P_STORE: Final = 10

# A key: which rows and which of their values passes read, whatever the span: condition (-1 all), column (-1 none) and
# how far the passes sum them up (-1 not at all).
KEY_WIDTH: Final = 3
K_CONDITION: Final = 0
K_COLUMN: Final = 1
K_LEVEL: Final = 2

COUNTS: Final = 0
SUMS: Final = 1
SQUARES: Final = 2
EXTREMES: Final = 3
OLDEST: Final = 4
NEWEST: Final = 5
DISTINCT: Final = 6
EACH: Final = 7

# An item: an aggregate by its operation; the result columns of its count, its value and a share's part; scale, the
# column of the answer, whether its stream is a feed, whether the observed event is left out, and the key.
ITEM_WIDTH: Final = 9
I_OP: Final = 0
I_COUNT: Final = 1
I_VALUE: Final = 2
I_PART: Final = 3
I_SCALE: Final = 4
I_OUT: Final = 5
I_FEED: Final = 6
I_PRIOR: Final = 7
I_KEY: Final = 8

_SUMMED: Final = {oc.OP_SUM, oc.OP_MEAN, oc.OP_STD, oc.OP_SHARE_SUM}
_EXTREMES: Final = {oc.OP_MIN: 0, oc.OP_MAX: 1}
_ENDS: Final = {
    oc.OP_FIRST: OLDEST,
    oc.OP_SINCE_FIRST: OLDEST,
    oc.OP_LAST: NEWEST,
    oc.OP_SINCE_LAST: NEWEST,
}


@dataclass(frozen=True, slots=True)
class RollingPlan:
    """The tables of what rolls, and those of what is left to the sweep.

    Attributes:
        spans: int64[s, 2]: width in µs (-1 for life), and whether the observed event is left out.
        passes: int64[p, PASS_WIDTH].
        keys: int64[k, KEY_WIDTH].
        items: int64[i, ITEM_WIDTH], those of EACH first, pass after pass.
        columns: How many result columns the passes write.
        stores: How many passes keep a table of keys or a queue.
        left_spans: `BoundStream.spans` of what is left.
        left_groups: `BoundStream.groups` of what is left.
        left_table: `BoundStream.table` of what is left.
    """

    spans: IntArray
    passes: IntArray
    keys: IntArray
    items: IntArray
    columns: int
    stores: int
    left_spans: IntArray
    left_groups: IntArray
    left_table: IntArray

    @classmethod
    def of(cls, spans: IntArray, groups: IntArray, table: IntArray) -> RollingPlan:
        """Divide a bound stream's tables."""
        rolls = [_rolls(group, spans[group[oc.G_SPAN]]) for group in groups]
        own = [row for row in table if rolls[row[oc.T_GROUP]] and (row[oc.T_SECOND] < 0 or rolls[row[oc.T_SECOND]])]
        planner = _Planner(spans, groups)
        for row in own:
            planner.add(row)
        taken = {int(row[oc.T_OUT]) for row in own}
        left = _left(spans, groups, np.array([row for row in table if int(row[oc.T_OUT]) not in taken]))
        return cls(*planner.tables(), *left)


class _Planner:
    """Numbers the passes of some groups, and the result columns they write."""

    def __init__(self, spans: IntArray, groups: IntArray) -> None:
        self._source, self._groups = spans, groups
        self._spans: dict[tuple[int, int], int] = {}
        self._keys: dict[tuple[int, int], int] = {}
        self._summed: dict[int, int] = {}
        self._passes: dict[tuple[int, int], int] = {}
        self._steps: dict[int, list[tuple[int, ...]]] = {}
        self._items: list[tuple[int, ...]] = []

    def add(self, row: IntArray) -> None:
        """Take in an aggregate."""
        op, group, second = int(row[oc.T_OP]), int(row[oc.T_GROUP]), int(row[oc.T_SECOND])
        own = self._groups[group]
        span = self._source[own[oc.G_SPAN]]
        end = (int(row[oc.T_SCALE]), int(row[oc.T_OUT]), int(row[oc.T_FEED]), int(span[3]), self._key(group))
        if own[oc.G_KIND] == oc.EACH:
            self._steps.setdefault(group, []).append((op, -1, -1, -1, *end))
            return
        if own[oc.G_KIND] == oc.DISTINCT:
            count = self._pass(DISTINCT, group)
            self._items.append((op, count, count, count, *end))
            return
        level = SQUARES if op == oc.OP_STD else SUMS if op in _SUMMED else COUNTS
        count = self._sums(group, level)
        value = count + 1
        if op in _EXTREMES:
            value = self._pass(EXTREMES, group) + _EXTREMES[op]
        elif op in _ENDS:
            value = self._pass(_ENDS[op], group)
        part = self._sums(second, level) + (level > COUNTS) if second >= 0 else -1
        self._items.append((op, count, value, part, *end))

    def tables(self) -> tuple[IntArray, IntArray, IntArray, IntArray, int, int]:
        """Return spans, passes, keys, items, and how many result columns and stores there are."""
        passes: list[list[int]] = []
        levels: dict[int, int] = {}
        items: list[tuple[int, ...]] = []
        stores = 0
        for group, rows in self._steps.items():
            passes.append([*self._begin(EACH, group), len(items), len(rows), -1])
            items += rows
        place: dict[int, int] = {}
        columns = 0
        for (kind, group), number in self._passes.items():
            store = -1
            if kind in {EXTREMES, DISTINCT}:
                store, stores = stores, stores + 1
            level = self._summed[group] if kind == COUNTS else kind
            place[number] = columns
            passes.append([*self._begin(level, group), 0, 0, store])
            passes[-1][P_SLOT] = columns
            if level <= SQUARES:
                key = passes[-1][P_KEY]
                levels[key] = max(level, levels.get(key, -1))
            columns += {SUMS: 2, SQUARES: 4, EXTREMES: 2}.get(level, 1)
        for op, count, value, part, *end in sorted(self._items, key=lambda item: item[I_OUT]):
            items.append((op, *(self._column(place, one) for one in (count, value, part)), *end))
        return (
            np.array(list(self._spans), np.int64).reshape(-1, 2),
            np.array(passes, np.int64).reshape(-1, PASS_WIDTH),
            np.array([(*key, levels.get(at, -1)) for key, at in self._keys.items()], np.int64).reshape(-1, KEY_WIDTH),
            np.array(items, np.int64).reshape(-1, ITEM_WIDTH),
            columns,
            stores,
        )

    @staticmethod
    def _column(place: dict[int, int], reference: int) -> int:
        """Return the result column of a reference: sixteen times a pass, and which of its columns."""
        return -1 if reference < 0 else place[reference // 16] + reference % 16

    def _sums(self, group: int, level: int) -> int:
        self._summed[group] = max(level, self._summed.get(group, COUNTS))
        return self._pass(COUNTS, group)

    def _pass(self, kind: int, group: int) -> int:
        return 16 * self._passes.setdefault((kind, group), len(self._passes))

    def _key(self, group: int) -> int:
        own = self._groups[group]
        return self._keys.setdefault((int(own[oc.G_CONDITION]), int(own[oc.G_COLUMN])), len(self._keys))

    def _begin(self, kind: int, group: int) -> list[int]:
        """Return a pass up to its column of EACH."""
        own = self._groups[group]
        span = self._source[own[oc.G_SPAN]]
        width = -1 if span[0] == oc.SPAN_LIFE or kind == EACH else int(span[1])
        number = self._spans.setdefault((width, int(span[3])), len(self._spans))
        details = [oc.G_EXTRA, oc.G_STEP, oc.G_THRESHOLD, oc.G_FEED]
        return [kind, number, self._key(group), -1, *(int(own[at]) for at in details)]


def _rolls(group: IntArray, span: IntArray) -> bool:
    if span[0] == oc.SPAN_LAST:
        return False
    return bool(
        group[oc.G_KIND] in {oc.MOMENTS, oc.DISTINCT}
        or (group[oc.G_KIND] == oc.EACH and group[oc.G_REDUCE] == oc.STEP_SUM)
    )


def _left(spans: IntArray, groups: IntArray, table: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return the tables of some aggregates alone."""
    table = table.reshape(-1, oc.TABLE_WIDTH).copy()
    kept = sorted({int(group) for group in table[:, [oc.T_GROUP, oc.T_SECOND]].ravel() if group >= 0})
    number = {group: index for index, group in enumerate(kept)}
    for column in (oc.T_GROUP, oc.T_SECOND):
        table[:, column] = [number.get(int(group), -1) for group in table[:, column]]
    groups = groups[kept].reshape(-1, oc.GROUP_WIDTH).copy()
    windows = sorted({int(span) for span in groups[:, oc.G_SPAN]})
    groups[:, oc.G_SPAN] = [windows.index(int(span)) for span in groups[:, oc.G_SPAN]]
    return spans[windows].reshape(-1, oc.SPAN_WIDTH).copy(), groups, table
