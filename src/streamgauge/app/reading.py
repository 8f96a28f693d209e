"""Reads: features and scores of an entity at the newest position from its state, at any other from the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from streamgauge.app.answers import FeaturesAnswer, ScoreAnswer, iso, number, seconds
from streamgauge.app.fresh import FreshStates
from streamgauge.definitions.roles import keys_within, role_of
from streamgauge.definitions.schema import NULL
from streamgauge.errors import BeyondState, Inactive, NeedsEvent, UnknownName, close_match
from streamgauge.features.bind import BoundProgram
from streamgauge.features.layout import Layouts
from streamgauge.features.program import FeatureProgram
from streamgauge.features.vector import readable, timelines, vector_of_records, vector_of_states

if TYPE_CHECKING:
    from collections.abc import Container

    import numpy as np
    from numpy.typing import NDArray

    from streamgauge.app.live import LiveModel, LiveSet
    from streamgauge.clock import Clock
    from streamgauge.definitions.specs import ProjectSpec
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.state import EntityState
    from streamgauge.features.store import StateStore
    from streamgauge.log.port import Log


@dataclass(frozen=True, slots=True)
class Question:
    """What a read asks for; see `streamgauge.app.service.Service.features`.

    Attributes:
        entity: The entity key.
        as_of: The moment t in µs, or None.
        position: The position k, or None.
    """

    entity: str
    as_of: int | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a read found.

    Attributes:
        row: float64[columns] of the program.
        as_of: The moment t, µs.
        position: The position k.
        known_at: When the newest record up to k was learnt, µs.
    """

    row: NDArray[np.float64]
    as_of: int
    position: int
    known_at: int


class Newest(Protocol):
    """Knows the newest applied position."""

    @property
    def position(self) -> int:
        """The position."""

    @property
    def known_at(self) -> int:
        """The ``accepted_at`` of its record, µs."""


