"""The sweep: records become visible in the order of a cut, and the kernel runs at each moment in between."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.events import array_types as ty
from streamgauge.features.block import ints_at
from streamgauge.features.kernels.stream import evaluate_stream_apart
from streamgauge.features.kernels.summaries import evaluate_at, note_at
from streamgauge.features.kernels.tree import EVALUATE, NOTE, SUMMARIZED

Ints = NDArray[np.int64]


_SCALARS: Final = 5


def work_size(largest: int, words: int, columns: int) -> int:
    """Return how many int64 values `sweep` works on, where an entity has at most so many rows."""
    return largest * (_SCALARS + words + columns)


@njit(cache=True, nogil=True)
def _place(ranks: Ints, n: int, rank: int) -> int:
    """Return the first of the sorted ``ranks[:n]`` that is not smaller."""
    low, high = 0, n
    while low < high:
        middle = (low + high) >> 1
        if ranks[middle] < rank:
            low = middle + 1
        else:
            high = middle
    return low


@njit(
    ty.NONE(
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_INTS,
        ty.READ_FLAGS,
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
        ty.INTS,
        ty.INTS,
        ty.INTS,
        ty.INTS,
        ty.FLOATS2,
    ),
    cache=True,
    nogil=True,
)
def sweep(
    entities: Ints,
    offsets: Ints,
    order: Ints,
    row_first: Ints,
    row_second: Ints,
    time: Ints,
    rank: Ints,
    event: Ints,
    key: Ints,
    revision: Ints,
    live: NDArray[np.bool_],
    mask: NDArray[np.uint64],
    cols: Ints,
    moment_offsets: Ints,
    moment_first: Ints,
    moment_second: Ints,
    moment_t: Ints,
    moment_key: Ints,
    largest: int,
    folds: Ints,
    spans: Ints,
    groups: Ints,
    table: Ints,
    summary: Ints,
    rolls: Ints,
    scratch: Ints,
    work: Ints,
    aggregates: NDArray[np.float64],
) -> None:
    """Compute one stream's aggregates of many entities at moments sorted by entity and cut.

    Args:
        entities: int64[e], the entities to compute.
        offsets: int64[entities + 1], each entity's rows.
        order: int64[n], the rows of each entity in the order of the cut.
        row_first: int64[n], and `row_second`: the place of a row in that order; it is visible to a moment whose pair is
            not smaller.
        row_second: int64[n].
        time: int64[n], event times, µs.
        rank: int64[n], the order of events within an entity.
        event: int64[n], the first row of the row's event, counted from the entity's first row.
        key: int64[n], the first row of the row's id, likewise.
        revision: int64[n].
        live: bool[n], whether the revision is no delete.
        mask: uint64[n, words].
        cols: int64[n, columns].
        moment_offsets: int64[entities + 1], each entity's moments.
        moment_first: int64[m].
        moment_second: int64[m].
        moment_t: int64[m], as of when, µs.
        moment_key: int64[m], the key of the observed event, -1 for none of this stream.
        largest: The greatest number of rows of an entity.
        folds: int64[folds, FOLD_WIDTH], empty accumulators.
        spans: `BoundStream.spans`.
        groups: `BoundStream.groups`.
        table: `BoundStream.table`.
        summary: A summary with room for the rows of the only entity (`streamgauge.features.summary`), or empty: then
            every moment looks at each row of its windows.
        rolls: What rolls along with it, or empty.
        scratch: int64[`BoundStream.scratch_size(largest)`], overwritten.
        work: int64[`work_size`], overwritten.
        aggregates: float64[m, aggregates]; the stream's are written.
    """
    columns = cols.shape[1]
    words = mask.shape[1]
    # Known by their address: Numba counts the references to an array at each slice of it.
    scratch = ints_at(scratch.ctypes.data, 0, len(scratch))
    spans = ints_at(spans.ctypes.data, 0, spans.size).reshape(spans.shape)
    groups = ints_at(groups.ctypes.data, 0, groups.size).reshape(groups.shape)
    table = ints_at(table.ctypes.data, 0, table.size).reshape(table.shape)
    folds = ints_at(folds.ctypes.data, 0, folds.size).reshape(folds.shape)
    summary = ints_at(summary.ctypes.data, 0, len(summary))
    rolls = ints_at(rolls.ctypes.data, 0, len(rolls))
    at_time = ints_at(work.ctypes.data, 0, largest)
    at_rank = ints_at(work.ctypes.data, largest, largest)
    current = ints_at(work.ctypes.data, 2 * largest, largest)
    highest = ints_at(work.ctypes.data, 3 * largest, largest)
    newest = ints_at(work.ctypes.data, 4 * largest, largest)
    at_mask = ints_at(work.ctypes.data, _SCALARS * largest, largest * words).view(np.uint64).reshape(largest, words)
    at_cols = ints_at(work.ctypes.data, (_SCALARS + words) * largest, columns * largest).reshape(columns, largest)
    for entity in entities:
        if moment_offsets[entity] == moment_offsets[entity + 1]:
            continue
        upcoming, stop = offsets[entity], offsets[entity + 1]
        for i in range(stop - upcoming):
            current[i] = -1
            highest[i] = -1
            newest[i] = -1
        n = 0
        for moment in range(moment_offsets[entity], moment_offsets[entity + 1]):
            while upcoming < stop:
                row = order[upcoming]
                if row_first[row] > moment_first[moment] or (
                    row_first[row] == moment_first[moment] and row_second[row] > moment_second[moment]
                ):
                    break
                upcoming += 1
                own = event[row]
                newest[key[row]] = max(newest[key[row]], own)
                if revision[row] <= highest[own]:
                    continue
                highest[own] = revision[row]
                if current[own] >= 0:
                    gone = _place(at_rank, n, rank[current[own]])
                    if len(summary):
                        note_at(summary[NOTE], summary, rolls, at_time, at_mask, at_cols, gone, -1)
                    n -= 1
                    for i in range(gone, n):
                        at_time[i] = at_time[i + 1]
                        at_rank[i] = at_rank[i + 1]
                        for word in range(words):
                            at_mask[i, word] = at_mask[i + 1, word]
                        for column in range(columns):
                            at_cols[column, i] = at_cols[column, i + 1]
                    current[own] = -1
                if not live[row]:
                    continue
                current[own] = row
                at = _place(at_rank, n, rank[row])
                for i in range(n, at, -1):
                    at_time[i] = at_time[i - 1]
                    at_rank[i] = at_rank[i - 1]
                    for word in range(words):
                        at_mask[i, word] = at_mask[i - 1, word]
                    for column in range(columns):
                        at_cols[column, i] = at_cols[column, i - 1]
                at_time[at] = time[row]
                at_rank[at] = rank[row]
                for word in range(words):
                    at_mask[at, word] = mask[row, word]
                for column in range(columns):
                    at_cols[column, at] = cols[row, column]
                n += 1
                if len(summary) and at < n - 1:
                    note_at(summary[NOTE], summary, rolls, at_time, at_mask, at_cols, at, 1)
            skip = -1
            if moment_key[moment] >= 0 and newest[moment_key[moment]] >= 0:
                observed = current[newest[moment_key[moment]]]
                if observed >= 0:
                    skip = _place(at_rank, n, rank[observed])
            rows = (at_time, at_mask, at_cols, n, folds, NULL, spans, groups, table)
            t, width = moment_t[moment], aggregates.shape[1]
            out = ints_at(aggregates.ctypes.data, moment * width, width).view(np.float64)
            if n > SUMMARIZED and len(summary):
                evaluate_at(summary[EVALUATE], *rows, summary, t, skip, scratch, out)
            else:
                evaluate_stream_apart(*rows, t, skip, scratch, out)
