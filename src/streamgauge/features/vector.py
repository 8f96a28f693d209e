"""One row of features over the entities of one event: each part of the program over its own role's entity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamgauge.features.compute import finish_rows
from streamgauge.features.history import aggregate_part
from streamgauge.features.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streamgauge.events.record import Record
    from streamgauge.features.bind import BoundProgram
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.history import Observed
    from streamgauge.features.layout import Layout
    from streamgauge.features.state import EntityState


def vector_of_states(
    bound: BoundProgram, states: Mapping[str, EntityState], t: int, observed: Observed | None, primary: str
) -> NDArray[np.float64]:
    """Return features float64[features] as of a moment, each role's read from its entity's state, NaN for null.

    Args:
        bound: The program.
        states: By role or pair. What is read of a role without a state is null.
        t: The moment, µs.
        observed: The stream and the id of the observed event, or None.
        primary: Its primary role.

    Raises:
        BeyondState: A state no longer holds what the moment needs.
    """
    row = np.full((1, bound.aggregates), np.nan)
    for part in bound.parts:
        state = states.get(part.role)
        if state is not None:
            state.evaluate(part, t, row[0], observed, primary=part.role == primary)
    return _finished(bound, row)


def vector_of_records(
    bound: BoundProgram,
    timeline_of: Callable[[str, Layout], Timeline],
    keys: Mapping[str, str],
    t: int,
    positions: Mapping[str, int],
    observed: Observed | None,
) -> NDArray[np.float64]:
    """Return features float64[features] as of a moment, each role's read from its entity's records, NaN for null.

    Args:
        bound: The program.
        timeline_of: Returns the timeline of the entity with a key, alone, under a layout.
        keys: The entities' keys by role or pair. What is read of a role without a key is null.
        t: The moment, µs.
        positions: By role, the last position that is known.
        observed: The stream and the id of the observed event, or None.
    """
    row = np.full((1, bound.aggregates), np.nan)
    first = np.zeros(1, np.int64)
    for part in bound.parts:
        if part.role in keys:
            timeline = timeline_of(keys[part.role], part.layout)
            cut = np.array([positions[part.role]])
            aggregate_part(timeline, part, first, np.array([t]), None, cut, [observed], row)
    return _finished(bound, row)


def timelines(read: Callable[[str], Sequence[Record]], book: SchemaBook) -> Callable[[str, Layout], Timeline]:
    """Return what reads an entity's timeline from its records, given in order of position by ``read(key)``."""
    return lambda key, layout: Timeline.of(layout, [(key, read(key))], book)


def readable(bound: BoundProgram, roles: Mapping[str, object]) -> NDArray[np.bool_]:
    """Return which features bool[features] read no other roles than some."""
    absent = {out for part in bound.parts if part.role not in roles for out in part.outs.tolist()}
    trees = bound.program.expressions
    return np.array([absent.isdisjoint(_aggregates(tree)) for tree in trees], np.bool_)


def _aggregates(tree: object) -> set[int]:
    if not isinstance(tree, tuple):
        return set()
    if tree[0] == "agg":
        return {tree[1]}
    return {number for part in tree[1:] for number in _aggregates(part)}


def _finished(bound: BoundProgram, row: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.empty((1, bound.features), np.float64)
    finish_rows(bound, row, out)
    features: NDArray[np.float64] = out[0]
    return features
