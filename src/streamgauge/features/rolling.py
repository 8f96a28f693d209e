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
from streamgauge.features.kernel_rolling import (
    roll_counts,
    roll_distinct,
    roll_extreme,
    roll_newest,
    roll_oldest,
    roll_sums,
)
from streamgauge.features.kernel_rolling_steps import roll_steps
from streamgauge.features.kernel_rolling_values import finish_items
from streamgauge.features.opcodes import MAX_STEPS

Ints = NDArray[np.int64]

BLOCK: Final = 512
"""How many moments are computed at a time: their results stay near the processor."""

_STATE: Final = 5


@njit(
    ty.NONE(ty.READ_INTS, ty.READ_INTS, ty.READ_INTS, ty.READ_FLAGS, ty.READ_INTS, ty.READ_INTS, ty.FLAGS),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def find_rolling(
    offsets: Ints,
    event: Ints,
    key: Ints,
    live: NDArray[np.bool_],
    moment_offsets: Ints,
    moment_t: Ints,
    rolls: NDArray[np.bool_],
) -> None:
    """Set which entities roll, as far as can be seen without the order of arrival."""
    for entity in range(len(offsets) - 1):
        start = offsets[entity]
        good = True
        for row in range(start, offsets[entity + 1]):
            good = good and live[row] and event[row] == row - start and key[row] == row - start
        for moment in range(moment_offsets[entity] + 1, moment_offsets[entity + 1]):
            good = good and moment_t[moment] >= moment_t[moment - 1]
        rolls[entity] = good


@njit(cache=True, nogil=True, error_model="numpy")
def _first_seen(
    order: Ints,
    row_first: Ints,
    row_second: Ints,
    time: Ints,
    rank: Ints,
    start: int,
    stop: int,
    moment_first: Ints,
    moment_second: Ints,
    t: Ints,
    entry: Ints,
) -> None:
    """Write for each event, in the stream's order, the first moment that sees it; the moments' number if none does."""
    count = len(t)
    moment = 0
    for item in range(start, stop):
        row = order[item]
        while moment < count and (
            moment_first[moment] < row_first[row]
            or (moment_first[moment] == row_first[row] and moment_second[moment] < row_second[row])
        ):
            moment += 1
        seen = moment
        if seen < count and t[seen] < time[row]:
            high = count
            while seen < high:
                middle = (seen + high) >> 1
                if t[middle] < time[row]:
                    seen = middle + 1
                else:
                    high = middle
        entry[rank[row] - start] = seen


@njit(cache=True, nogil=True, error_model="numpy")
def _leave_out(entry: Ints, rank: Ints, start: int, moment_key: Ints, prior: Ints) -> bool:
    """Write when each event enters windows that leave out the observed one: after the moments that observe it.

    False where an event is observed later than that, so that it would have to leave such a window again.
    """
    for event in range(len(entry)):
        prior[event] = entry[event]
    for moment in range(len(moment_key)):
        if moment_key[moment] >= 0:
            event = rank[start + moment_key[moment]] - start
            if prior[event] < moment:
                return False
            if prior[event] == moment:
                prior[event] = moment + 1
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _by_moment(entry: Ints, moments: int, starts: Ints, entering: Ints) -> None:
    """Write the events that enter at each moment: ``entering[starts[m]:starts[m + 1]]``, in the stream's order."""
    for moment in range(moments + 2):
        starts[moment] = 0
    for event in range(len(entry)):
        starts[entry[event] + 1] += 1
    for moment in range(1, moments + 2):
        starts[moment] += starts[moment - 1]
    for event in range(len(entry)):
        at = entry[event]
        entering[starts[at]] = event
        starts[at] += 1
    for moment in range(moments + 1, 0, -1):
        starts[moment] = starts[moment - 1]
    starts[0] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def _lows(time: Ints, t: Ints, width: int, low: int, first: int, last: int, lows: Ints) -> None:
    """Write which event is the oldest in a window of that width at each of the moments [first, last)."""
    for moment in range(first, last):
        if width >= 0:
            while low < len(time) and time[low] <= t[moment] - width:
                low += 1
        lows[moment - first] = low


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
    items: Ints,
    columns: int,
    stores: int,
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
        items: `RollingPlan.items`.
        columns: `RollingPlan.columns`.
        stores: `RollingPlan.stores`.
        rolls: bool[entities], which to compute; unset where that was not possible.
        aggregates: float64[m, aggregates]; the items' are written.
    """
    words = mask.shape[1]
    own_time = np.empty(largest, np.int64)
    own_words = np.empty((words, largest), np.uint64)
    own_cols = np.empty((cols.shape[1] + 1, largest), np.int64)
    entries = np.empty((2, largest), np.int64)
    entering = np.empty((2, largest), np.int64)
    most = 0
    for entity in range(len(offsets) - 1):
        if rolls[entity]:
            most = max(most, moment_offsets[entity + 1] - moment_offsets[entity])
    starts = np.empty((2, most + 2), np.int64)
    block = min(BLOCK, most)
    lows = np.empty((len(spans), block), np.int64)
    work = np.empty((max(columns, 1), block), np.int64)
    capacity = 4
    while capacity <= 2 * largest:
        capacity *= 2
    store = np.empty((stores, 2, capacity), np.int64)
    state = np.empty((len(passes), _STATE), np.int64)
    steps = np.empty((len(passes), 3 * MAX_STEPS), np.int64)
    scratch = np.empty(4 * MAX_STEPS, np.int64)
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
        _first_seen(order, row_first, row_second, time, rank, start, stop, first, second, t, entry)
        if leaves_out:
            if not _leave_out(entry, rank, start, moment_key[begin:end], entries[1]):
                rolls[entity] = False
                continue
            _by_moment(entries[1, :n], len(t), starts[1], entering[1])
        _by_moment(entry, len(t), starts[0], entering[0])
        for row in range(start, stop):
            event = rank[row] - start
            own_time[event] = time[row]
            for word in range(words):
                own_words[word, event] = mask[row, word]
            for column in range(cols.shape[1]):
                own_cols[column, event] = cols[row, column]
            own_cols[cols.shape[1], event] = 0
        limit = 4
        while limit <= 2 * n:
            limit *= 2
        _begin(passes, n, limit, store, state, steps)
        _roll_entity(
            own_time[:n],
            own_words,
            own_cols,
            entries,
            entering,
            starts,
            t,
            spans,
            passes,
            items,
            limit,
            store,
            state,
            steps,
            scratch,
            lows,
            work,
            aggregates[begin:end],
        )


@njit(cache=True, nogil=True, error_model="numpy")
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


@njit(cache=True, nogil=True, error_model="numpy")
def _roll_entity(
    time: Ints,
    words: NDArray[np.uint64],
    cols: Ints,
    entries: Ints,
    entering: Ints,
    starts: Ints,
    t: Ints,
    spans: Ints,
    passes: Ints,
    items: Ints,
    limit: int,
    store: Ints,
    state: Ints,
    steps: Ints,
    scratch: Ints,
    lows: Ints,
    work: Ints,
    aggregates: NDArray[np.float64],
) -> None:
    """Run all passes over an entity's moments, a block after the other."""
    n = len(time)
    low = np.zeros(len(spans), np.int64)
    for first in range(0, len(t), BLOCK):
        last = min(first + BLOCK, len(t))
        for span in range(len(spans)):
            _lows(time, t, spans[span, 0], low[span], first, last, lows[span])
            low[span] = lows[span, last - first - 1]
        for number in range(len(passes)):
            kind = passes[number, rp.P_KIND]
            span = passes[number, rp.P_SPAN]
            condition = passes[number, rp.P_CONDITION]
            word = words[max(condition, 0) >> 6]
            bit = condition & 63 if condition >= 0 else -1
            prior = spans[span, 1]
            entry, begins, enters = entries[prior, :n], starts[prior], entering[prior]
            values = cols[passes[number, rp.P_COLUMN]]
            slot = passes[number, rp.P_SLOT]
            keep = passes[number, rp.P_STORE]
            own = state[number]
            edges = lows[span]
            if kind == rp.COUNTS and passes[number, rp.P_COLUMN] < 0:
                roll_counts(word, bit, entry, begins, enters, edges, first, last, own, work[slot])
            elif kind <= rp.SQUARES:
                roll_sums(kind, word, bit, values, entry, begins, enters, edges, first, last, own, work, slot)
            elif kind == rp.EXTREME:
                sign = passes[number, rp.P_SIGN]
                queue, places = store[keep, 0], store[keep, 1]
                roll_extreme(
                    sign, word, bit, values, begins, enters, edges, first, last, own, places, queue, work[slot]
                )
            elif kind == rp.OLDEST:
                roll_oldest(word, bit, values, entry, begins, enters, edges, first, last, own, work[slot])
            elif kind == rp.NEWEST:
                roll_newest(word, bit, values, begins, enters, first, last, own, work[slot])
            elif kind == rp.DISTINCT:
                keys, held = store[keep, 0], store[keep, 1]
                roll_distinct(
                    word, bit, values, entry, begins, enters, edges, first, last, own, keys, held, limit, work[slot]
                )
            else:
                roll_steps(
                    time,
                    word,
                    bit,
                    values,
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
        finish_items(items, work, time, cols, entries, t, first, last, aggregates)


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
        ty.INT,
        ty.INT,
        ty.FLAGS,
        ty.FLOATS2,
    )
)
roll.disable_compile()
