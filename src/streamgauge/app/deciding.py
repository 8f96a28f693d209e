"""Decisions: an event is appended, applied, scored, explained, judged, recorded durably, and only then answered."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from streamgauge.app.answers import DecisionAnswer, ReasonAnswer, iso
from streamgauge.app.engine import Submission
from streamgauge.app.outcome import Observed
from streamgauge.decisions.explaining import reasons_of_many
from streamgauge.decisions.record import DecisionRecord, ModelVersion, PolicyVersion, Reason, Vector, digest_request
from streamgauge.decisions.replay import plain
from streamgauge.definitions.roles import role_of
from streamgauge.errors import DecisionConflict, EventRejected, UnknownName
from streamgauge.events.record import DELETE, Record
from streamgauge.events.render import render
from streamgauge.events.roles import entities_of, role_ids
from streamgauge.features.vector import timelines, vector_of_records
from streamgauge.scoring.policy import RegisteredPolicy, Verdict, judge
from streamgauge.scoring.reasons import Baseline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streamgauge.app.engine import Engine
    from streamgauge.app.intake import Intake
    from streamgauge.app.live import LiveModel, LiveSet
    from streamgauge.app.metrics import Metrics
    from streamgauge.app.outcome import Applied
    from streamgauge.clock import Clock
    from streamgauge.decisions.ledger import Entry, Ledger, Receipt
    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.record import NewRecord
    from streamgauge.features.decode import SchemaBook
    from streamgauge.log.port import Log, Quarantined

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Asked:
    """One decision that is asked for.

    Attributes:
        decision_id: The caller's id of it.
        new: The validated event.
        request: The event in its canonical form, JSON values.
        digest: Of the request.
        started: When it was asked for, by `time.perf_counter`.
    """

    decision_id: str
    new: NewRecord
    request: dict[str, Any]
    digest: str
    started: float


@dataclass(frozen=True, slots=True)
class _Case:
    """One event to be decided: its record, and its features at its own position."""

    record: Record
    observed: Observed


class Decider:
    """Takes decisions, those of several callers together; one thread at a time may."""

    def __init__(
        self,
        log: Log,
        ledger: Ledger,
        engine: Engine,
        live: LiveSet,
        book: SchemaBook,
        clock: Clock,
        metrics: Metrics,
        code_version: str,
    ) -> None:
        """Keep what a decision needs.

        Args:
            log: Where events known already are read from.
            ledger: Where decisions are recorded, and found again.
            engine: Appends and applies the event.
            live: The models and policies in force.
            book: The forms that records were written under.
            clock: When it was decided.
            metrics: Told of decisions.
            code_version: The version that decides.
        """
        self._log = log
        self._ledger = ledger
        self._engine = engine
        self._live = live
        self._book = book
        self._clock = clock
        self._metrics = metrics
        self._code_version = code_version
        self._baselines: dict[str, Baseline] = {}
        self._calibrators: dict[str, str] = {}

    def model(self, new: NewRecord) -> LiveModel:
        """Return the model that decides an event.

        Raises:
            UnknownName: None does.
        """
        model = self._live.deciding(new.stream)
        if model is None or new.op == DELETE:
            raise UnknownName(
                f"No served model with a registered policy decides events of {new.stream}"
                f"{' that delete' if new.op == DELETE else ''}. Train one whose `observe` is {new.stream} and that "
                "has a Policy."
            )
        return model

    def decide_many(self, asked: Sequence[Asked]) -> list[DecisionAnswer | Exception]:
        """Decide several events: one append, one application, one record of them all; an error is its own caller's.

        Every event is durable before it is decided, and every record before this returns.
        """
        answers: dict[int, DecisionAnswer | Exception] = {}
        earlier = self._ledger.get_many([one.decision_id for one in asked])
        first: set[str] = set()
        fresh, again = [], []
        for i, one in enumerate(asked):
            found = earlier.get(one.decision_id)
            if found is not None:
                answers[i] = _caught(self._repeated, found, one)
            elif isinstance(refused := _caught(self.model, one.new), Exception):
                answers[i] = refused
            elif one.decision_id in first:
                again.append(i)
            else:
                first.add(one.decision_id)
                fresh.append(i)
        answers.update(zip(fresh, self._decide([asked[i] for i in fresh]), strict=True))
        if again:
            answers.update(zip(again, self.decide_many([asked[i] for i in again]), strict=True))
        return [answers[i] for i in range(len(asked))]

    def _decide(self, asked: Sequence[Asked]) -> list[DecisionAnswer | Exception]:
        if not asked:
            return []
        submission = Submission([one.new for one in asked])
        appended = self._engine.submit(submission)
        self._ledger.settle()  # while the events are being written
        results = appended.result()
        applied = iter(submission.applied.result())
        cases: list[_Case | Exception] = []
        for one, result in zip(asked, results, strict=True):
            mine = next(applied) if isinstance(result, Record) else None
            cases.append(_caught(self._case, one.new, result, mine))
        records = self._records(asked, cases)
        made = [record for record in records if isinstance(record, DecisionRecord)]
        started = time.perf_counter()
        kept = iter(self._ledger.append_each(made) if made else ())
        self._metrics.recorded(time.perf_counter() - started)
        return [
            self._answered(next(kept), one) if isinstance(record, DecisionRecord) else record
            for one, record in zip(asked, records, strict=True)
        ]

    def _answered(self, receipt: Receipt | Exception, asked: Asked) -> DecisionAnswer | Exception:
        if isinstance(receipt, Exception):
            return receipt
        if not receipt.repeated:
            self._metrics.decided(receipt.record.outcome, time.perf_counter() - asked.started)
        return answer_of(receipt.record, receipt.digest, receipt.seq, repeated=receipt.repeated)

    def _case(self, new: NewRecord, result: Record | Quarantined, applied: Applied | None) -> _Case:
        model = self.model(new)
        case = None
        if applied is not None:
            if applied.verdict in {"conflict", "identity_changed"}:
                raise EventRejected(
                    f'Event "{new.event_id}" of {new.stream} is in the log with other content ({applied.verdict}); '
                    "there is no decision. Send a new event id, or a higher revision.",
                    reason=applied.verdict,
                )
            observed = next((one for one in applied.scored if one.model is model), None)
            case = None if observed is None else _Case(applied.record, observed)
        if case is None:
            case = self._known(new, model)
        if case is None:
            detail = getattr(result, "detail", f'Event "{new.event_id}" of {new.stream} was deleted.')
            raise EventRejected(f"{detail} There is no decision.", reason=getattr(result, "reason", "deleted"))
        return case

    def _repeated(self, earlier: Entry, asked: Asked) -> DecisionAnswer:
        record = earlier.require()
        if record.request_digest != asked.digest:
            raise DecisionConflict(
                f'Decision id "{earlier.decision_id}" was used for event "{record.event_id}" with other content. '
                "Use a new decision id."
            )
        return answer_of(record, earlier.digest, earlier.seq, repeated=True)

    def _known(self, new: NewRecord, model: LiveModel) -> _Case | None:
        """Return an event that was in the log already, at the first position of just this revision and content."""
        newest = self._log.last_position()
        records = self._log.read_entity(new.entity, newest)
        versions = [one for one in records if (one.stream, one.event_id) == (new.stream, new.event_id)]
        record = next((one for one in versions if (one.revision, one.digest) == (new.revision, new.digest)), None)
        if record is None:
            return None
        live = max((one for one in versions if one.position <= record.position), key=lambda one: one.revision)
        if live.op == DELETE:
            return None
        observed = self._observed(record, model, newest)
        scores = model.scorer.score_many(model.inputs(observed.features.reshape(1, -1)))
        observed.margin, observed.pd = float(scores.margin[0]), float(scores.pd[0])
        observed.points = float(scores.points[0])
        return _Case(record, observed)

    def _observed(self, record: Record, model: LiveModel, newest: int) -> Observed:
        """Read an event's features from the log, as they were when its record was applied."""
        keys = entities_of(record, self._book.spec(record.schema))
        as_of, role = max(record.known_at, record.event_time), role_of(record.entity)
        read = cache(lambda key: self._log.read_entity(key, newest))
        positions = {role: record.position}
        for name in (one for one in model.roles() if one in keys):
            earlier = (one.position for one in read(keys[name]) if one.position <= record.position)
            positions.setdefault(name, max(earlier, default=0))
        where = (timelines(read, self._book), keys, as_of, positions, (record.stream, record.event_id))
        rules = None if model.rules is None else vector_of_records(model.rules, *where)
        return Observed(model, as_of, vector_of_records(model.bound, *where), rules, positions)

    def _records(self, asked: Sequence[Asked], cases: Sequence[_Case | Exception]) -> list[DecisionRecord | Exception]:
        """Return the records of the cases, in order; those of one model are explained together."""
        records: dict[int, DecisionRecord | Exception] = {}
        by_model: dict[LiveModel, list[tuple[int, _Case]]] = {}
        for i, case in enumerate(cases):
            if isinstance(case, Exception):
                records[i] = case
            else:
                by_model.setdefault(case.observed.model, []).append((i, case))
        for model, together in by_model.items():
            found = self._explained(model, [(asked[i], case) for i, case in together])
            records.update(zip((i for i, _ in together), found, strict=True))
        return [records[i] for i in range(len(cases))]

    def _explained(self, model: LiveModel, together: Sequence[tuple[Asked, _Case]]) -> list[DecisionRecord | Exception]:
        policy = model.policy
        if policy is None:
            gone = UnknownName(f'Model "{model.name}" has no registered policy any more. Register one and ask again.')
            return [gone] * len(together)
        observed = [case.observed for _, case in together]
        columns = [_columns(one) for one in observed]
        verdicts = [
            judge(policy, one.pd, dict(zip(names, values.tolist(), strict=True)))
            for one, (names, values) in zip(observed, columns, strict=True)
        ]
        inputs = model.inputs(np.array([one.features for one in observed]))
        margins = [one.margin for one in observed]
        try:
            reasons = reasons_of_many(model.scorer, self._baseline(model), verdicts, inputs, margins)
            encoded = model.scorer.encode(inputs)
        except Exception as error:  # noqa: BLE001 - the one at fault must not take the others with it
            if len(together) == 1:
                return [error]
            return [found for one in together for found in self._explained(model, [one])]
        return [
            self._record(one, case, columns[i], verdicts[i], reasons[i], Vector.of(encoded[i]), policy)
            for i, (one, case) in enumerate(together)
        ]

    def _record(
        self,
        asked: Asked,
        case: _Case,
        columns: tuple[tuple[str, ...], Any],
        verdict: Verdict,
        reasons: tuple[Reason, ...],
        model_input: Vector,
        policy: RegisteredPolicy,
    ) -> DecisionRecord:
        record, observed = case.record, case.observed
        model = observed.model
        artefact, now = model.loaded.artefact, self._clock.now_us()
        return DecisionRecord(
            decision_id=asked.decision_id,
            stream=record.stream,
            event_id=record.event_id,
            entities=role_ids(record, self._book.spec(record.schema)),
            as_of=observed.as_of,
            positions=observed.positions,
            known_at=record.known_at,
            request=asked.request,
            request_digest=asked.digest,
            feature_names=columns[0],
            features=Vector.of(columns[1]),
            model_input=model_input,
            margin=observed.margin,
            pd=observed.pd,
            points=observed.points,
            grade=verdict.grade,
            outcome=verdict.outcome,
            reasons=reasons,
            stage=verdict.stage,
            rules=tuple(rule.code for rule in verdict.fired),
            model=ModelVersion(name=model.name, version=str(model.version), sha256=model.loaded.registered.sha256),
            program_sha256=artefact.program_sha256,
            calibrator_sha256=self._calibrator(model),
            policy=PolicyVersion(name=policy.model, version=str(policy.version), sha256=policy.sha256),
            code_version=self._code_version,
            lag_us=now - record.accepted_at,
            wall_time_us=now,
        )

    def _calibrator(self, model: LiveModel) -> str:
        key = model.loaded.registered.sha256
        found = self._calibrators.get(key)
        if found is None:
            found = self._calibrators[key] = model.loaded.artefact.calibrator.sha256
        return found

    def _baseline(self, model: LiveModel) -> Baseline:
        policy = model.policy
        key = model.loaded.registered.sha256 if policy is None else policy.sha256
        found = self._baselines.get(key)
        if found is None:
            source = model.loaded.artefact.baseline if policy is None else policy.baseline
            found = self._baselines[key] = msgspec.convert(source, Baseline)
        return found