class Reader:
    """Answers reads from any thread; it never waits for the applying one."""

    def __init__(
        self,
        log: Log,
        store: StateStore,
        live: LiveSet,
        book: SchemaBook,
        newest: Newest,
        clock: Clock,
        pending: Container[str],
    ) -> None:
        """Keep what a read needs.

        Args:
            log: For older positions and moments.
            store: For the newest.
            live: What is served.
            book: The forms that records were written under.
            newest: Knows the newest applied position.
            clock: The present.
            pending: Entities whose stored state lacks imported history.
        """
        self._log = log
        self._live = live
        self._book = book
        self._fresh = FreshStates(log, store, live.layouts, book)
        self._newest = newest
        self._clock = clock
        self._pending = pending

    def model(self, name: str | None, *, entities: bool) -> LiveModel:
        """Return a model that is served, by name or because there is only one.

        Args:
            name: The model's name, or None.
            entities: Whether it must score entities rather than events.

        Raises:
            UnknownName: There is none, or more than one to choose from.
            NeedsEvent: The named model scores events.
        """
        models = self._live.models
        if name is not None:
            if name not in models:
                raise UnknownName(f'No model "{name}" is served. {close_match(name, models)} Train it, or reload.')
            if entities and models[name].observes_events:
                raise NeedsEvent(
                    f'Model "{name}" scores events of {models[name].serving.stream}: without one it has no score. '
                    "Send the event to /v1/decisions."
                )
            return models[name]
        chosen = self._live.grid_models() if entities else list(models.values())
        if not chosen:
            raise UnknownName("No model that scores entities is served. Train one: streamgauge train --model NAME.")
        if len(chosen) > 1 and entities:
            raise UnknownName(f"Several models score entities. Name one: {', '.join(m.name for m in chosen)}.")
        return chosen[0]

    def features(self, question: Question, model: LiveModel) -> FeaturesAnswer:
        """Return the features of a model's program, without those of roles that the entity does not tell."""
        reading = self.read(question, model.bound)
        program = model.loaded.program
        levels = program.categories()
        told = readable(model.bound, keys_within(question.entity)).tolist()
        values = {
            name: self._shown(value, levels.get(name))
            for name, value, tells in zip(program.names, reading.row.tolist(), told, strict=True)
            if tells and not name.startswith("active.")
        }
        return _answer(question, reading, model.name, values)

    def project_features(self, question: Question, project: ProjectSpec) -> FeaturesAnswer:
        """Return every feature that the project file defines for the entity's role, read from the log."""
        role = role_of(question.entity)
        specs = [spec for spec in project.features.values() if spec.role == role]
        program = FeatureProgram.of(specs, project.streams)
        bound = BoundProgram.of(program, Layouts.of([program]))
        reading = self._from_log(question, bound)
        values = {
            spec.name: self._shown(value, spec.levels) for spec, value in zip(specs, reading.row.tolist(), strict=True)
        }
        return _answer(question, reading, None, values)

    def score(self, question: Question, model: LiveModel) -> ScoreAnswer:
        """Return the score of an entity.

        Raises:
            Inactive: It is not in the model's population at that moment.
        """
        reading = self.read(question, model.bound)
        if not model.is_active(reading.row):
            raise Inactive(
                f'Entity "{question.entity.partition(":")[2]}" is not in the population of "{model.name}" as of '
                f"{iso(reading.as_of)}: the model's `active` condition is not true of it, so it has no score."
            )
        scores = model.scorer.score_many(model.inputs(reading.row.reshape(1, -1)))
        return ScoreAnswer(
            entity=question.entity.partition(":")[2],
            model=model.name,
            version=model.version,
            pd=float(scores.pd[0]),
            points=float(scores.points[0]),
            margin=float(scores.margin[0]),
            **_moment(reading),
        )

    def read(self, question: Question, bound: BoundProgram) -> Reading:
        """Return the columns of a live program.

        Raises:
            UnknownName: The log holds no record of the entity.
        """
        if question.position is None and question.entity not in self._pending:
            # Before the state: what is applied between the two is in the state, and is never claimed without it.
            applied, learnt = self._newest.position, self._newest.known_at
            states = self._states(question.entity, bound, applied)
            if states is not None:
                floor = max(state.clock_floor for state in states.values())
                as_of = max(self._clock.now_us(), floor) if question.as_of is None else question.as_of
                position = max(applied, *(state.last_position for state in states.values()))
                known_at = max(learnt, *(state.last_known_at for state in states.values()))
                try:
                    row = vector_of_states(bound, states, as_of, None, role_of(question.entity))
                    return Reading(row, as_of, position, known_at)
                except BeyondState:
                    pass
        return self._from_log(question, bound)

    def _states(self, entity: str, bound: BoundProgram, applied: int) -> dict[str, EntityState] | None:
        """Return the states that a program reads of what an entity tells, its own first.

        None where one is not there, or where several do not stand at one position.
        """
        keys = keys_within(entity)
        states = {}
        for role in dict.fromkeys([role_of(entity), *(part.role for part in bound.parts if part.role in keys)]):
            state = None if keys[role] in self._pending else self._fresh.state(keys[role], applied)
            if state is None:
                return None
            states[role] = state
        return states if len(states) == 1 or all(one.last_position <= applied for one in states.values()) else None

    def _from_log(self, question: Question, bound: BoundProgram) -> Reading:
        position = self._newest.position if question.position is None else question.position
        records = self._log.read_entity(question.entity, position)
        if not records:
            self._unknown(question)
        keys = {role: key for role, key in keys_within(question.entity).items() if key != question.entity}
        told = {question.entity: records} | {
            keys[part.role]: self._log.read_entity(keys[part.role], position)
            for part in bound.parts
            if part.role in keys
        }
        floor = max(max(record.known_at, record.event_time) for some in told.values() for record in some)
        as_of = question.as_of
        if as_of is None:
            as_of = floor if question.position is not None else max(self._clock.now_us(), floor)
        keys = {part.role: key for part in bound.parts for key in told if role_of(key) == part.role}
        cut = dict.fromkeys(keys, position)
        row = vector_of_records(bound, timelines(told.__getitem__, self._book), keys, as_of, cut, None)
        known = max(record.known_at for some in told.values() for record in some)
        known_at = max(self._newest.known_at, known) if question.position is None else known
        return Reading(row, as_of, position, known_at)

    def _unknown(self, question: Question) -> None:
        role, _, entity = question.entity.partition(":")
        when = "" if question.position is None else f" up to position {question.position}"
        raise UnknownName(f'The log holds no event of {role} "{entity}"{when}. Check the id, or ingest its events.')

    def _shown(self, value: float, levels: tuple[str, ...] | None) -> float | str | None:
        shown = number(value)
        if shown is None or levels is None:
            return shown
        if levels:
            return levels[int(shown)]
        return self._log.text_of(int(shown)) or shown


def _answer(
    question: Question, reading: Reading, model: str | None, values: dict[str, float | str | None]
) -> FeaturesAnswer:
    return FeaturesAnswer(entity=question.entity.partition(":")[2], model=model, features=values, **_moment(reading))


def _moment(reading: Reading) -> dict[str, Any]:
    known_at = reading.known_at if reading.known_at != NULL else 0
    return {
        "as_of": iso(reading.as_of),
        "position": reading.position,
        "known_at": iso(known_at),
        "lag": seconds(reading.as_of - known_at),
    }
