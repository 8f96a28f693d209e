"""A tree of nodes over blocks of rows, and what it says of any stretch of rows."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.kernels.apart import inlined, inner
from streamgauge.features.kernels.moments import keeps
from streamgauge.features.kernels.nodes import (
    NODE_WIDTH,
    build_gaps,
    build_level,
    build_moments,
    build_slope,
    join_gaps,
    join_level,
    join_moments,
    join_slope,
)

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

# A summary's memory: how many blocks are built; how many kinds, levels, and nodes of each kind it has; its size; where
# what was joined before is remembered; where sums over fractions of a second are, and where the fractions; how many
# events it has room for; the address and size of what rolls along (`streamgauge.features.kernels.rolls`); the addresses
# of the kernels that evaluate it and that note what changed.
HEAD: Final = 13
BUILT: Final = 0
KINDS: Final = 1
LEVELS: Final = 2
NODES: Final = 3
SIZE: Final = 4
JOINED: Final = 5
LATE: Final = 6
FRACTIONS: Final = 7
EVENTS: Final = 8
ROLLS: Final = 9
ROLLS_SIZE: Final = 10
EVALUATE: Final = 11
NOTE: Final = 12
# A kind of nodes: a group's kind, condition, column and threshold, and where its sums by fraction begin (0 none).
KIND_WIDTH: Final = 5
K_KIND: Final = 0
K_CONDITION: Final = 1
K_COLUMN: Final = 2
K_THRESHOLD: Final = 3
K_SUMS: Final = 4
# What was joined before: of each kind the nodes of some stretches of blocks, as (first, stop, node), and which one is
# to be replaced next.
JOINED_WAYS: Final = 8
J_FIRST: Final = 0
J_STOP: Final = 1
J_NODE: Final = 2
J_NEXT: Final = J_NODE + NODE_WIDTH
JOINED_WIDTH: Final = J_NEXT + 1

SUMMARIZED: Final = 1024
"""A stream with more live events than this is summarized."""
BLOCK_BITS: Final = 6
"""A block has 64 rows."""
FAN_BITS: Final = 4
"""A node above a block joins 16 below it."""


@inner
def build_nodes(
    time: Ints, mask: Words, cols: Ints, kinds: Ints, levels: Ints, first: int, blocks: int, nodes: Ints
) -> None:
    """Build the nodes of the blocks [first, blocks), and those above them that are whole.

    Args:
        time: int64[n].
        mask: uint64[n, words].
        cols: int64[columns, n].
        kinds: int64[k, KIND_WIDTH].
        levels: int64[l]: where each level's nodes begin; the first is the blocks'.
        first: The first block to build.
        blocks: How many whole blocks there are.
        nodes: int64[k, nodes, NODE_WIDTH], changed in place.
    """
    for number in range(len(kinds)):
        kind, condition, column, threshold, _ = kinds[number]
        for block in range(first, blocks):
            low, high = block << BLOCK_BITS, (block + 1) << BLOCK_BITS
            _build(kind, time, mask, cols, low, high, condition, column, threshold, nodes[number, block])
        for level in range(1, len(levels)):
            shift = FAN_BITS * level
            for above in range(first >> shift, blocks >> shift):
                node = nodes[number, levels[level] + above]
                node[:] = 0
                for below in range(above << FAN_BITS, (above + 1) << FAN_BITS):
                    _join(kind, node, nodes[number, levels[level - 1] + below], threshold)


@inner
def _build(
    kind: int,
    time: Ints,
    mask: Words,
    cols: Ints,
    low: int,
    high: int,
    condition: int,
    column: int,
    threshold: int,
    node: Ints,
) -> None:
    if kind == oc.MOMENTS:
        build_moments(time, mask, cols, low, high, condition, column, node)
    elif kind == oc.GAPS:
        build_gaps(time, mask, low, high, condition, node)
    elif kind == oc.SLOPE:
        build_slope(time, mask, cols, low, high, condition, column, node)
    else:
        build_level(time, mask, cols, low, high, condition, column, threshold, node)


@inner
def _join(kind: int, older: Ints, newer: Ints, threshold: int) -> None:
    if kind == oc.MOMENTS:
        join_moments(older, newer)
    elif kind == oc.GAPS:
        join_gaps(older, newer)
    elif kind == oc.SLOPE:
        join_slope(older, newer)
    else:
        join_level(older, newer, threshold)


@inlined
def widest(levels: Ints, block: int, stop: int) -> int:
    """Return the highest level that has a node beginning at a block and ending by another."""
    level = 0
    while level + 1 < len(levels):
        size = 1 << (FAN_BITS * (level + 1))
        if block & (size - 1) != 0 or block + size > stop:
            break
        level += 1
    return level


@inner
def _join_blocks(
    kind: int, first: int, stop: int, threshold: int, nodes: Ints, levels: Ints, joined: Ints, total: Ints
) -> None:
    """Join the nodes of whole blocks to a node; of blocks that follow those joined before, only the new ones are."""
    found = -1
    for way in range(JOINED_WAYS):
        end = joined[way, J_STOP]
        if joined[way, J_FIRST] == first and 0 < end <= stop and (found < 0 or end > joined[found, J_STOP]):
            found = way
    if found < 0:
        found = joined[0, J_NEXT]
        joined[0, J_NEXT] = (found + 1) % JOINED_WAYS
        joined[found, J_FIRST] = first
        joined[found, J_STOP] = first
        joined[found, J_NODE:J_NEXT] = 0
    node = joined[found, J_NODE:J_NEXT]
    block = joined[found, J_STOP]
    while block < stop:
        level = widest(levels, block, stop)
        _join(kind, node, nodes[levels[level] + (block >> (FAN_BITS * level))], threshold)
        block += 1 << (FAN_BITS * level)
    joined[found, J_STOP] = stop
    _join(kind, total, node, threshold)


@inner
def _gather_all(
    own: Ints,
    time: Ints,
    mask: Words,
    cols: Ints,
    low: int,
    high: int,
    nodes: Ints,
    levels: Ints,
    blocks: int,
    joined: Ints,
    spare: Ints,
    total: Ints,
) -> None:
    """Add rows to a node: those at the edges one by one, whole blocks by their nodes."""
    kind, condition, column, threshold = own[K_KIND], own[K_CONDITION], own[K_COLUMN], own[K_THRESHOLD]
    first, stop = (low + (1 << BLOCK_BITS) - 1) >> BLOCK_BITS, min(high >> BLOCK_BITS, blocks)
    if first >= stop:
        _build(kind, time, mask, cols, low, high, condition, column, threshold, spare)
        _join(kind, total, spare, threshold)
        return
    if low < first << BLOCK_BITS:
        _build(kind, time, mask, cols, low, first << BLOCK_BITS, condition, column, threshold, spare)
        _join(kind, total, spare, threshold)
    _join_blocks(kind, first, stop, threshold, nodes, levels, joined, total)
    if stop << BLOCK_BITS < high:
        _build(kind, time, mask, cols, stop << BLOCK_BITS, high, condition, column, threshold, spare)
        _join(kind, total, spare, threshold)


@inner
def gather(
    own: Ints,
    time: Ints,
    mask: Words,
    cols: Ints,
    low: int,
    high: int,
    skip: int,
    nodes: Ints,
    levels: Ints,
    blocks: int,
    joined: Ints,
    spare: Ints,
    total: Ints,
) -> None:
    """Write the node of the rows [low, high) without ``skip`` into ``total``.

    Args:
        own: int64[KIND_WIDTH], the kind of nodes.
        time: int64[n].
        mask: uint64[n, words].
        cols: int64[columns, n].
        low: The first row.
        high: The row after the last.
        skip: A row left out, -1 none.
        nodes: int64[nodes, NODE_WIDTH], those of the kind.
        levels: int64[l], where each level's nodes begin.
        blocks: How many blocks there are.
        joined: int64[JOINED_WAYS, JOINED_WIDTH], what was joined before, kept up to date.
        spare: int64[NODE_WIDTH], overwritten.
        total: int64[NODE_WIDTH], written.
    """
    total[:] = 0
    if low <= skip < high:
        _gather_all(own, time, mask, cols, low, skip, nodes, levels, blocks, joined, spare, total)
        low = skip + 1
    _gather_all(own, time, mask, cols, low, high, nodes, levels, blocks, joined, spare, total)


@inner
def _last_kept(
    mask: Words,
    cols: Ints,
    low: int,
    high: int,
    condition: int,
    column: int,
    nodes: Ints,
    levels: Ints,
    blocks: int,
) -> int:
    """Return the newest value that the rows [low, high) set, ``low`` being 0 or a row; NULL if none."""
    row = high
    while row > low:
        block = row >> BLOCK_BITS
        if row & ((1 << BLOCK_BITS) - 1) != 0 or block > blocks or (block - 1) << BLOCK_BITS < low:
            row -= 1
            if keeps(mask, row, condition) and cols[column, row] != NULL:
                return cols[column, row]  # type: ignore[no-any-return]
            continue
        level = 0
        while level + 1 < len(levels):
            size = 1 << (FAN_BITS * (level + 1))
            if block & (size - 1) != 0 or (block - size) << BLOCK_BITS < low:
                break
            level += 1
        block -= 1 << (FAN_BITS * level)
        node = nodes[levels[level] + (block >> (FAN_BITS * level))]
        if node[oc.COUNT] > 0:
            return node[oc.LAST]  # type: ignore[no-any-return]
        row = block << BLOCK_BITS
    return NULL


@inner
def carried_value(
    mask: Words,
    cols: Ints,
    before: int,
    skip: int,
    own: Ints,
    folds: Ints,
    nodes: Ints,
    levels: Ints,
    blocks: int,
) -> int:
    """Return the last value set by the rows before ``before``, folded ones included; NULL if none."""
    condition, column, fold = own[oc.G_CONDITION], own[oc.G_COLUMN], own[oc.G_FOLD]
    low = 0
    if 0 <= skip < before:
        held = _last_kept(mask, cols, skip + 1, before, condition, column, nodes, levels, blocks)
        if held != NULL:
            return held
        before = skip
    held = _last_kept(mask, cols, low, before, condition, column, nodes, levels, blocks)
    if held != NULL:
        return held
    return folds[fold, oc.LAST] if folds[fold, oc.COUNT] > 0 else NULL
