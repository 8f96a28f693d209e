"""Rows of a dataset computed again, from the log cut by hand or with all that became known later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamgauge.features.backfill import Requests, backfill
from streamgauge.features.bind import BoundProgram
from streamgauge.features.decode import SchemaBook
from streamgauge.features.layout import EMPTY, Layouts
from streamgauge.features.program import FeatureProgram
from streamgauge.features.state import EntityState
from streamgauge.features.timeline import Timeline
from streamgauge.features.vector import vector_of_states

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
    out = np.full((len(rows), bound.features), np.nan)
    applied = _Applied(dataset, log)
    role = dataset.model.observe.role
    for place, row in enumerate(rows.tolist()):
        states: dict[str, EntityState] = {}
        retold = False
        for part in bound.parts:
            key = entity_of(dataset, row, part.role)
            if key:
                known = [one for one in applied.records(key) if _is_known(dataset, row, one, part.role == role)]
                retold |= bool(Timeline.of(part.layout, [("", known)], applied.book).rejected)
                states[part.role] = EntityState.rebuild(part.layout, known, applied.book, fold_after=2**62)
        if retold:  # an import has re-told an id: no plain cut exists
            out[place] = dataset.X[row]
        else:
            out[place] = vector_of_states(bound, states, int(dataset.t[row]), _observed(dataset, row), role)
    return out


def in_hindsight(project: ProjectSpec, dataset: Dataset, log: Log, rows: Ints) -> NDArray[np.float64]:
    """Return features float64[m, features] of some rows as of their moments, knowing all up to the dataset's end."""
    observed = None if dataset.event_id is None else [_observed(dataset, row) for row in rows.tolist()]
    requests = Requests.of(
        [dataset.entities[owner] for owner in dataset.entity[rows].tolist()],
        dataset.t[rows],
        np.full(len(rows), dataset.last_position, np.int64),
        observed=observed,
        others={role: [keys[row] for row in rows.tolist()] for role, keys in dataset.others.items()},
    )
    return backfill(log, _bound(project, dataset), requests, up_to=dataset.last_position)


def _bound(project: ProjectSpec, dataset: Dataset) -> BoundProgram:
    program = FeatureProgram.of(dataset.model.features, project.streams)
    return BoundProgram.of(program, Layouts.of([program]))


class _Applied:
    """The applied records of entities: identity is decided over the whole log, before any cut."""

    def __init__(self, dataset: Dataset, log: Log) -> None:
        self.book = SchemaBook(log.schema)
        self._dataset = dataset
        self._log = log
        self._kept: dict[str, list[Record]] = {}

    def records(self, key: str) -> list[Record]:
        if key not in self._kept:
            records = self._log.read_entity(key, self._dataset.last_position)
            rejected = Timeline.of(EMPTY, [("", records)], self.book).rejected
            self._kept[key] = [record for index, record in enumerate(records) if (0, index) not in rejected]
        return self._kept[key]


def entity_of(dataset: Dataset, row: int, role: str) -> str:
    """Return the key of a row's entity of a role, empty where its event has none."""
    return dataset.others[role][row] if role in dataset.others else dataset.entities[int(dataset.entity[row])]


def _is_known(dataset: Dataset, row: int, record: Record, primary: bool) -> bool:  # noqa: FBT001 - of which entity
    if dataset.known == "final":
        return True
    if dataset.event_id is not None and not dataset.imported[row]:
        return record.position <= int(dataset.position[row])
    if not primary:
        return record.known_at < int(dataset.known_at[row])
    return (record.known_at, record.position) <= (int(dataset.known_at[row]), int(dataset.position[row]))


def _observed(dataset: Dataset, row: int) -> tuple[str, str] | None:
    stream = dataset.model.observe.stream
    return None if dataset.event_id is None or stream is None else (stream, dataset.event_id[row])
