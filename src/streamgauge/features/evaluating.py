"""Evaluating programs over blocks: one call for one entity, and one for a whole batch of events of many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from streamgauge.events import array_types as ty
from streamgauge.features.block import CAPACITY, COUNT, FOLDED_FIRST, HEAD, SUMMARY, ints_at
from streamgauge.features.kernels import tree
from streamgauge.features.kernels.apart import apart, inner
from streamgauge.features.kernels.opcodes import FOLD_WIDTH, GROUP_WIDTH, SPAN_WIDTH, TABLE_WIDTH
from streamgauge.features.kernels.stream import evaluate_stream_apart
from streamgauge.features.kernels.summaries import evaluate_at, note_at
from streamgauge.features.kernels.tree import SUMMARIZED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.features.bind import BoundStream
    from streamgauge.features.layout import Layout

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_STREAM: Final = 7
_SCALARS: Final = 2

# A row of a batch: the event's entity, its block's place among the addresses, the shape of it, the event itself, where
# its mask and columns begin among the values, whether it is known to come last, and its evaluations.
ROW_WIDTH: Final = 13
R_ENTITY: Final = 0
R_BLOCK: Final = 1
R_WORDS: Final = 2
R_COLUMNS: Final = 3
R_FOLDS: Final = 4
R_TIME: Final = 5
R_SEQUENCE: Final = 6
R_KNOWN: Final = 7
R_VALUES: Final = 8
R_LAST: Final = 9
R_FIRST_EVALUATION: Final = 10
R_EVALUATIONS: Final = 11
R_STREAM: Final = 12

# An evaluation: its part's place among the parts, the place of its entity's first block, where its aggregates begin,
# what is observed (0 the entity, 1 the event itself, 2 the event, which this entity has not seen), and the moment (set
# by the run).
EVALUATION_WIDTH: Final = 5
E_PART: Final = 0
E_BLOCKS: Final = 1
E_OUT: Final = 2
E_OBSERVED: Final = 3
E_AS_OF: Final = 4

# What became of a row: its number among the live events, and the time of the oldest one.
FOUND_WIDTH: Final = 2
F_AT: Final = 0
F_OLDEST: Final = 1
TIED: Final = -1
WAITS: Final = -2
WAITING: Final = 2**63 - 1


def packed_tables(layout: Layout, streams: Sequence[BoundStream]) -> Ints:
    """Return the tables of a part of a program as one array.

    It begins with the number of streams; then, of each, its number in the layout, the words, columns and accumulators
    of its blocks, and the numbers of spans, groups and aggregates; then the tables themselves.
    """
    heads: list[int] = [len(streams)]
    tables: list[Ints] = []
    for stream in streams:
        own = layout.streams[stream.index]
        heads += [stream.index, own.words, len(own.columns), len(own.folds)]
        heads += [len(stream.spans), len(stream.groups), len(stream.table)]
        tables += [stream.spans.ravel(), stream.groups.ravel(), stream.table.ravel()]
    return np.concatenate([np.array(heads, np.int64), *tables])


@njit(
    ty.NONE(
        ty.INTS,
        ty.INT,
        ty.INTS,
        ty.INT,
        ty.INT,
        ty.INT,
        ty.INT,
        ty.INTS,
        ty.FLOATS,
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def _evaluate(
    parts: Ints,
    part: int,
    addresses: Ints,
    blocks: int,
    t: int,
    stream: int,
    row: int,
    scratch: Ints,
    out: Floats,
) -> None:
    """Write the aggregates of a part over an entity's blocks; the observed event is that row of that stream."""
    # Known by their address: Numba counts the references to an array at each slice of it.
    parts = ints_at(parts.ctypes.data, 0, len(parts))
    scratch = ints_at(scratch.ctypes.data, 0, len(scratch))
    out = ints_at(out.ctypes.data, 0, len(out)).view(np.float64)
    streams = parts[part]
    tables = part + 1 + streams * _STREAM
    for number in range(streams):
        at = part + 1 + number * _STREAM
        index = parts[at]
        words = parts[at + 1]
        columns = parts[at + 2]
        folds = parts[at + 3]
        spans = parts[at + 4]
        groups = parts[at + 5]
        aggregates = parts[at + 6]
        address = addresses[blocks + index]
        head = ints_at(address, 0, HEAD)
        capacity = head[CAPACITY]
        start = HEAD + folds * FOLD_WIDTH
        second = tables + spans * SPAN_WIDTH
        third = second + groups * GROUP_WIDTH
        end = third + aggregates * TABLE_WIDTH
        time = ints_at(address, start, capacity)
        mask = ints_at(address, start + 2 * capacity, capacity * words).view(np.uint64).reshape(capacity, words)
        cols = ints_at(address, start + (2 + words) * capacity, capacity * columns).reshape(columns, capacity)
        n, first = head[COUNT], head[FOLDED_FIRST]
        fold = ints_at(address, HEAD, folds * FOLD_WIDTH).reshape(folds, FOLD_WIDTH)
        windows = parts[tables:second].reshape(spans, SPAN_WIDTH)
        passes = parts[second:third].reshape(groups, GROUP_WIDTH)
        table = parts[third:end].reshape(aggregates, TABLE_WIDTH)
        skip = row if index == stream else -1
        if n > SUMMARIZED and head[SUMMARY] != 0:
            memory = ints_at(head[SUMMARY], 0, ints_at(head[SUMMARY], 0, tree.HEAD)[tree.SIZE])
            own = (time, mask, cols, n, fold, first, windows, passes, table)
            evaluate_at(memory[tree.EVALUATE], *own, memory, t, skip, scratch, out)
        else:
            evaluate_stream_apart(time, mask, cols, n, fold, first, windows, passes, table, t, skip, scratch, out)
        tables = end


