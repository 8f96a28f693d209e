"""Rolling backfill: aggregates of entities whose events were never revised, at moments that follow one another.

An entity rolls where each of its records is an event of its own that exists, and its moments' times rise with what is
known; late events may be among them. Every other entity is left to the sweep, which gives the same bits.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.events import array_types as ty
from streamgauge.features import rolling_plan as rp
from streamgauge.features.kernels.apart import inner
from streamgauge.features.kernels.opcodes import MAX_STEPS
from streamgauge.features.kernels.rolling import roll_distinct, roll_extremes, roll_newest, roll_oldest
from streamgauge.features.kernels.rolling_entries import by_moment, enter, greatest_delay, leave_out
from streamgauge.features.kernels.rolling_steps import roll_steps
from streamgauge.features.kernels.rolling_sums import PARTS, WIDE, add_misses, find_misses, run, windows
from streamgauge.features.kernels.rolling_values import finish_items

Ints = NDArray[np.int64]

BLOCK: Final = 512
"""How many moments are computed at a time: their results stay near the processor."""

_STATE: Final = 4
_AHEAD: Final = 4
_LINE: Final = 8
_SAFE: Final = 2.0**62


@njit(cache=True, nogil=True)
def roll(
    offsets: Ints,
    order: Ints,
    row_first: Ints,
    row_second: Ints,
    time: Ints,
    rank: Ints,
    mask: NDArray[np.uint64],
    cols: Ints,
    moment_offsets: Ints,
    moment_first: Ints,
    moment_second: Ints,
    moment_t: Ints,
    moment_key: Ints,
    largest: int,
    spans: Ints,
    passes: Ints,
    keys: Ints,
    items: Ints,
    columns: int,
    stores: int,
    block: int,
    rolls: NDArray[np.bool_],
    aggregates: NDArray[np.float64],
) -> None:
    """Compute what rolls of one stream of many entities at moments sorted by entity, cut and time.

    Args:
        offsets: int64[entities + 1], each entity's rows; these and the next are as `sweep` takes them.
        order: int64[n].
        row_first: int64[n].
        row_second: int64[n].
        time: int64[n].
        rank: int64[n]; an entity's rows have the ranks from its first row on.
        mask: uint64[n, words].
        cols: int64[n, columns].
        moment_offsets: int64[entities + 1].
        moment_first: int64[m].
        moment_second: int64[m].
        moment_t: int64[m].
        moment_key: int64[m].
        largest: The greatest number of rows of an entity.
        spans: `RollingPlan.spans`.
        passes: `RollingPlan.passes`.
        keys: `RollingPlan.keys`.
        items: `RollingPlan.items`.
        columns: `RollingPlan.columns`.
        stores: `RollingPlan.stores`.
        block: How many moments to compute at a time.
        rolls: bool[entities], which to compute; unset where that was not possible.
        aggregates: float64[m, aggregates]; the items' are written.
    """
    most = 0
    for entity in range(len(offsets) - 1):
        if rolls[entity]:
            most = max(most, moment_offsets[entity + 1] - moment_offsets[entity])
    own_time = np.empty(largest + _AHEAD, np.int64)
    weights = np.empty((len(keys), largest), np.int64)
    values = np.empty((len(keys), largest), np.int64)
    levels = np.empty(len(keys), np.int64)
    entries = np.empty((2, largest), np.int64)
    starts = np.empty((2, most + 2), np.int64)
    entering = np.empty((2, largest), np.int64)
    straight = np.zeros(2, np.bool_)
    delays = np.zeros(2, np.int64)
    lows = np.empty((len(spans), block + 1), np.int64)
    work = np.empty((max(columns, 1), block), np.int64)
    sums = np.empty((2 * len(keys), 2, 4, block + 1), np.int64)
    results = np.empty((len(items), block + _LINE), np.float64)  # no two rows' moments share their place in the cache
    capacity = 4
    while capacity <= 2 * largest:
        capacity *= 2
    store = np.empty((stores, 2, capacity), np.int64)
    state = np.empty((len(passes), _STATE), np.int64)
    steps = np.empty((len(passes), 3 * MAX_STEPS), np.int64)
    leaves_out = False
    for span in range(len(spans)):
        leaves_out = leaves_out or spans[span, 1] == 1
    for entity in range(len(offsets) - 1):
        begin, end = moment_offsets[entity], moment_offsets[entity + 1]
        if not rolls[entity] or begin == end:
            continue
        start, stop = offsets[entity], offsets[entity + 1]
        n = stop - start
        t = moment_t[begin:end]
        entry = entries[0, :n]
        first, second = moment_first[begin:end], moment_second[begin:end]
        straight[0] = enter(
            order, row_first, row_second, time, rank, start, stop, first, second, t, entry, starts[0], entering[0]
        )
        for row in range(start, stop):
            own_time[rank[row] - start] = time[row]
        own_time[n : n + _AHEAD] = 2**63 - 1
        delays[0] = greatest_delay(entry, own_time, t)
        if leaves_out:
            if not leave_out(entry, rank, start, moment_key[begin:end], entries[1]):
                rolls[entity] = False
                continue
            straight[1] = by_moment(entries[1, :n], len(t), starts[1], entering[1])
            delays[1] = greatest_delay(entries[1, :n], own_time, t)
        _values_of(keys, mask, cols, rank, start, stop, weights, values, levels)
        limit = 4
        while limit <= 2 * n:
            limit *= 2
        _begin(passes, n, limit, store, state, steps)
        _roll_entity(
            own_time[: n + _AHEAD],
            (weights, values, levels),
            (entries, starts, entering, straight, delays),
            t,
            spans,
            passes,
            items,
            limit,
            store,
            state,
            steps,
            (lows, sums, work, results),
            aggregates[begin:end],
        )


@inner
def _values_of(
    keys: Ints,
    mask: NDArray[np.uint64],
    cols: Ints,
    rank: Ints,
    start: int,
    stop: int,
    weights: Ints,
    values: Ints,
    levels: Ints,
) -> None:
    """Write for each key whether an event is kept, and what it adds, in the stream's order; and how sums are kept."""
    for key in range(len(keys)):
        condition, column = keys[key, rp.K_CONDITION], keys[key, rp.K_COLUMN]
        kept, own = weights[key], values[key]
        if condition < 0:
            kept[: stop - start] = 1
        else:
            word, bit = condition >> 6, np.uint64(condition & 63)
            for row in range(start, stop):
                kept[rank[row] - start] = np.int64((mask[row, word] >> bit) & np.uint64(1))
        if column < 0:
            own[: stop - start] = kept[: stop - start]
        else:
            for row in range(start, stop):
                event = rank[row] - start
                kept[event] &= cols[row, column] != NULL
                own[event] = cols[row, column] * kept[event]
        levels[key] = keys[key, rp.K_LEVEL]
        if levels[key] == rp.SQUARES:
            greatest = 0
            for event in range(stop - start):
                greatest = max(greatest, abs(own[event]))
            if float(stop - start) * float(greatest) * float(greatest) >= _SAFE:
                levels[key] = WIDE