def ask(intake: Intake, decision_id: str, event: Mapping[str, Any]) -> Asked:
    """Return what is asked for, validated; nothing is quarantined yet.

    Raises:
        EventRejected: The event is not valid.
    """
    started = time.perf_counter()
    [new] = intake.many([event])
    if isinstance(new, EventRejected):
        raise new
    return Asked(decision_id, new, *canonical(new, intake.spec(new.stream)), started)


def default_id(event: Mapping[str, Any], streams: Mapping[str, StreamSpec]) -> str:
    """Return the decision id of an event that is decided without one.

    Raises:
        UnknownName: The event is of no declared stream, or has no id.
    """
    spec = streams.get(str(event.get("stream")))
    event_id = None if spec is None else event.get(spec.event_id)
    if spec is None or not isinstance(event_id, str):
        raise UnknownName("The event names no declared stream or has no id of its own: give the decision an --id.")
    return f"{spec.name}-{event_id}"


def canonical(new: NewRecord, spec: StreamSpec) -> tuple[dict[str, Any], str]:
    """Return an event's canonical form, JSON values, and its digest."""
    request = plain(render(new, spec))
    return request, digest_request(request)


def _caught(work: Callable[..., _T], *arguments: Any) -> _T | Exception:  # noqa: ANN401 - they are the function's
    """Return what a function returns, or what it raises."""
    try:
        return work(*arguments)
    except Exception as error:  # noqa: BLE001 - it belongs to one caller of several
        return error


