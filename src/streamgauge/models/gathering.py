"""What a reading of the log gives a model: observations, features under their own cuts, events that become outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from streamgauge.events.roles import entities_of
from streamgauge.features.backfill import EARLIER, Requests, backfill_part
from streamgauge.features.bind import BoundProgram
from streamgauge.features.compute import finish_rows
from streamgauge.features.history import aggregate_part
from streamgauge.features.layout import EMPTY
from streamgauge.features.predicates import name_expressions
from streamgauge.features.program import FeatureProgram
from streamgauge.features.timeline import Timeline
from streamgauge.outcomes.events import StreamCollector, told_events
from streamgauge.outcomes.observations import Observations, grid_observations, join, observed_events
from streamgauge.outcomes.population import holds_many

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from streamgauge.definitions.specs import FeatureSpec, ModelSpec, ProjectSpec
    from streamgauge.events.record import Record
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.history import Observed
    from streamgauge.features.layout import Layouts
    from streamgauge.features.timeline import Identities
    from streamgauge.log.port import Log
    from streamgauge.outcomes.events import Ints, StreamEvents, ToldEvent


@dataclass(frozen=True, slots=True)
class ModelProgram:
    """The programs of a model.

    Attributes:
        computed: Its features, then further ones that were asked for.
        serving: Its features, then the columns that the population's predicate reads: what a server needs.
        population: The columns that the predicate reads, or None without one.
        active: The predicate over columns' names, or None.
    """

    computed: FeatureProgram
    serving: FeatureProgram
    population: FeatureProgram | None
    active: list[Any] | None

    def parts(self) -> list[FeatureProgram]:
        """Return the programs that a layout has to hold."""
        return [part for part in (self.computed, self.serving, self.population) if part is not None]


@dataclass(frozen=True, slots=True)
class Gathering:
    """What a chunk of entities gave.

    Attributes:
        owner: int64[m], each row's entity by its number in the chunk.
        observations: Of each entity.
        told: Of each entity, the events of the streams that outcomes are read from.
        aggregates: float64[m, aggregates of the computed features], those of the observed role's entities.
    """

    owner: Ints
    observations: list[Observations]
    told: list[dict[str, list[ToldEvent]]]
    aggregates: NDArray[np.float64]


class Gatherer:
    """Gathers the rows of one model, chunk by chunk; `gather` may run in any thread, `take` in one.

    Attributes:
        model: The model.
        program: Its programs.
        owners: Of each chunk taken, each row's entity.
        observations: Of each entity taken.
        parts: Of each chunk taken, its aggregates.
    """

    def __init__(
        self,
        project: ProjectSpec,
        model: ModelSpec,
        program: ModelProgram,
        layouts: Layouts,
        book: SchemaBook,
        last_position: int,
        moment: int,
    ) -> None:
        """Bind a model to the layouts of a reading."""
        self.model = model
        self.program = program
        self.owners: list[Ints] = []
        self.observations: list[Observations] = []
        self.parts: list[NDArray[np.float64]] = []
        self._layout = layouts.role(model.observe.role) or EMPTY
        self._book = book
        self._last_position = last_position
        self._moment = moment
        self._bound = BoundProgram.of(program.computed, layouts)
        self._population = None if program.population is None else BoundProgram.of(program.population, layouts)
        self._others = [part for part in self._bound.parts if part.role != model.observe.role]
        self._collectors = {name: StreamCollector(project.streams[name]) for name in label_streams(model)}

    @staticmethod
    def program_of(project: ProjectSpec, model: ModelSpec, extra: Sequence[FeatureSpec] = ()) -> ModelProgram:
        """Return the programs of a model."""
        names = {feature.name for feature in model.features}
        more = [feature for feature in extra if feature.name not in names]
        computed = FeatureProgram.of([*model.features, *more], project.streams)
        if model.observe.active is None:
            return ModelProgram(computed, FeatureProgram.of(model.features, project.streams), None, None)
        active, needed = name_expressions(model.observe.active, model.features, "active", model.observe.role)
        columns = [feature for feature in needed if feature.name not in names]
        return ModelProgram(
            computed=computed,
            serving=FeatureProgram.of([*model.features, *columns], project.streams),
            population=FeatureProgram.of(needed, project.streams),
            active=active,
        )

    def timeline(self, groups: list[tuple[str, list[Record]]]) -> Timeline:
        """Judge and decode the records of some entities, for every model of the reading."""
        return Timeline.of(self._layout, groups, self._book)

    def gather(self, timeline: Timeline) -> Gathering:
        """Return what some entities give the model."""
        wanted = {*self._collectors, *((self.model.observe.stream,) if self.model.observe.stream else ())}
        told = [
            {name: told_events(identities[name]) for name in wanted if name in identities}
            for identities in timeline.identities
        ]
        observations = [
            self._observe(identities, events) for identities, events in zip(timeline.identities, told, strict=True)
        ]
        observations = self._populated(timeline, observations)
        owner = _owners(observations)
        aggregates = self._aggregates(self._bound, timeline, owner, join(observations))
        return Gathering(owner, observations, told, aggregates)

    def take(self, entities: Ints, part: Gathering) -> None:
        """Keep what a chunk gave; ``entities`` are the numbers of its entities."""
        self.owners.append(entities[part.owner])
        self.observations += part.observations
        self.parts.append(part.aggregates)
        for name, collector in self._collectors.items():
            for number, told in zip(entities.tolist(), part.told, strict=True):
                collector.add(number, told.get(name, ()))

    def features(self, rows: Observations, log: Log, workers: int) -> NDArray[np.float64]:
        """Return features float64[n, computed features] of all rows, reading the entities of further roles now."""
        aggregates = np.concatenate(self.parts)
        for part in self._others:
            keys = rows.others[part.role]
            told = np.array([bool(key) for key in keys], np.bool_)
            for together, position, known in self._cuts(rows):
                chosen = told[together]
                index = together[chosen]
                if not len(index):
                    continue
                requests = Requests.of(
                    [keys[row] for row in index.tolist()],
                    rows.t[index],
                    position[chosen] if known is None else np.full(len(index), EARLIER, np.int64),
                    None if known is None else known[chosen],
                    self._observed(rows, index),
                )
                out = np.full((len(index), aggregates.shape[1]), np.nan)
                for _ in backfill_part(log, part, requests, out, up_to=self._last_position, workers=workers):
                    pass
                aggregates[index[:, None], part.outs] = out[:, part.outs]
        return _finished(self._bound, aggregates)

    def outcomes(self) -> dict[str, StreamEvents]:
        """Return the live events that outcomes are read from, by stream."""
        return {name: collector.events(self._book) for name, collector in self._collectors.items()}

    def _observe(self, identities: Mapping[str, Identities], told: dict[str, list[ToldEvent]]) -> Observations:
        observe = self.model.observe
        if observe.kind == "stream":
            events = told.get(str(observe.stream), ())
            return observed_events(events, [part.role for part in self._others], self._keys)
        applied = (record for part in identities.values() for record in part.records)
        return grid_observations(observe, applied, self._moment)

    def _populated(self, timeline: Timeline, observations: list[Observations]) -> list[Observations]:
        """Return the observations of active entities."""
        if self._population is None or self.program.active is None:
            return observations
        owner = _owners(observations)
        aggregates = self._aggregates(self._population, timeline, owner, join(observations))
        columns = _finished(self._population, aggregates)
        by_name = {name: columns[:, j] for j, name in enumerate(self._population.program.names)}
        active = holds_many(self.program.active, by_name, len(owner))
        ends = np.cumsum([len(one) for one in observations])[:-1]
        return [one.chosen(keep) for one, keep in zip(observations, np.split(active, ends), strict=True)]

    def _keys(self, record: Record) -> dict[str, str]:
        return entities_of(record, self._book.spec(record.schema))

    def _observed(self, rows: Observations, index: Ints) -> list[Observed | None] | None:
        stream = self.model.observe.stream
        if rows.event_ids is None or stream is None:
            return None
        return [(stream, rows.event_ids[row]) for row in index.tolist()]

    def _cuts(self, rows: Observations) -> Iterator[tuple[Ints, Ints, Ints | None]]:
        """Yield (rows, positions, knowledge moments or None): live ones are cut by position, others by knowledge."""
        if self.model.known == "final":
            yield np.arange(len(rows)), np.full(len(rows), self._last_position, np.int64), None
            return
        by_position = np.zeros(len(rows), np.bool_) if rows.event_ids is None else ~rows.imported
        index = np.flatnonzero(by_position)
        yield index, rows.position[index], None
        index = np.flatnonzero(~by_position)
        yield index, rows.position[index], rows.known_at[index]

    def _aggregates(
        self, bound: BoundProgram, timeline: Timeline, owner: Ints, rows: Observations
    ) -> NDArray[np.float64]:
        """Return the aggregates of the observed role's entities under each row's own cut, float64[n, aggregates]."""
        out = np.full((len(rows), bound.aggregates), np.nan)
        for part in bound.parts:
            if part.role != self.model.observe.role:
                continue
            for index, position, known in self._cuts(rows):
                if len(index):
                    own = np.full((len(index), bound.aggregates), np.nan)
                    where = (timeline, part, owner[index], rows.t[index], known, position)
                    aggregate_part(*where, self._observed(rows, index), own)
                    out[index] = own
        return out


def _finished(bound: BoundProgram, aggregates: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.empty((len(aggregates), bound.features))
    finish_rows(bound, aggregates, out)
    return out


def label_streams(model: ModelSpec) -> tuple[str, ...]:
    """Return the streams that a model's label reads."""
    label = model.label
    names = [label.bad.stream]
    if label.indeterminate is not None:
        names.append(label.indeterminate.stream)
    if label.starts_stream is not None:
        names.append(label.starts_stream)
    return tuple(dict.fromkeys(names))


def _owners(observations: Sequence[Observations]) -> Ints:
    return np.repeat(np.arange(len(observations)), [len(one) for one in observations])