@inner
def _begin(passes: Ints, events: int, limit: int, store: Ints, state: Ints, steps: Ints) -> None:
    """Clear what passes keep from moment to moment."""
    state[:] = 0
    for number in range(len(passes)):
        kind = passes[number, rp.P_KIND]
        if kind == rp.OLDEST:
            state[number, 0] = events
        elif kind == rp.NEWEST:
            state[number, 0] = -1
        elif kind == rp.DISTINCT:
            store[passes[number, rp.P_STORE], 0, :limit] = NULL
            store[passes[number, rp.P_STORE], 1, :limit] = 0
        elif kind == rp.EACH:
            steps[number] = 0


@inner
def _lows(time: Ints, t: Ints, width: int, lows: Ints) -> None:
    """Write after the first item, which is given, the oldest event in a window of that width at each moment.

    After the events' times there are some that no window passes.
    """
    low = lows[0]
    if width < 0:
        lows[1 : len(t) + 1] = low
        return
    for moment in range(len(t)):
        edge = t[moment] - width
        # Four at once: how many leave is hard to foretell, and a wrong guess costs more than to look at all.
        left = np.int64(time[low] <= edge) + np.int64(time[low + 1] <= edge)
        left += np.int64(time[low + 2] <= edge) + np.int64(time[low + 3] <= edge)
        low += left
        if left == _AHEAD:
            while time[low] <= edge:
                low += 1
        lows[moment + 1] = low


@inner
def _sum_windows(
    level: int,
    key: int,
    place: int,
    low: int,
    edges: Ints,
    first: int,
    n: int,
    weights: Ints,
    values: Ints,
    levels: Ints,
    begins: Ints,
    enters: Ints,
    straight: np.bool_,
    summed: NDArray[np.bool_],
    spare: Ints,
    sums: Ints,
    carry: Ints,
    work: Ints,
) -> None:
    """Write the sums of a span's windows, but for misses.

    Where one block holds all of an entity, the running sums of a key serve every span, and those in the order of
    entering are the others where that is the stream's order.
    """
    into, before, high, through, reach = 1, begins[first], edges[-1], begins[first + len(edges)], level
    if len(summed):
        low, before, high, through, reach = 0, 0, n, n, levels[key]
        into = 0 if straight else 1
    else:
        place = 0
    if len(summed) == 0 or not summed[place]:
        run(reach, weights[key], values[key], low, high, enters[before:through], 1 + into, spare, sums[place])
    if len(summed):
        summed[place] = True
    windows(level, sums[place], into, begins[first + 1 : first + len(edges) + 1], before, edges, low, carry, work)


