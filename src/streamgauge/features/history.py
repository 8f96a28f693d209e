"""What was known when: features at any moment under any cut, from the records themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.features.compute import finish_rows
from streamgauge.features.kernels.tree import SUMMARIZED
from streamgauge.features.summary import makes_summaries, new_rolls, new_summary
from streamgauge.features.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.events.record import Record
    from streamgauge.features.bind import BoundPart, BoundProgram, BoundStream
    from streamgauge.features.decode import Ints, SchemaBook
    from streamgauge.features.identity import Verdict
    from streamgauge.features.layout import Layout
    from streamgauge.features.timeline import StreamTimeline

Observed = tuple[str, str]
"""The stream and the id of an observed event."""

_WORTH_A_SUMMARY: Final = 16
"""For fewer moments of an entity each looks at the rows of its windows, however many those are."""


class EntityHistory:
    """One entity's records, read at moments of the past.

    Nothing is folded or forgotten here, so every (t, cut) has an answer; `EntityState` gives the same bits where it
    answers.

    Attributes:
        verdicts: What became of each record, in order of position.
    """

    def __init__(self, layout: Layout, records: Sequence[Record], book: SchemaBook) -> None:
        """Judge and decode an entity's records, given in order of position."""
        self._layout = layout
        self._timeline = Timeline.of(layout, [("", records)], book)
        rejected = self._timeline.rejected
        self.verdicts: list[Verdict] = [rejected.get((0, index), "applied") for index in range(len(records))]

    def at_positions(
        self, bound: BoundProgram, t: Ints, k: Ints, observed: Sequence[Observed | None] | None = None
    ) -> NDArray[np.float64]:
        """Return features under position cuts: the records with ``position ≤ k``.

        Args:
            bound: The program, bound to the history's layout.
            t: int64[m], the moments, µs.
            k: int64[m], the positions.
            observed: Each moment's observed event, or None.

        Returns:
            float64[m, features], NaN for null.
        """
        return features_of(self._timeline, bound, np.zeros(len(t), np.int64), t, None, k, observed)

    def at_moments(
        self,
        bound: BoundProgram,
        t: Ints,
        known: Ints,
        position: Ints,
        observed: Sequence[Observed | None] | None = None,
    ) -> NDArray[np.float64]:
        """Return features under knowledge cuts: the records with ``(known_at, position) ≤ (known, position)``.

        Args:
            bound: The program, bound to the history's layout.
            t: int64[m], the moments, µs.
            known: int64[m], the knowledge moments, µs.
            position: int64[m], the last positions among records known at that very moment.
            observed: Each moment's observed event, or None.

        Returns:
            float64[m, features], NaN for null.
        """
        return features_of(self._timeline, bound, np.zeros(len(t), np.int64), t, known, position, observed)


