"""From records to states and scores: one batch in, one commit out."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from streamgauge.app.answers import PublishedScore, iso
from streamgauge.app.gone import Gone
from streamgauge.definitions.roles import role_of
from streamgauge.errors import BeyondState, StateDamaged
from streamgauge.events.roles import entities_of, expand_all, is_primary
from streamgauge.features.build import fill_state
from streamgauge.features.rebuild import rebuild_store
from streamgauge.features.state import EntityState
from streamgauge.features.timeline import Timeline
from streamgauge.features.vector import vector_of_states
from streamgauge.log.refused import contradictions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from streamgauge.app.live import LiveModel, LiveSet
    from streamgauge.events.record import Record
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.identity import Verdict
    from streamgauge.features.store import StateStore
    from streamgauge.log.port import Log

logger = logging.getLogger(__name__)

_ENCODER: Final = msgspec.json.Encoder()


@dataclass(slots=True)
class Observed:
    """One score that an event led to.

    Attributes:
        model: The model.
        as_of: The moment t of the features, µs.
        features: float64[columns], the columns of the model's program.
        rules: float64[columns], the columns of its policy's rules, or None.
        positions: By role, the primary one first, the position that cuts what was known of its entity.
        margin: The raw margin.
        pd: The probability of default.
        points: The score in points.
    """

    model: LiveModel
    as_of: int
    features: NDArray[np.float64]
    rules: NDArray[np.float64] | None
    positions: dict[str, int]
    margin: float = 0.0
    pd: float = 0.0
    points: float = 0.0


@dataclass(slots=True)
class Applied:
    """What became of one record.

    Attributes:
        record: The record.
        verdict: Whether it was applied, was known, or contradicts what is known.
        scored: The scores it led to.
    """

    record: Record
    verdict: Verdict
    scored: list[Observed] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Write:
    """What one commit stores: contradictions among the judged records, states, scores and the watermark."""

    judged: list[tuple[Record, Verdict]]
    states: dict[str, bytes]
    outbox: list[bytes]
    watermark: int


class Applier:
    """Keeps states and scores up to the log. One thread at a time may call it."""

    def __init__(self, log: Log, store: StateStore, live: LiveSet, book: SchemaBook, *, cached: int) -> None:
        """Start at the store's watermark.

        Args:
            log: Where states are rebuilt from, and contradictions quarantined.
            store: The open store under the live layouts.
            live: What is served.
            book: The forms that records were written under.
            cached: How many entities' states are kept decoded.
        """
        self.live = live
        self.store = store
        self.watermark = store.watermark()
        self.pending: set[str] = set()
        self._log = log
        self._book = book
        self._cached = cached
        self._states: OrderedDict[str, EntityState] = OrderedDict()
        self._rejected: list[tuple[Record, Verdict]] = []
        self._unwritten: _Write | None = None
        self._gone = Gone(book)

    def apply(self, records: Sequence[Record]) -> list[Applied]:
        """Apply records in order of position, score what they lead to, and store both in one commit.

        An imported record changes what was known in the past and leads to no score: its entity is `pending` until it is
        rebuilt from the log, by its next live record or by `settle`. A record that the stored state has seen already is
        passed over.

        Raises:
            OSError: The disk refused. Everything was computed, nothing is stored: call `write` until it succeeds, and
                nothing else before.
        """
        applied = self.prepare(records)
        self.write()
        return applied

    def prepare(self, records: Sequence[Record], *, publish: bool = True) -> list[Applied]:
        """Compute what `apply` stores; `write` must follow. The scores may be ones that need not be published."""
        if not records:
            return []
        touched: dict[str, EntityState] = {}
        applied = [self._apply_one(record, touched) for record in records]
        self._score([one for one in applied if one.scored])
        self._unwritten = _Write(
            [*self._rejected, *((one.record, one.verdict) for one in applied)],
            {entity: state.encode() for entity, state in touched.items()},
            [_ENCODER.encode(score) for one in applied for score in published(one)] if publish else [],
            records[-1].position,
        )
        self._rejected = []
        return applied

    def write(self) -> None:
        """Store what was prepared, durably; where the disk refuses, it may be called again.

        Raises:
            OSError: The disk refused.
        """
        waiting = self._unwritten
        if waiting is None:
            return
        self.quarantine(waiting.judged)
        try:
            self.store.put_batch(waiting.states, waiting.outbox, waiting.watermark)
        except StateDamaged as error:
            self._renew(error)
            self.store.put_batch(waiting.states, waiting.outbox, waiting.watermark)
        self.watermark = waiting.watermark
        self._unwritten = None
        while len(self._states) > self._cached:
            self._states.popitem(last=False)

    def quarantine(self, judged: Iterable[tuple[Record, Verdict]]) -> None:
        """Put contradictions among judged records into the quarantine, each once, however often it is judged."""
        refused = contradictions(judged, self._book.spec)
        if refused:
            self._log.quarantine(refused)

    def forget(self) -> None:
        """Drop the decoded states: the store was written by another hand."""
        self._states.clear()
        self.watermark = self.store.watermark()

    def erase(self, entities: Sequence[str], gone: Sequence[str], up_to: int, drops: Callable[[bytes], bool]) -> int:
        """Forget what was erased from the log; return how many published scores went.

        Args:
            entities: Whose states are dropped; they come back from the log when they are needed.
            gone: Of these, the erased ones, whose records may still wait to be applied.
            up_to: Up to which position.
            drops: Picks the scores that go.
        """
        self._gone.add(gone, up_to)
        for entity in entities:
            self._states.pop(entity, None)
            self.pending.discard(entity)
        return self.store.erase(entities, drops)

    def _renew(self, error: StateDamaged) -> None:
        """Build a store that turned out to be damaged again from the log; reads take it from there meanwhile."""
        self.store.renew(str(error))
        logger.warning("%s It is built again from the log.", self.store.stale)
        if self.live.layouts.parts:
            rebuild_store(self._log, self.live.layouts, self.store, up_to=self.watermark)

    def expand(self, records: Iterable[Record]) -> list[Record]:
        """Return what the log keeps of events, in order, from the records it answered: one for each role and pair."""
        return list(expand_all(records, self._book.spec))

    def _apply_one(self, record: Record, touched: dict[str, EntityState]) -> Applied:
        if self._gone.covers(record) or not self._is_kept(record):
            return Applied(record, "applied")
        if record.imported:
            self.pending.add(record.entity)
            self._states.pop(record.entity, None)
            touched.pop(record.entity, None)
            return Applied(record, "applied")
        if record.entity in self.pending:
            self.pending.discard(record.entity)
            state = self._rebuilt(record.entity, record.position - 1)
        else:
            state = self._state(record.entity)
        if record.position <= state.last_position:
            return Applied(record, "duplicate")
        try:
            verdict = state.apply(record, self._book)
        except BeyondState:
            state = self._rebuilt(record.entity, record.position - 1)
            verdict = state.apply(record, self._book)
        touched[record.entity] = state
        one = Applied(record, verdict)
        if verdict == "applied":
            one.scored = self._observe(state, record, touched)
        return one

    def _is_kept(self, record: Record) -> bool:
        """Return whether anything needs the state that a record changes: a program, or its event's verdict."""
        spec = self._book.spec(record.schema)
        return is_primary(record, spec) or self.live.layouts.role(role_of(record.entity)) is not None

    def _state(self, entity: str) -> EntityState:
        state = self._states.get(entity)
        if state is not None:
            self._states.move_to_end(entity)
            return state
        # A state that is not stored is one nobody needed yet, or of an entity without records: the log tells.
        state = self._stored(entity) or self._from_log(entity, self.watermark)
        self._states[entity] = state
        return state

    def _stored(self, entity: str) -> EntityState | None:
        try:
            data = self.store.get(entity)
            return None if data is None else EntityState.decode(self.live.layouts.of_entity(entity), data)
        except StateDamaged:
            return None

    def _rebuilt(self, entity: str, up_to: int) -> EntityState:
        """Rebuild the state that a later record is to be applied to."""
        state = self._states[entity] = self._from_log(entity, up_to)
        return state

    def _from_log(self, entity: str, up_to: int) -> EntityState:
        records = self._log.read_entity(entity, up_to)
        layout = self.live.layouts.of_entity(entity)
        timeline = Timeline.of(layout, [(entity, records)], self._book)
        self._rejected += [(records[index], verdict) for (_, index), verdict in timeline.rejected.items()]
        return fill_state(EntityState(layout), timeline, 0, self._book)

    def _observe(self, state: EntityState, record: Record, touched: dict[str, EntityState]) -> list[Observed]:
        role = role_of(record.entity)
        as_of = max(record.known_at, record.event_time)
        scored = []
        for model in self.live.observers(record.stream, role):
            if model.observes_events:
                if not state.holds(record.stream, record.event_id):
                    continue
                event = (record.stream, record.event_id)
                states = self._together(state, record, model.roles(), touched)
                features = vector_of_states(model.bound, states, as_of, event, role)
                rules = None if model.rules is None else vector_of_states(model.rules, states, as_of, event, role)
                positions = {name: one.last_position for name, one in states.items()}
                scored.append(Observed(model, as_of, features, rules, positions))
                continue
            moment = max(as_of, state.clock_floor)
            features = state.compute(model.bound, moment)
            if model.is_active(features):
                scored.append(Observed(model, moment, features, None, {role: record.position}))
        return scored

    def _together(
        self, state: EntityState, record: Record, roles: Iterable[str], touched: dict[str, EntityState]
    ) -> dict[str, EntityState]:
        """Return the states of an event's entities by role, the primary one first; the others lack its own records."""
        states = {role_of(record.entity): state}
        further = [role for role in roles if role not in states]
        if further:
            keys = entities_of(record, self._book.spec(record.schema))
            for role in (name for name in further if name in keys):
                if keys[role] in self.pending:
                    self.pending.discard(keys[role])
                    states[role] = touched[keys[role]] = self._rebuilt(keys[role], record.position - 1)
                else:
                    states[role] = self._state(keys[role])
        return states

    def _score(self, applied: Sequence[Applied]) -> None:
        by_model: dict[str, list[Observed]] = {}
        for one in applied:
            for observed in one.scored:
                by_model.setdefault(observed.model.name, []).append(observed)
        for together in by_model.values():
            model = together[0].model
            scores = model.scorer.score_many(model.inputs(np.array([observed.features for observed in together])))
            for i, observed in enumerate(together):
                observed.margin = float(scores.margin[i])
                observed.pd = float(scores.pd[i])
                observed.points = float(scores.points[i])


def published(one: Applied) -> list[PublishedScore]:
    """Return the scores that a record led to, as they are published; equal for an equal record and model."""
    record = one.record
    return [
        PublishedScore(
            id=score_id(record.entity, record.position, observed.model),
            entity=record.entity.partition(":")[2],
            model=observed.model.name,
            version=observed.model.version,
            event_id=record.event_id,
            stream=record.stream,
            position=record.position,
            as_of=iso(observed.as_of),
            accepted_at=iso(record.accepted_at),
            pd=observed.pd,
            points=observed.points,
        )
        for observed in one.scored
    ]


def score_id(entity: str, position: int, model: LiveModel) -> str:
    """Return the deterministic id of a score."""
    key = f"{entity}\0{position}\0{model.loaded.artefact.program_sha256}\0{model.loaded.registered.sha256}"
    return hashlib.blake2b(key.encode(), digest_size=12).hexdigest()
