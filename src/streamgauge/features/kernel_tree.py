"""A tree of nodes over blocks of rows, and what it says of any stretch of rows."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features import opcodes as oc
from streamgauge.features.kernel_moments import keeps
from streamgauge.features.kernel_nodes import (
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

# A summary's memory: how many blocks are built, how many kinds, levels and nodes of each kind it has, and its size.
HEAD: Final = 5
BUILT: Final = 0
KINDS: Final = 1
LEVELS: Final = 2
NODES: Final = 3
SIZE: Final = 4
# A kind of nodes: a group's kind, condition, column and threshold.
KIND_WIDTH: Final = 4

SUMMARIZED: Final = 1024
"""A stream with more live events than this is summarized."""
BLOCK_BITS: Final = 6
"""A block has 64 rows."""
FAN_BITS: Final = 4
"""A node above a block joins 16 below it."""


@njit(cache=True, nogil=True, error_model="numpy")
def build_nodes(
    time: Ints, mask: Words, cols: Ints, kinds: Ints, levels: Ints, first: int, blocks: int, nodes: Ints
) -> None:
    """Build the nodes of the blocks [first, blocks), and those above them that are whole.

    Args:
        time: int64[n].
        mask: uint64[n, words].
        cols: int64[columns, n].
        kinds: int64[k, 4]: a node's kind, condition, column and threshold.
        levels: int64[l]: where each level's nodes begin; the first is the blocks'.
        first: The first block to build.
        blocks: How many whole blocks there are.
        nodes: int64[k, nodes, NODE_WIDTH], changed in place.
    """
    for number in range(len(kinds)):
        kind, condition, column, threshold = kinds[number]
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


@njit(cache=True, nogil=True, error_model="numpy")
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


@njit(cache=True, nogil=True, error_model="numpy")
def _join(kind: int, older: Ints, newer: Ints, threshold: int) -> None:
    if kind == oc.MOMENTS:
        join_moments(older, newer)
    elif kind == oc.GAPS:
        join_gaps(older, newer)
    elif kind == oc.SLOPE:
        join_slope(older, newer)
    else:
        join_level(older, newer, threshold)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def widest(levels: Ints, block: int, stop: int) -> int:
    """Return the highest level that has a node beginning at a block and ending by another."""
    level = 0
    while level + 1 < len(levels):
        size = 1 << (FAN_BITS * (level + 1))
        if block & (size - 1) != 0 or block + size > stop:
            break
        level += 1
    return level


@njit(cache=True, nogil=True, error_model="numpy")
def _gather_all(
    kind: int,
    time: Ints,
    mask: Words,
    cols: Ints,
    low: int,
    high: int,
    condition: int,
    column: int,
    nodes: Ints,
    levels: Ints,
    blocks: int,
    spare: Ints,
    total: Ints,
) -> None:
    """Add rows to a node of moments or gaps: those at the edges one by one, whole blocks by their nodes."""
    first, stop = (low + (1 << BLOCK_BITS) - 1) >> BLOCK_BITS, min(high >> BLOCK_BITS, blocks)
    if first >= stop:
        _build(kind, time, mask, cols, low, high, condition, column, 0, spare)
        _join(kind, total, spare, 0)
        return
    if low < first << BLOCK_BITS:
        _build(kind, time, mask, cols, low, first << BLOCK_BITS, condition, column, 0, spare)
        _join(kind, total, spare, 0)
    block = first
    while block < stop:
        level = widest(levels, block, stop)
        _join(kind, total, nodes[levels[level] + (block >> (FAN_BITS * level))], 0)
        block += 1 << (FAN_BITS * level)
    if stop << BLOCK_BITS < high:
        _build(kind, time, mask, cols, stop << BLOCK_BITS, high, condition, column, 0, spare)
        _join(kind, total, spare, 0)


@njit(cache=True, nogil=True, error_model="numpy")
def gather(
    kind: int,
    time: Ints,
    mask: Words,
    cols: Ints,
    low: int,
    high: int,
    skip: int,
    condition: int,
    column: int,
    nodes: Ints,
    levels: Ints,
    blocks: int,
    spare: Ints,
    total: Ints,
) -> None:
    """Write the node of the rows [low, high) without ``skip`` into ``total``; ``spare`` is overwritten."""
    total[:] = 0
    if low <= skip < high:
        _gather_all(kind, time, mask, cols, low, skip, condition, column, nodes, levels, blocks, spare, total)
        low = skip + 1
    _gather_all(kind, time, mask, cols, low, high, condition, column, nodes, levels, blocks, spare, total)


@njit(cache=True, nogil=True, error_model="numpy")
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


@njit(cache=True, nogil=True, error_model="numpy")
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
