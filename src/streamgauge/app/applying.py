"""From records to states and scores: one batch in, one commit out."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamgauge.app.gone import Gone
from streamgauge.app.outcome import Outcome, Scored
from streamgauge.app.states import Limits, States
from streamgauge.definitions.roles import role_of
from streamgauge.errors import BeyondState, StateDamaged
from streamgauge.events.roles import entities_of, expand_all, is_primary
from streamgauge.features.asking import Programs, Trigger
from streamgauge.features.batch import Batch, apply_all
from streamgauge.features.rebuild import rebuild_store
from streamgauge.features.vector import timelines, vector_of_records, vector_of_states
from streamgauge.log.refused import contradictions
from streamgauge.outcomes.population import holds_many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from streamgauge.app.live import LiveModel, LiveSet
    from streamgauge.events.record import Record
    from streamgauge.features.asking import Evaluated
    from streamgauge.features.bind import BoundProgram
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.identity import Verdict
    from streamgauge.features.state import EntityState
    from streamgauge.features.store import StateStore
    from streamgauge.log.port import Log

    Floats = NDArray[np.float64]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Write:
    """What one commit stores: contradictions among the judged records, scores and the applied position."""

    judged: list[tuple[Record, Verdict]]
    outbox: list[bytes]
    applied: int


class Applier:
    """Keeps states and scores up to the log. One thread at a time may call it.

    Attributes:
        live: What is served.
        states: The states of the entities at work.
        pending: Entities whose states lack imported history.
        gone: Erased entities, whose records may still wait to be applied.
    """

    def __init__(
        self,
        log: Log,
        store: StateStore,
        live: LiveSet,
        book: SchemaBook,
        *,
        limits: Limits,
        workers: int,
        old: Applier | None = None,
    ) -> None:
        """Start at the store's applied position.

        Args:
            log: Where states are rebuilt from, and contradictions quarantined.
            store: The open store under the live layouts.
            live: What is served.
            book: The forms that records were written under.
            limits: How far stored states may be behind, and how much memory decoded ones take.
            workers: How many threads share a batch.
            old: The one that applied to the same store until now: its states go on.
        """
        self.live = live
        self.states: States = States(log, store, live.layouts, book, limits) if old is None else old.states
        self.pending: set[str] = set()
        self._log = log
        self._book = book
        self._workers = workers
        self._pool = ThreadPoolExecutor(max(1, workers - 1), thread_name_prefix="applying")
        self._asking = _Asking(live)
        self._unwritten: _Write | None = None
        self.gone: Gone = Gone(book) if old is None else old.gone

    @property
    def store(self) -> StateStore:
        """The store of states and scores."""
        return self.states.store

    @property
    def applied(self) -> int:
        """The position up to which every record is in the states, and every score in the store."""
        return self.states.applied

    def apply(self, records: Sequence[Record]) -> Outcome:
        """Apply records in order of position, score what they lead to, and store the scores in one commit.

        An imported record changes what was known in the past and leads to no score: its entity is `pending` until it is
        rebuilt from the log, by its next live record or by `settle`. A record that the state has seen already is passed
        over.

        Raises:
            OSError: The disk refused. Everything was computed, nothing is stored: call `write` until it succeeds, and
                nothing else before.
        """
        outcome = self.prepare(records)
        self.write()
        return outcome

    def prepare(self, records: Sequence[Record], *, publish: bool = True) -> Outcome:
        """Compute what `apply` stores; `write` must follow. The scores may be ones that need not be published."""
        if not records:
            return Outcome(records)
        run = _Run(self.live, records)
        first = records[0].position
        kept: list[int] = []
        plain = {number for number in {one.schema for one in records} if not self._book.spec(number).other_roles}
        for number, record in enumerate(records):
            if self.gone.covers(record) or (record.schema not in plain and not self._concerns(record)):
                continue
            if not record.imported:
                kept.append(number)
                continue
            self._apply_some(kept, run, first)
            kept = []
            self.pending.add(record.entity)
            self.states.drop(record.entity, first)
        self._apply_some(kept, run, first)
        outcome = run.outcome()
        self._unwritten = _Write(
            [*self.states.rejected, *outcome.judged()],
            outcome.bodies() if publish else [],
            records[-1].position,
        )
        self.states.rejected = []
        return outcome

    def write(self) -> None:
        """Store what was prepared; where the disk refuses, it may be called again.

        Raises:
            OSError: The disk refused.
        """
        waiting = self._unwritten
        if waiting is None:
            return
        self.quarantine(waiting.judged)
        try:
            self.store.put_batch({}, waiting.outbox, applied=waiting.applied)
        except StateDamaged as error:
            self._renew(error)
            self.store.put_batch({}, waiting.outbox, applied=waiting.applied)
        self.states.advance(waiting.applied)
        self._unwritten = None

    def checkpoint(self, *, everything: bool = False) -> int:
        """Write some of the states that are due to the store; return how many.

        Raises:
            OSError: The disk refused; nothing was written.
        """
        try:
            return self.states.checkpoint(pending=self.pending, everything=everything)
        except StateDamaged as error:
            self._renew(error)
            return 0

    def quarantine(self, judged: Iterable[tuple[Record, Verdict]]) -> None:
        """Put contradictions among judged records into the quarantine, each once, however often it is judged."""
        refused = contradictions(judged, self._book.spec)
        if refused:
            self._log.quarantine(refused)

    def erase(self, entities: Sequence[str], gone: Sequence[str], up_to: int, drops: Callable[[bytes], bool]) -> int:
        """Forget what was erased from the log; return how many published scores went.

        Args:
            entities: Whose states are dropped; they come back from the log when they are needed.
            gone: Of these, the erased ones, whose records may still wait to be applied.
            up_to: Up to which position.
            drops: Picks the scores that go.
        """
        self.gone.add(gone, up_to)
        self.states.stored(entities)
        self.pending.difference_update(entities)
        return self.store.erase(entities, drops)

    def expand(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return what the log keeps of events, in order, from the records it answered: one for each role and pair."""
        if not any(self._book.spec(number).other_roles for number in {record.schema for record in records}):
            return records
        return list(expand_all(records, self._book.spec))

    def close(self) -> None:
        """Write every state, and end the threads. The store stays open.

        Raises:
            OSError: The disk refused.
        """
        try:
            while self._unwritten is None and self.checkpoint(everything=True):
                pass
            self.note()
        finally:
            self.end()

    def note(self) -> None:
        """Store that no stored state lacks what a rebuild has brought it; where it cannot be, a start looks again.

        Raises:
            OSError: The disk refused.
        """
        try:
            self.states.note()
        except StateDamaged as error:
            self._renew(error)

    def end(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _renew(self, error: StateDamaged) -> None:
        """Build a store that turned out to be damaged again from the log; reads take it from there meanwhile."""
        self.store.renew(str(error))
        logger.warning("%s It is built again from the log.", self.store.stale)
        if self.live.layouts.parts:
            rebuild_store(self._log, self.live.layouts, self.store, up_to=self.applied)

    def _concerns(self, record: Record) -> bool:
        """Return whether anything needs the state that a record changes: a program, or its event's verdict."""
        spec = self._book.spec(record.schema)
        return is_primary(record, spec) or self.live.layouts.role(role_of(record.entity)) is not None

    def _apply_some(self, numbers: Sequence[int], run: _Run, first: int) -> None:
        """Apply the live records of those numbers."""
        if not numbers:
            return
        whole = len(numbers) == len(run.records)
        records = run.records if whole else [run.records[number] for number in numbers]
        entities = dict.fromkeys([one.entity for one in records])
        self.states.fetch([one for one in entities if one not in self.pending] if self.pending else entities)
        apply_all(
            records,
            self._begin,
            lambda batch: self._together(batch, numbers, run, first),
            lambda number: self._alone(numbers[number], run, first),
        )

    def _begin(self) -> Batch:
        return Batch(
            self._asking.programs,
            self._book,
            self._asking.of,
            lambda entity: None if entity in self.pending else self.states.get(entity),
            self._keys if self._asking.joint else None,
        )

    def _keys(self, record: Record) -> dict[str, str]:
        return entities_of(record, self._book.spec(record.schema))

    def _together(self, batch: Batch, numbers: Sequence[int], run: _Run, first: int) -> None:
        """Apply the plain inserts among some records."""
        evaluated = batch.run(self._pool, self._workers)
        self.states.touch(batch.touched(), first)
        run.add(evaluated, self._asking, numbers, batch)

    def _alone(self, number: int, run: _Run, first: int) -> None:
        """Apply a record by itself."""
        record = run.records[number]
        if record.entity in self.pending:
            self.pending.discard(record.entity)
            state = self.states.rebuild(record.entity, record.position - 1)
        else:
            state = self.states.get(record.entity)
        if record.position <= state.last_position:
            run.verdicts[number] = "duplicate"
            return
        try:
            verdict = state.apply(record, self._book)
        except BeyondState:
            state = self.states.rebuild(record.entity, record.position - 1)
            verdict = state.apply(record, self._book)
        self.states.touch([(record.entity, 1)], first)
        if verdict == "applied":
            self._observe(state, number, run)
        else:
            run.verdicts[number] = verdict

    def _observe(self, state: EntityState, number: int, run: _Run) -> None:
        record = run.records[number]
        role = role_of(record.entity)
        as_of = max(record.known_at, record.event_time)
        for model in self.live.observers(record.stream, role):
            if not model.observes_events:
                moment = max(as_of, state.clock_floor)
                run.add_one(model, number, moment, state.compute(model.bound, moment), None)
            elif state.holds(record.stream, record.event_id):
                states = self._states(state, record, model.roles())
                features = self._vector(model.bound, states, record, as_of)
                rules = None if model.rules is None else self._vector(model.rules, states, record, as_of)
                run.add_one(model, number, as_of, features, rules)
                if len(states) > 1:
                    run.positions[number] = {name: one.last_position for name, one in states.items()}

    def _vector(self, bound: BoundProgram, states: Mapping[str, EntityState], record: Record, as_of: int) -> Floats:
        """Return a program's features of an observed event over its entities' states."""
        event, role = (record.stream, record.event_id), role_of(record.entity)
        try:
            return vector_of_states(bound, states, as_of, event, role)
        except BeyondState:  # a clock that leapt and came back has folded, at another entity, what is needed now
            keys = {name: key for name, key in self._keys(record).items() if name in states}
            read = timelines(lambda key: self._log.read_entity(key, record.position), self._book)
            positions = {name: state.last_position for name, state in states.items()}
            return vector_of_records(bound, read, keys, as_of, positions, event)

    def _states(self, state: EntityState, record: Record, roles: Iterable[str]) -> dict[str, EntityState]:
        """Return the states of an event's entities by role, the primary one first; the others lack its own records."""
        states = {role_of(record.entity): state}
        further = [role for role in roles if role not in states]
        if further:
            keys = self._keys(record)
            for role in (name for name in further if name in keys):
                if keys[role] in self.pending:
                    self.pending.discard(keys[role])
                    states[role] = self.states.rebuild(keys[role], record.position - 1)
                    self.states.touch([(keys[role], 1)], record.position)
                else:
                    states[role] = self.states.get(keys[role])
        return states


class _Asking:
    """The live programs, and which of them an event of a stream makes evaluate at a role."""

    def __init__(self, live: LiveSet) -> None:
        self._live = live
        self.models: list[tuple[LiveModel, int, int]] = []
        bound: list[BoundProgram] = []
        for model in live.models.values():
            own, rules = len(bound), -1
            bound.append(model.bound)
            if model.rules is not None and model.observes_events:
                rules = len(bound)
                bound.append(model.rules)
            self.models.append((model, own, rules))
        self.programs = Programs(bound)
        self.joint = any(len(model.roles()) > 1 for model in live.models.values())
        self._known: dict[tuple[str, str], list[Trigger]] = {}

    def of(self, stream: str, role: str) -> list[Trigger]:
        """Return what an event of a stream asks for at a role."""
        found = self._known.get((stream, role))
        if found is None:
            observers = self._live.observers(stream, role)
            found = self._known[stream, role] = [
                Trigger(program, observed=model.observes_events)
                for model, own, rules in self.models
                if model in observers
                for program in (own, rules)
                if program >= 0
            ]
        return found


class _Run:
    """What a batch of records leads to, as it is gathered."""

    def __init__(self, live: LiveSet, records: Sequence[Record]) -> None:
        self.records = records
        self.verdicts: dict[int, Verdict] = {}
        self.positions: dict[int, dict[str, int]] = {}
        self._models = list(live.models.values())
        self._parts: dict[str, list[tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats | None]]] = {}
        self._ones: dict[str, list[tuple[int, int, Floats, Floats | None]]] = {}

    def add(self, evaluated: Sequence[Evaluated], asking: _Asking, numbers: Sequence[int], batch: Batch) -> None:
        """Add what was evaluated together; the rows are numbered among the records that concern states."""
        place = np.array(numbers, np.int64)
        for model, own, rules in asking.models:
            found = evaluated[own]
            if len(found.rows):
                part = (
                    place[found.rows],
                    found.as_of,
                    found.features,
                    evaluated[rules].features if rules >= 0 else None,
                )
                self._parts.setdefault(model.name, []).append(part)
        for number, positions in batch.positions.items():
            self.positions[numbers[number]] = positions

    def add_one(self, model: LiveModel, number: int, as_of: int, features: Floats, rules: Floats | None) -> None:
        """Add one record's evaluation."""
        self._ones.setdefault(model.name, []).append((number, as_of, features, rules))

    def outcome(self) -> Outcome:
        """Score everything, each model's rows in one call, and return it."""
        scored = [one for model in self._models if (one := self._scored(model)) is not None]
        return Outcome(self.records, self.verdicts, scored)

    def _scored(self, model: LiveModel) -> Scored | None:
        parts, ones = self._parts.get(model.name, []), self._ones.get(model.name, [])
        if ones:
            rules = None if ones[0][3] is None else np.array([one[3] for one in ones])
            numbers, moments = (np.array([one[at] for one in ones], np.int64) for at in (0, 1))
            parts = [*parts, (numbers, moments, np.array([one[2] for one in ones]), rules)]
        if not parts:
            return None
        rows, as_of, features = (np.concatenate([part[at] for part in parts]) for at in range(3))
        rules = np.concatenate([part[3] for part in parts if part[3] is not None]) if parts[0][3] is not None else None
        order = np.argsort(rows, kind="stable")
        if not model.observes_events and model.serving.active is not None:
            columns = {name: features[:, at] for at, name in enumerate(model.loaded.program.names)}
            order = order[holds_many(model.serving.active, columns, len(features))[order]]
        if not len(order):
            return None
        rows, as_of, features = rows[order], as_of[order], features[order]
        scores = model.scorer.score_many(model.inputs(features))
        rules = None if rules is None else rules[order]
        return Scored(model, rows, as_of, features, rules, self.positions, scores.margin, scores.pd, scores.points)