@inner
def _roll_entity(
    time: Ints,
    events: tuple[Ints, Ints, Ints],
    entered: tuple[Ints, Ints, Ints, NDArray[np.bool_], Ints],
    t: Ints,
    spans: Ints,
    passes: Ints,
    items: Ints,
    limit: int,
    store: Ints,
    state: Ints,
    steps: Ints,
    room: tuple[Ints, Ints, Ints, NDArray[np.float64]],
    aggregates: NDArray[np.float64],
) -> None:
    """Run all passes over an entity's moments, a block after the other."""
    weights, values, levels = events
    entries, starts, entering, straight, delays = entered
    lows, sums, work, results = room
    n, block = len(time) - _AHEAD, work.shape[1]
    lows[:, 0] = 0
    summed = np.zeros(len(sums) if n <= block and len(t) <= block else 0, np.bool_)
    misses = np.empty((len(spans), 2, 2 * block + 2), np.int64)
    missed = np.zeros(len(spans), np.int64)
    spare = np.empty((2, block + 1), np.int64)
    scratch = np.empty(4 * MAX_STEPS, np.int64)
    for first in range(0, len(t), block):
        last = min(first + block, len(t))
        moved = 0
        for span in range(len(spans)):
            _lows(time, t[first:last], spans[span, 0], lows[span])
            prior = spans[span, 1]
            moved = max(moved, lows[span, last - first] - lows[span, 0], starts[prior, last] - starts[prior, first])
        if moved >= spare.shape[1]:
            spare = np.empty((2, moved + 1), np.int64)
            sums = np.empty((1, 2, 4, moved + 1), np.int64)
            misses = np.empty((len(spans), 2, 2 * moved + 2), np.int64)
        for span in range(len(spans)):
            missed[span] = 0
            prior = spans[span, 1]
            if 0 <= spans[span, 0] <= delays[prior]:
                edges = lows[span, 1 : last - first + 1]
                missed[span] = find_misses(
                    entries[prior], starts[prior], entering[prior], lows[span, 0], edges, first, misses[span]
                )
        for number in range(len(passes)):
            kind, span, key = passes[number, rp.P_KIND], passes[number, rp.P_SPAN], passes[number, rp.P_KEY]
            prior = spans[span, 1]
            entry, begins, enters = entries[prior, :n], starts[prior], entering[prior]
            edges = lows[span, 1 : last - first + 1]
            slot, keep, own = passes[number, rp.P_SLOT], passes[number, rp.P_STORE], state[number]
            if kind <= rp.SQUARES:
                level = levels[key] if kind == rp.SQUARES else kind
                now = work[slot:]
                low = lows[span, 0]
                place = key + prior * len(levels)
                _sum_windows(
                    level,
                    key,
                    place,
                    low,
                    edges,
                    first,
                    n,
                    weights,
                    values,
                    levels,
                    begins,
                    enters,
                    straight[prior],
                    summed,
                    spare,
                    sums,
                    own,
                    now,
                )
                if missed[span]:
                    add_misses(
                        level, misses[span], missed[span], weights[key], values[key], spare[0, : last - first], now
                    )
                for part in range(PARTS[level]):
                    own[part] = now[part, last - first - 1]
            elif kind == rp.EXTREMES:
                least, greatest = store[keep, 0], store[keep, 1]
                roll_extremes(
                    weights[key],
                    values[key],
                    entry,
                    begins,
                    enters,
                    edges,
                    first,
                    own,
                    least,
                    greatest,
                    work[slot:],
                )
            elif kind == rp.OLDEST:
                roll_oldest(weights[key], entry, begins, enters, edges, first, own, work[slot])
            elif kind == rp.NEWEST:
                roll_newest(weights[key], begins, enters, edges, first, own, work[slot])
            elif kind == rp.DISTINCT:
                held, counts = store[keep, 0], store[keep, 1]
                roll_distinct(
                    weights[key],
                    values[key],
                    entry,
                    begins,
                    enters,
                    edges,
                    first,
                    own,
                    held,
                    counts,
                    limit,
                    work[slot],
                )
            else:
                roll_steps(
                    time[:n],
                    values[key],
                    entry,
                    begins,
                    enters,
                    t,
                    first,
                    last,
                    passes[number],
                    items,
                    own,
                    steps[number],
                    scratch,
                    aggregates,
                )
        for span in range(len(spans)):
            lows[span, 0] = lows[span, last - first]
        finish_items(items, work, time[:n], values, entries, t, first, last, results, aggregates)


# Here, where all that it calls is defined.
roll.compile(
    ty.NONE(
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_WORDS2,
        ty.READ_INTS2,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.INT,
        ty.READ_INTS2,
        ty.READ_INTS2,
        ty.READ_INTS2,
        ty.READ_INTS2,
        ty.INT,
        ty.INT,
        ty.INT,
        ty.FLAGS,
        ty.FLOATS2,
    )
)
roll.disable_compile()
