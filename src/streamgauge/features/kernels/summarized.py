"""The window kernel over summaries: the rows at a window's edges, and the nodes of the blocks in between."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.block import ints_at
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.kernels.aged import finish_aged
from streamgauge.features.kernels.apart import inner
from streamgauge.features.kernels.each import kept_steps, summarize
from streamgauge.features.kernels.fractions import LATE_WAYS, LATE_WIDTH, build_sheets, late_sums
from streamgauge.features.kernels.moments import merge_before, moments
from streamgauge.features.kernels.nodes import NODE_WIDTH
from streamgauge.features.kernels.rolls import find_roll, pass_rolled
from streamgauge.features.kernels.stream import finish_table, first_after, pass_level, pass_rows, resolve
from streamgauge.features.kernels.summaries import EVALUATE
from streamgauge.features.kernels.tree import (
    BLOCK_BITS,
    BUILT,
    FAN_BITS,
    HEAD,
    JOINED,
    JOINED_WAYS,
    JOINED_WIDTH,
    KIND_WIDTH,
    KINDS,
    LATE,
    LEVELS,
    NODES,
    ROLLS,
    ROLLS_SIZE,
    build_nodes,
    carried_value,
    gather,
)

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

_SECOND: Final = 1_000_000


@inner
def _pass_each(
    time: Ints,
    mask: Words,
    cols: Ints,
    own: Ints,
    span: Ints,
    t: int,
    how: Ints,
    nodes: Ints,
    levels: Ints,
    blocks: int,
    joined: Ints,
    spare: Ints,
    total: Ints,
    rows: Ints,
    at: int,
    free: int,
) -> None:
    """Reduce each step from its own rows and blocks, then summarize."""
    reduce, width, column = own[oc.G_REDUCE], own[oc.G_STEP], own[oc.G_COLUMN]
    steps = kept_steps(own[oc.G_EXTRA], width, t, span[oc.S_FIRST], own[oc.G_FEED])
    high = span[oc.S_HIGH]
    for step in range(steps):
        low = first_after(time, span[oc.S_LOW], high, t - (step + 1) * width)
        gather(how, time, mask, cols, low, high, span[oc.S_SKIP], nodes, levels, blocks, joined, spare, total)
        high = low
        value = total[oc.SUM] if column >= 0 else total[oc.COUNT]
        if reduce == oc.STEP_MIN:
            value = total[oc.LEAST]
        elif reduce == oc.STEP_MAX:
            value = total[oc.GREATEST]
        elif reduce == oc.STEP_FIRST:
            value = total[oc.FIRST]
        elif reduce == oc.STEP_LAST:
            value = total[oc.LAST]
        rows[free + step] = value
        rows[free + oc.MAX_STEPS + step] = 1 if reduce == oc.STEP_SUM or total[oc.COUNT] > 0 else 0
    summarize(steps, own[oc.G_THRESHOLD], rows, at, free)


@inner
def _find_kind(kinds: Ints, own: Ints) -> int:
    """Return the number of the nodes that serve a group, -1 if none do."""
    kind, threshold = own[oc.G_KIND], 0
    if kind == oc.EACH or kind == oc.LEVEL_NOW:
        if own[oc.G_REDUCE] == oc.STEP_DISTINCT:
            return -1
        kind = oc.MOMENTS
    elif kind == oc.LEVEL_BELOW:
        threshold = own[oc.G_THRESHOLD]
    for number in range(len(kinds)):
        if (
            kinds[number, 0] == kind
            and kinds[number, 1] == own[oc.G_CONDITION]
            and kinds[number, 2] == own[oc.G_COLUMN]
            and kinds[number, 3] == threshold
        ):
            return number
    return -1


@inner
def _scan(
    time: Ints,
    mask: Words,
    cols: Ints,
    folds: Ints,
    spans: Ints,
    groups: Ints,
    group: int,
    t: int,
    skip: int,
    rows: Ints,
    at: int,
    free: int,
) -> None:
    """Look at each row of a group that no nodes serve."""
    own = groups[group]
    if own[oc.G_KIND] == oc.MOMENTS:
        span = own[oc.G_SPAN] * oc.SPAN_WIDTH
        low, high, left_out = rows[span + oc.S_LOW], rows[span + oc.S_HIGH], rows[span + oc.S_SKIP]
        moments(time, mask, cols, low, high, left_out, own[oc.G_CONDITION], own[oc.G_COLUMN], rows, at)
        if own[oc.G_FOLD] >= 0:
            merge_before(folds, own[oc.G_FOLD], rows, at)
    elif own[oc.G_KIND] == oc.LEVEL or own[oc.G_KIND] == oc.LEVEL_BELOW or own[oc.G_KIND] == oc.LEVEL_NOW:
        pass_level(time, mask, cols, folds, spans, groups, group, t, rows, at)
    else:
        pass_rows(time, mask, cols, groups, group, t, skip, rows, at, free)


@njit(
    EVALUATE,
    cache=True,
    nogil=True,
    error_model="numpy",
)
def evaluate_summarized(
    time: Ints,
    mask: Words,
    cols: Ints,
    n: int,
    folds: Ints,
    folded_first: int,
    spans: Ints,
    groups: Ints,
    table: Ints,
    memory: Ints,
    t: int,
    skip: int,
    scratch: Ints,
    out: NDArray[np.float64],
) -> None:
    """Compute what `streamgauge.features.kernels.stream.evaluate_stream` does, with the same bits.

    Args:
        time: As there, like all that is not named here.
        mask: As there.
        cols: As there.
        n: As there.
        folds: As there.
        folded_first: As there.
        spans: As there.
        groups: As there.
        table: As there.
        memory: int64[s], a summary of the rows (`streamgauge.features.summary`); what it lacks is built.
        t: As there.
        skip: As there.
        scratch: As there.
        out: As there.
    """
    kinds = memory[HEAD : HEAD + memory[KINDS] * KIND_WIDTH].reshape(memory[KINDS], KIND_WIDTH)
    start = HEAD + kinds.size + memory[LEVELS]
    levels = memory[HEAD + kinds.size : start]
    size = memory[KINDS] * memory[NODES] * NODE_WIDTH
    nodes = memory[start : start + size].reshape(memory[KINDS], memory[NODES], NODE_WIDTH)
    size = memory[KINDS] * JOINED_WAYS * JOINED_WIDTH
    joined = memory[memory[JOINED] : memory[JOINED] + size].reshape(memory[KINDS], JOINED_WAYS, JOINED_WIDTH)
    size = memory[KINDS] * LATE_WAYS * LATE_WIDTH
    before = memory[memory[LATE] : memory[LATE] + size].reshape(memory[KINDS], LATE_WAYS, LATE_WIDTH)
    rolls = ints_at(memory[ROLLS], 0, memory[ROLLS_SIZE])
    blocks = n >> BLOCK_BITS
    if blocks > memory[BUILT]:
        build_nodes(time, mask, cols, kinds, levels, memory[BUILT], blocks, nodes)
        build_sheets(time, mask, cols, kinds, memory[BUILT] >> FAN_BITS, blocks >> FAN_BITS, memory)
        memory[BUILT] = blocks
    resolve(time, n, folded_first, spans, t, skip, scratch)
    base = len(spans) * oc.SPAN_WIDTH
    free = base + len(groups) * oc.ROW_WIDTH
    # Known by its address: Numba counts the references to an array at each slice of it (`features.block.ints_at`).
    own_memory = np.empty(2 * NODE_WIDTH + LATE_WIDTH, np.int64)
    spare, total = (
        ints_at(own_memory.ctypes.data, 0, NODE_WIDTH),
        ints_at(own_memory.ctypes.data, NODE_WIDTH, NODE_WIDTH),
    )
    late = ints_at(own_memory.ctypes.data, 2 * NODE_WIDTH, LATE_WIDTH)
    for group in range(len(groups)):
        own = groups[group]
        kind, at = own[oc.G_KIND], base + group * oc.ROW_WIDTH
        span = scratch[own[oc.G_SPAN] * oc.SPAN_WIDTH : (own[oc.G_SPAN] + 1) * oc.SPAN_WIDTH]
        low, high, left_out = span[oc.S_LOW], span[oc.S_HIGH], span[oc.S_SKIP]
        number = _find_kind(kinds, own)
        if number < 0:
            place = find_roll(rolls, own, spans[own[oc.G_SPAN]])
            if place < 0 or not pass_rolled(
                rolls, place, time, mask, cols, low, high, left_out, own[oc.G_EXTRA], scratch, at
            ):
                _scan(time, mask, cols, folds, spans, groups, group, t, skip, scratch, at, free)
            continue
        how, tree, stretches = kinds[number], nodes[number], joined[number]
        if kind == oc.EACH:
            _pass_each(
                time, mask, cols, own, span, t, how, tree, levels, blocks, stretches, spare, total, scratch, at, free
            )
            continue
        if kind == oc.LEVEL_NOW:
            held = carried_value(mask, cols, high, left_out, own, folds, tree, levels, blocks)
            scratch[at + oc.COUNT] = 0 if held == NULL else 1
            scratch[at + oc.LAST] = held
            continue
        gather(how, time, mask, cols, low, high, left_out, tree, levels, blocks, stretches, spare, total)
        if kind == oc.MOMENTS or kind == oc.GAPS:
            if kind == oc.GAPS:
                total[oc.SUM] = total[oc.LAST_TIME] - total[oc.FIRST_TIME]
                total[oc.COUNT] = max(0, total[oc.COUNT] - 1)
            for item in range(oc.FOLD_WIDTH):
                scratch[at + item] = total[item]
            if kind == oc.MOMENTS and own[oc.G_FOLD] >= 0:
                merge_before(folds, own[oc.G_FOLD], scratch, at)
            continue
        held = NULL
        if kind != oc.SLOPE:
            held = carried_value(mask, cols, low, left_out, own, folds, tree, levels, blocks)
        sheets, fraction = tree[levels[1] :], t % _SECOND
        late_sums(
            time,
            mask,
            cols,
            low,
            high,
            left_out,
            how,
            fraction,
            sheets,
            blocks >> FAN_BITS,
            memory,
            before[number],
            late,
        )
        finish_aged(own, spans[own[oc.G_SPAN], 1], t, held, total, late, scratch, at)
    finish_table(groups, table, base, t, scratch, out)
    own_memory[0] = 0  # kept until here
