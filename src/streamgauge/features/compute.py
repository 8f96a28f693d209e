"""From the arrays of one entity to finished features: the glue that every host shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.bind import BoundPart, BoundProgram
from streamgauge.features.expressions import finish
from streamgauge.features.kernel import evaluate_stream
from streamgauge.features.layout import StreamLayout

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

    @classmethod
    def empty(cls, layout: StreamLayout) -> StreamArrays:
        """Return the arrays of a stream without events."""
        return cls(
            time=np.empty(0, np.int64),
            mask=np.empty((0, layout.words), np.uint64),
            cols=np.empty((len(layout.columns), 0), np.int64),
            count=0,
            folds=layout.empty_folds(),
        )


def compute_one(
    bound: BoundProgram,
    streams: Mapping[str, StreamArrays],
    t: int,
    observed: tuple[str, int] | None = None,
    scratch: IntArray | None = None,
) -> FloatArray:
    """Return the features of one entity at one moment.

    Args:
        bound: The program, which reads one role.
        streams: The live events by stream; every stream of the bound layout.
        t: The moment, µs.
        observed: The observed event's stream and row, or None.
        scratch: A buffer of at least `BoundProgram.scratch_size`; made where absent.

    Returns:
        float64[features], null is NaN.
    """
    aggs = np.empty((1, bound.aggregates), np.float64)
    out = np.empty((1, bound.features), np.float64)
    evaluate_part(bound.only, streams, t, aggs[0], observed, scratch)
    finish_rows(bound, aggs, out)
    features: FloatArray = out[0]
    return features


def evaluate_part(
    part: BoundPart,
    streams: Mapping[str, StreamArrays],
    t: int,
    row: FloatArray,
    observed: tuple[str, int] | None = None,
    scratch: IntArray | None = None,
) -> None:
    """Write what a part of a program reads of its role's entity into the program's row of aggregates.

    Args:
        part: The part.
        streams: The entity's live events by stream; every stream of the part's layout.
        t: The moment, µs.
        row: float64[aggregates] of the whole program; the part's columns are written.
        observed: The observed event's stream and row among this entity's events (-1 for none), or None.
        scratch: A buffer of at least `BoundPart.scratch_size`; made where absent.
    """
    if scratch is None:
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
            row,
        )


def finish_rows(bound: BoundProgram, aggs: FloatArray, out: FloatArray) -> None:
    """Compute features ``out`` float64[m, features] from aggregates float64[m, aggregates], both C-contiguous."""
    code = bound.expressions
    finish(code.code, code.starts, code.consts, code.depth, aggs, out)