def features_of(
    timeline: Timeline,
    bound: BoundProgram,
    entity: Ints,
    t: Ints,
    known: Ints | None,
    position: Ints,
    observed: Sequence[Observed | None] | None,
    out: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return features of many entities of one role at many moments.

    Args:
        timeline: The entities' records.
        bound: The program, which reads one role, bound to the timeline's layout.
        entity: int64[m], each moment's entity by its number in the timeline.
        t: int64[m], the moments, µs.
        known: int64[m], the knowledge moments, µs; None for position cuts.
        position: int64[m], the positions of the cuts.
        observed: Each moment's observed event, or None.
        out: float64[m, features] to write to, C-contiguous; made where absent.

    Returns:
        float64[m, features], NaN for null.
    """
    if out is None:
        out = np.empty((len(t), bound.features), np.float64)
    if bound.direct is not None:
        aggregate_part(timeline, bound.direct, entity, t, known, position, observed, out)
        return out
    aggregates = np.empty((len(t), bound.aggregates), np.float64)
    aggregate_part(timeline, bound.only, entity, t, known, position, observed, aggregates)
    finish_rows(bound, aggregates, out)
    return out


def aggregate_part(
    timeline: Timeline,
    part: BoundPart,
    entity: Ints,
    t: Ints,
    known: Ints | None,
    position: Ints,
    observed: Sequence[Observed | None] | None,
    out: NDArray[np.float64],
) -> None:
    """Write what a part of a program reads, of many entities at many moments, into the program's rows of aggregates.

    Args:
        timeline: The records of the part's entities.
        part: The part, bound to the timeline's layout.
        entity: int64[m], each moment's entity of the part's role by its number in the timeline.
        t: int64[m], the moments, µs.
        known: int64[m], the knowledge moments, µs; None for position cuts.
        position: int64[m], the positions of the cuts; -1 with ``known`` for what was known strictly earlier.
        observed: Each moment's observed event, or None.
        out: float64[m, aggregates] of the whole program; the part's columns are written.
    """
    if part.layout.digest != timeline.layout.digest:
        raise ValueError("The program is bound to another layout than the records were decoded for.")
    first, second = (position, np.zeros(len(t), np.int64)) if known is None else (known, position)
    keys = [timeline.observed_keys(tables.name, entity, observed) for tables in part.streams]
    order = _order_of(entity, first, second, t)
    if order is not None:
        entity, first, second, t = entity[order], first[order], second[order], t[order]
        keys = [of_stream[order] for of_stream in keys]
    offsets = np.searchsorted(entity, np.arange(len(timeline.entities) + 1)).astype(np.int64)
    aggregates = out if order is None else np.empty_like(out)
    for tables, of_stream in zip(part.streams, keys, strict=True):
        stream = timeline.streams[tables.index]
        _aggregate_stream(stream, tables, (first, second, t, of_stream), offsets, known is not None, aggregates)
    if order is not None:
        out[order[:, None], part.outs] = aggregates[:, part.outs]


def _order_of(entity: Ints, first: Ints, second: Ints, t: Ints) -> Ints | None:
    """Return what sorts moments by entity, cut and time, None where they are sorted."""
    from streamgauge.features.ordering import ascend

    return None if ascend(entity, first, second, t) else np.lexsort((t, second, first, entity))


def _aggregate_stream(
    stream: StreamTimeline,
    tables: BoundStream,
    moments: tuple[Ints, Ints, Ints, Ints],
    offsets: Ints,
    by_knowledge: bool,  # noqa: FBT001 - which of two orders
    aggregates: NDArray[np.float64],
) -> None:
    """Write a stream's aggregates at moments sorted by entity, cut and time."""
    from streamgauge.features.kernels.roll import BLOCK, roll
    from streamgauge.features.kernels.rolling_entries import find_rolling

    cut = _cut_order(stream, by_knowledge=by_knowledge)
    plan = tables.rolling
    rolls = np.zeros(len(offsets) - 1, np.bool_)
    if len(plan.passes):
        find_rolling(stream.offsets, stream.event, stream.key, stream.live, offsets, moments[2], rolls)
    if rolls.any():
        largest = int(np.diff(stream.offsets)[rolls].max())
        roll(
            stream.offsets,
            *cut,
            stream.time,
            stream.rank,
            stream.mask,
            stream.cols,
            offsets,
            *moments,
            largest,
            plan.spans,
            plan.passes,
            plan.keys,
            plan.items,
            plan.columns,
            plan.stores,
            BLOCK,
            rolls,
            aggregates,
        )
    left = (plan.left_spans, plan.left_groups, plan.left_table)
    whole = (tables.spans, tables.groups, tables.table)
    asked = np.diff(offsets)
    large = (np.diff(stream.offsets) > SUMMARIZED) & (asked >= _WORTH_A_SUMMARY)
    if not (makes_summaries() and len(stream.layout.nodes) + len(stream.layout.rolls)):
        large[:] = False
    for wanted, parts in ((rolls, left), (~rolls, whole)):
        if len(parts[2]):
            small = np.flatnonzero(wanted & (asked > 0) & ~large)
            if len(small):
                _sweep_stream(stream, small, cut, moments, offsets, parts, tables, aggregates)
            for one in np.flatnonzero(wanted & large).reshape(-1, 1):
                _sweep_stream(stream, one, cut, moments, offsets, parts, tables, aggregates, summarized=True)


def _cut_order(stream: StreamTimeline, *, by_knowledge: bool) -> tuple[Ints, Ints, Ints]:
    """Return each entity's rows in the order of the cut, and by which pair a row is visible."""
    count = len(stream.position)
    if not by_knowledge:
        return np.arange(count), stream.position, np.zeros(count, np.int64)
    owner = np.repeat(np.arange(len(stream.offsets) - 1), np.diff(stream.offsets))
    from streamgauge.features.ordering import ascend

    ordered = ascend(owner, stream.known_at, stream.position, stream.position)
    order = np.arange(count) if ordered else np.lexsort((stream.position, stream.known_at, owner))
    return order, stream.known_at, stream.position


def _sweep_stream(  # noqa: PLR0913 - all that a sweep is told
    stream: StreamTimeline,
    entities: Ints,
    cut: tuple[Ints, Ints, Ints],
    moments: tuple[Ints, Ints, Ints, Ints],
    offsets: Ints,
    parts: tuple[Ints, Ints, Ints],
    tables: BoundStream,
    aggregates: NDArray[np.float64],
    *,
    summarized: bool = False,
) -> None:
    from streamgauge.features.kernels.sweep import sweep, work_size

    largest = int(np.diff(stream.offsets)[entities].max())
    summary = rolls = np.empty(0, np.int64)
    if summarized:
        rolls = new_rolls(stream.layout.rolls, largest)
        summary = new_summary(stream.layout.nodes, largest, rolls)
    sweep(
        entities,
        stream.offsets,
        *cut,
        stream.time,
        stream.rank,
        stream.event,
        stream.key,
        stream.revision,
        stream.live,
        stream.mask,
        stream.cols,
        offsets,
        *moments,
        largest,
        stream.layout.empty_folds(),
        *parts,
        summary,
        rolls,
        np.empty(tables.scratch_size(largest), np.int64),
        np.empty(work_size(largest, stream.mask.shape[1], stream.cols.shape[1]), np.int64),
        aggregates,
    )
