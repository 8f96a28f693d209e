"""What a reading of the log gives a model: observations, features under their own cuts, events that become outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from streamgauge.features.bind import BoundProgram
from streamgauge.features.history import features_of
from streamgauge.features.predicates import name_expressions
from streamgauge.features.program import FeatureProgram
from streamgauge.features.timeline import Timeline
from streamgauge.outcomes.events import StreamCollector, told_events
from streamgauge.outcomes.observations import Observations, grid_observations, join, observed_events
from streamgauge.outcomes.population import holds_many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streamgauge.definitions.specs import FeatureSpec, ModelSpec, ProjectSpec
    from streamgauge.events.record import Record
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.layout import Layout
    from streamgauge.features.timeline import Identities
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
        X: float64[m, computed features].
    """

    owner: Ints
    observations: list[Observations]
    told: list[dict[str, list[ToldEvent]]]
    X: NDArray[np.float64]


class Gatherer:
    """Gathers the rows of one model, chunk by chunk; `gather` may run in any thread, `take` in one.

    Attributes:
        model: The model.
        program: Its programs.
        owners: Of each chunk taken, each row's entity.
        observations: Of each entity taken.
        parts: Of each chunk taken, its features.
    """

    def __init__(
        self,
        project: ProjectSpec,
        model: ModelSpec,
        program: ModelProgram,
        layout: Layout,
        book: SchemaBook,
        last_position: int,
        moment: int,
    ) -> None:
        """Bind a model to the layout of a reading."""
        self.model = model
        self.program = program
        self.owners: list[Ints] = []
        self.observations: list[Observations] = []
        self.parts: list[NDArray[np.float64]] = []
        self._layout = layout
        self._book = book
        self._last_position = last_position
        self._moment = moment
        self._bound = BoundProgram.of(program.computed, layout)
        self._population = None if program.population is None else BoundProgram.of(program.population, layout)
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
        return Gathering(owner, observations, told, self._features(self._bound, timeline, owner, join(observations)))

    def take(self, entities: Ints, part: Gathering) -> None:
        """Keep what a chunk gave; ``entities`` are the numbers of its entities."""
        self.owners.append(entities[part.owner])
        self.observations += part.observations
        self.parts.append(part.X)
        for name, collector in self._collectors.items():
            for number, told in zip(entities.tolist(), part.told, strict=True):
                collector.add(number, told.get(name, ()))

    def outcomes(self) -> dict[str, StreamEvents]:
        """Return the live events that outcomes are read from, by stream."""
        return {name: collector.events(self._book) for name, collector in self._collectors.items()}

    def _observe(self, identities: dict[str, Identities], told: dict[str, list[ToldEvent]]) -> Observations:
        observe = self.model.observe
        if observe.kind == "stream":
            return observed_events(told.get(str(observe.stream), ()))
        applied = (record for part in identities.values() for record in part.records)
        return grid_observations(observe, applied, self._moment)

    def _populated(self, timeline: Timeline, observations: list[Observations]) -> list[Observations]:
        """Return the observations of active entities."""
        if self._population is None or self.program.active is None:
            return observations
        owner = _owners(observations)
        columns = self._features(self._population, timeline, owner, join(observations))
        by_name = {name: columns[:, j] for j, name in enumerate(self._population.program.names)}
        active = holds_many(self.program.active, by_name, len(owner))
        ends = np.cumsum([len(one) for one in observations])[:-1]
        return [one.chosen(keep) for one, keep in zip(observations, np.split(active, ends), strict=True)]

    def _features(
        self, bound: BoundProgram, timeline: Timeline, owner: Ints, rows: Observations
    ) -> NDArray[np.float64]:
        """Return features under each row's own cut: live observations by position, others by knowledge."""
        stream = self.model.observe.stream
        observed = None if rows.event_ids is None or stream is None else [(stream, event) for event in rows.event_ids]
        if self.model.known == "final":
            everything = np.full(len(rows), self._last_position, np.int64)
            return features_of(timeline, bound, owner, rows.t, None, everything, observed)
        by_position = np.zeros(len(rows), np.bool_) if observed is None else ~rows.imported
        out = np.full((len(rows), bound.features), np.nan)
        for chosen, known in ((by_position, None), (~by_position, rows.known_at)):
            index = np.flatnonzero(chosen)
            if len(index):
                out[index] = features_of(
                    timeline,
                    bound,
                    owner[index],
                    rows.t[index],
                    None if known is None else known[index],
                    rows.position[index],
                    None if observed is None else [observed[i] for i in index.tolist()],
                )
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
