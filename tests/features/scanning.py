"""A plain scan of the arrays of one entity: what blocks, batches and summaries are held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.bind import BoundProgram
from streamgauge.features.compute import finish_rows
from streamgauge.features.kernels.stream import evaluate_stream

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(slots=True)
class StreamArrays:
    """The live events of one stream of one entity, sorted by event time, sequence and id, all C-contiguous.

    Attributes:
        time: int64[≥ count], event times in µs.
        mask: uint64[≥ count, words], the bits of the layout's conditions.
        cols: int64[columns, ≥ count], the layout's columns.
        count: How many events there are; rows beyond are room.
        folds: int64[folds, FOLD_WIDTH], the accumulators of folded events.
        folded_first: The event time of the first folded event, NULL if none was folded.
    """

    time: IntArray
    mask: NDArray[np.uint64]
    cols: IntArray
    count: int
    folds: IntArray
    folded_first: int = NULL


def compute_one(
    bound: BoundProgram, streams: Mapping[str, StreamArrays], t: int, observed: tuple[str, int] | None = None
) -> FloatArray:
    """Return the features of one entity at one moment.

    Args:
        bound: The program, which reads one role.
        streams: The live events by stream; every stream of the bound layout.
        t: The moment, µs.
        observed: The observed event's stream and row, or None.

    Returns:
        float64[features], null is NaN.
    """
    aggs = np.empty((1, bound.aggregates), np.float64)
    out = np.empty((1, bound.features), np.float64)
    part = bound.only
    scratch = np.empty(part.scratch_size(max((one.count for one in streams.values()), default=0)), np.int64)
    for tables in part.streams:
        one = streams[tables.name]
        skip = observed[1] if observed is not None and observed[0] == tables.name else -1
        evaluate_stream(
            one.time,
            one.mask,
            one.cols,
            one.count,
            one.folds,
            one.folded_first,
            tables.spans,
            tables.groups,
            tables.table,
            t,
            skip,
            scratch,
            aggs[0],
        )
    finish_rows(bound, aggs, out)
    features: FloatArray = out[0]
    return features