def answer_of(record: DecisionRecord, digest: str, seq: int, *, repeated: bool) -> DecisionAnswer:
    """Return a recorded decision as it is answered."""
    return DecisionAnswer(
        decision_id=record.decision_id,
        outcome=record.outcome,
        stage=record.stage,
        pd=record.pd,
        points=record.points,
        grade=record.grade,
        reasons=[
            ReasonAnswer(code=one.code, text=one.text, contribution=one.contribution, features=list(one.features))
            for one in record.reasons
        ],
        rules=list(record.rules),
        model={"name": record.model.name, "version": record.model.version, "sha256": record.model.sha256},
        policy={"name": record.policy.name, "version": record.policy.version, "sha256": record.policy.sha256},
        entity=next(iter(record.entities.values())),
        event_id=record.event_id,
        as_of=iso(record.as_of),
        positions=dict(record.positions),
        decided_at=iso(record.wall_time_us),
        digest=digest,
        seq=seq,
        repeated=repeated,
    )


def _columns(observed: Observed) -> tuple[tuple[str, ...], Any]:
    """Return names and values of the model's columns and of the further ones that its policy's rules read."""
    names = observed.model.loaded.program.names
    if observed.rules is None or observed.model.loaded.rules is None:
        return names, observed.features
    known = set(names)
    further = [i for i, name in enumerate(observed.model.loaded.rules.names) if name not in known]
    all_names = names + tuple(observed.model.loaded.rules.names[i] for i in further)
    return all_names, np.concatenate([observed.features, observed.rules[further]])
