"""Rows of a dataset computed again, from the log cut by hand or with all that became known later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamgauge.features.backfill import Requests, backfill
from streamgauge.features.bind import BoundProgram
from streamgauge.features.decode import SchemaBook
from streamgauge.features.layout import Layout
from streamgauge.features.program import FeatureProgram
from streamgauge.features.state import EntityState
from streamgauge.features.timeline import Timeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamgauge.definitions.specs import ProjectSpec
    from streamgauge.events.record import Record
    from streamgauge.log.port import Log
    from streamgauge.models.dataset import Dataset
    from streamgauge.outcomes.events import Ints


def from_cut_log(project: ProjectSpec, dataset: Dataset, log: Log, rows: Ints) -> NDArray[np.float64]:
    """Return features float64[m, features] of some rows from a state that was given only the records each row knew.

    Nothing later is even read into the state, so a value that depends on later knowledge cannot come out the same.
    """
    bound = _bound(project, dataset)
    book = SchemaBook(log.schema)
    out = np.full((len(rows), bound.features), np.nan)
    kept: dict[int, list[Record]] = {}
    for place, row in enumerate(rows.tolist()):
        owner = int(dataset.entity[row])
        if owner not in kept:
            kept[owner] = _applied(bound, dataset, log, book, owner)
        known = [record for record in kept[owner] if _is_known(dataset, row, record)]
        if Timeline.of(bound.layout, [("", known)], book).rejected:  # an import has re-told an id: no plain cut exists
            out[place] = dataset.X[row]
            continue
        state = EntityState.rebuild(bound.layout, known, book, fold_after=2**62)
        out[place] = state.compute(bound, int(dataset.t[row]), _observed(dataset, row))
    return out


def in_hindsight(project: ProjectSpec, dataset: Dataset, log: Log, rows: Ints) -> NDArray[np.float64]:
    """Return features float64[m, features] of some rows as of their moments, knowing all up to the dataset's end."""
    observed = None if dataset.event_id is None else [_observed(dataset, row) for row in rows.tolist()]
    requests = Requests.of(
        [dataset.entities[owner] for owner in dataset.entity[rows].tolist()],
        dataset.t[rows],
        np.full(len(rows), dataset.last_position, np.int64),
        observed=observed,
    )
    return backfill(log, _bound(project, dataset), requests, up_to=dataset.last_position)


def _bound(project: ProjectSpec, dataset: Dataset) -> BoundProgram:
    program = FeatureProgram.of(dataset.model.features, project.streams)
    return BoundProgram.of(program, Layout.of([program]))


def _applied(bound: BoundProgram, dataset: Dataset, log: Log, book: SchemaBook, owner: int) -> list[Record]:
    """Return an entity's applied records: identity is decided over the whole log, before any cut."""
    records = log.read_entity(dataset.entities[owner], dataset.last_position)
    rejected = Timeline.of(bound.layout, [("", records)], book).rejected
    return [record for index, record in enumerate(records) if (0, index) not in rejected]


def _is_known(dataset: Dataset, row: int, record: Record) -> bool:
    if dataset.known == "final":
        return True
    if dataset.event_id is not None and not dataset.imported[row]:
        return record.position <= int(dataset.position[row])
    return (record.known_at, record.position) <= (int(dataset.known_at[row]), int(dataset.position[row]))


def _observed(dataset: Dataset, row: int) -> tuple[str, str] | None:
    stream = dataset.model.observe.stream
    return None if dataset.event_id is None or stream is None else (stream, dataset.event_id[row])