_evaluate_apart = apart(_evaluate)


@njit(
    ty.NONE(
        ty.INTS,
        ty.INTS,
        ty.INT,
        ty.INT,
        ty.INT,
        ty.INTS,
        ty.FLOATS,
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def evaluate_entity(part: Ints, addresses: Ints, t: int, stream: int, row: int, scratch: Ints, out: Floats) -> None:
    """Write what a part of a program reads of one entity into the program's row of aggregates.

    Args:
        part: `packed_tables`.
        addresses: int64[streams of the layout], the entity's blocks.
        t: The moment, µs.
        stream: The number of the observed event's stream in the layout, -1 for none.
        row: The observed event's number among the live events of that stream, -1 where it is none.
        scratch: int64[≥ `BoundPart.scratch_size`], overwritten.
        out: float64[aggregates of the program].
    """
    _evaluate_apart(part, 0, addresses, 0, t, stream, row, scratch, out)


@njit(ty.INT(ty.INTS), cache=True, nogil=True, error_model="numpy")
def most_events(addresses: Ints) -> int:
    """Return the most events that any of some blocks has room for."""
    most = 0
    for address in addresses:
        most = max(most, ints_at(address, 0, HEAD)[CAPACITY])
    return most


@njit(ty.INTS(ty.INTS), cache=True, nogil=True, error_model="numpy")
def spare(addresses: Ints) -> Ints:
    """Return for how many more events each block has room."""
    found = np.empty(len(addresses), np.int64)
    for number in range(len(addresses)):
        head = ints_at(addresses[number], 0, HEAD)
        found[number] = head[CAPACITY] - head[COUNT]
    return found


@inner
def _place(time: Ints, sequence: Ints, n: int, at_time: int, at_sequence: int) -> int:
    """Return where an event belongs by event time and sequence; `TIED` where only its id could tell."""
    low, high = 0, n
    while low < high:
        middle = (low + high) >> 1
        if time[middle] < at_time or (time[middle] == at_time and sequence[middle] < at_sequence):
            low = middle + 1
        else:
            high = middle
    if low < n and time[low] == at_time and sequence[low] == at_sequence:
        return TIED
    return low


@inner
def _insert(row: Ints, address: int, values: Ints) -> tuple[int, int]:
    """Add an event to a block that has room; return its number, or `TIED`, and the time of the oldest event."""
    words = row[R_WORDS]
    columns = row[R_COLUMNS]
    start = HEAD + row[R_FOLDS] * FOLD_WIDTH
    head = ints_at(address, 0, HEAD)
    n = head[COUNT]
    capacity = head[CAPACITY]
    block = ints_at(address, start, capacity * (2 + words + columns))
    time = block[:capacity]
    at = n
    if row[R_LAST] == 0:
        at = _place(time, block[capacity : 2 * capacity], n, row[R_TIME], row[R_SEQUENCE])
        if at == TIED:
            return TIED, 0
    for column in range(2 + words + columns):
        if _SCALARS <= column < _SCALARS + words:
            continue
        first = column * capacity
        for i in range(n, at, -1):
            block[first + i] = block[first + i - 1]
    masks = 2 * capacity
    for i in range(n * words - 1, at * words - 1, -1):
        block[masks + i + words] = block[masks + i]
    block[at] = row[R_TIME]
    block[capacity + at] = row[R_SEQUENCE]
    value = row[R_VALUES]
    for word in range(words):
        block[masks + at * words + word] = values[value + word]
    for column in range(columns):
        block[(2 + words + column) * capacity + at] = values[value + words + column]
    head[COUNT] = n + 1
    if at < n and head[SUMMARY] != 0:
        memory = ints_at(head[SUMMARY], 0, ints_at(head[SUMMARY], 0, tree.HEAD)[tree.SIZE])
        rolls = ints_at(memory[tree.ROLLS], 0, memory[tree.ROLLS_SIZE])
        mask = block[masks : masks + capacity * words].view(np.uint64).reshape(capacity, words)
        cols = block[masks + words * capacity : masks + (words + columns) * capacity].reshape(columns, capacity)
        note_at(memory[tree.NOTE], memory, rolls, time, mask, cols, at, 1)
    return at, block[0]


@njit(
    ty.NONE(
        ty.INTS,
        ty.INTS2,
        ty.INTS,
        ty.INTS,
        ty.INTS,
        ty.INTS2,
        ty.INTS,
        ty.INTS,
        ty.FLOATS,
        ty.INTS2,
        types.boolean,
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def run_rows(
    order: Ints,
    rows: Ints,
    values: Ints,
    addresses: Ints,
    floors: Ints,
    evaluations: Ints,
    parts: Ints,
    scratch: Ints,
    aggregates: Floats,
    found: Ints,
    joint: bool,  # noqa: FBT001 - Numba takes no keywords
) -> None:
    """Insert events one after another, and evaluate what each asks for as soon as it is there.

    An event that ties with another by time and sequence is left to the caller, and so is all that follows it of its
    entity. Calls whose orders share no entity may run at the same time.

    Args:
        order: int64[m], the rows to run, each entity's in order of position.
        rows: int64[n, ROW_WIDTH].
        values: int64[v], the events' masks and columns.
        addresses: int64[b], every entity's blocks, with room for its events.
        floors: int64[entities], the clock floor of each, raised in place; `WAITING` afterwards where events were left.
        evaluations: int64[e, EVALUATION_WIDTH]; their moments are written.
        parts: int64[p], `packed_tables` one after another.
        scratch: int64[≥ the parts' scratch sizes], overwritten.
        aggregates: float64[a], rows of aggregates one after another, written.
        found: int64[n, FOUND_WIDTH], written; `WAITS` before.
        joint: Whether events of other entities wait behind one that ties, too.
    """
    for number in order:
        row = rows[number]
        entity = row[R_ENTITY]
        if floors[entity] == WAITING:
            found[number, F_AT] = WAITS
            continue
        at, oldest = _insert(row, addresses[row[R_BLOCK]], values)
        found[number, F_AT] = at
        found[number, F_OLDEST] = oldest
        if at == TIED:
            if joint:
                return
            floors[entity] = WAITING
            continue
        moment = max(row[R_KNOWN], row[R_TIME])
        floors[entity] = max(floors[entity], moment)
        first = row[R_FIRST_EVALUATION]
        for item in range(first, first + row[R_EVALUATIONS]):
            how = evaluations[item, E_OBSERVED]
            t = moment if how > 0 else floors[entity]
            evaluations[item, E_AS_OF] = t
            _evaluate_apart(
                parts,
                evaluations[item, E_PART],
                addresses,
                evaluations[item, E_BLOCKS],
                t,
                row[R_STREAM] if how == 1 else -1,
                at,
                scratch,
                aggregates[evaluations[item, E_OUT] :],
            )
