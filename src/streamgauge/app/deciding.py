"""Decisions: an event is appended, applied, scored, explained, judged, recorded durably, and only then answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from streamgauge.app.answers import DecisionAnswer, ReasonAnswer, iso
from streamgauge.app.applying import Observed
from streamgauge.app.engine import Submission
from streamgauge.decisions.explaining import reasons_of
from streamgauge.decisions.record import DecisionRecord, ModelVersion, PolicyVersion, Reason, Vector, digest_request
from streamgauge.decisions.replay import plain
from streamgauge.errors import DecisionConflict, EventRejected, UnknownName
from streamgauge.events.record import DELETE, Record
from streamgauge.events.render import render
from streamgauge.features.history import EntityHistory
from streamgauge.scoring.policy import Verdict, judge
from streamgauge.scoring.reasons import Baseline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamgauge.app.engine import Engine
    from streamgauge.app.intake import Intake
    from streamgauge.app.live import LiveModel, LiveSet
    from streamgauge.app.metrics import Metrics
    from streamgauge.clock import Clock
    from streamgauge.decisions.ledger import Entry, Ledger, Receipt
    from streamgauge.events.record import NewRecord
    from streamgauge.features.decode import SchemaBook
    from streamgauge.log.group_commit import GroupCommit
    from streamgauge.log.port import Log


@dataclass(frozen=True, slots=True)
class _Case:
    """One event to be decided: its record, and its features at its own position."""

    record: Record
    observed: Observed


class Decider:
    """Takes decisions; many may be under way at once on one event loop."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of the owner that a decision touches
        self,
        log: Log,
        ledger: Ledger,
        commits: GroupCommit[DecisionRecord, Receipt],
        engine: Engine,
        intake: Intake,
        live: LiveSet,
        book: SchemaBook,
        clock: Clock,
        metrics: Metrics,
        code_version: str,
    ) -> None:
        """Keep what a decision needs.

        Args:
            log: Where events known already are read from.
            ledger: Where decisions are found again.
            commits: Records them durably, those of several callers in one commit.
            engine: Appends and applies the event.
            intake: Validates it, and quarantines what is refused.
            live: The models and policies in force.
            book: The forms that records were written under.
            clock: When it was decided.
            metrics: Told of decisions.
            code_version: The version that decides.
        """
        self._log = log
        self._ledger = ledger
        self._engine = engine
        self._intake = intake
        self._live = live
        self._book = book
        self._clock = clock
        self._metrics = metrics
        self._code_version = code_version
        self._baselines: dict[str, Baseline] = {}
        self._commits = commits

    async def adecide(self, decision_id: str, event: Mapping[str, Any]) -> DecisionAnswer:
        """Decide an event; see `streamgauge.app.service.Service.decide`."""
        started = time.perf_counter()
        new = await self._validated(event)
        model = self._live.deciding(new.stream)
        if model is None or new.op == DELETE:
            raise UnknownName(
                f"No served model with a registered policy decides events of {new.stream}"
                f"{' that delete' if new.op == DELETE else ''}. Train one whose `observe` is {new.stream} and that "
                "has a Policy."
            )
        request = plain(render(new, self._intake.spec(new.stream)))
        digest = digest_request(request)
        earlier = self._ledger.get(decision_id)
        if earlier is not None:
            return self._repeated(earlier, digest)
        submission = Submission([new])
        [result] = await asyncio.wrap_future(self._engine.submit(submission))
        case = None
        if isinstance(result, Record):
            [applied] = await asyncio.wrap_future(submission.applied)
            if applied.verdict in {"conflict", "identity_changed"}:
                raise EventRejected(
                    f'Event "{new.event_id}" of {new.stream} is in the log with other content ({applied.verdict}); '
                    "there is no decision. Send a new event id, or a higher revision.",
                    reason=applied.verdict,
                )
            observed = next((one for one in applied.scored if one.model is model), None)
            case = None if observed is None else _Case(applied.record, observed)
        if case is None:
            case = await asyncio.to_thread(self._known, new, model)
        if case is None:
            detail = getattr(result, "detail", f'Event "{new.event_id}" of {new.stream} was deleted.')
            raise EventRejected(f"{detail} There is no decision.", reason=getattr(result, "reason", "deleted"))
        record = self._record(decision_id, request, digest, case)
        receipt = await asyncio.wrap_future(self._commits.submit(record))
        if not receipt.repeated:
            self._metrics.decided(receipt.record.outcome, time.perf_counter() - started)
        return answer_of(receipt.record, receipt.digest, receipt.seq, repeated=receipt.repeated)

    async def _validated(self, event: Mapping[str, Any]) -> NewRecord:
        [new] = self._intake.many([event])
        if isinstance(new, EventRejected):
            # The quarantine is a durable commit: other callers must not wait for it.
            await asyncio.to_thread(self._intake.refuse, [(event, new)])
            raise new
        return new

    def _repeated(self, earlier: Entry, digest: str) -> DecisionAnswer:
        record = earlier.require()
        if record.request_digest != digest:
            raise DecisionConflict(
                f'Decision id "{earlier.decision_id}" was used for event "{record.event_id}" with other content. '
                "Use a new decision id."
            )
        return answer_of(record, earlier.digest, earlier.seq, repeated=True)

    def _known(self, new: NewRecord, model: LiveModel) -> _Case | None:
        """Return an event that was in the log already, at the first position of just this revision and content."""
        records = self._log.read_entity(new.entity, self._log.last_position())
        versions = [one for one in records if (one.stream, one.event_id) == (new.stream, new.event_id)]
        record = next((one for one in versions if (one.revision, one.digest) == (new.revision, new.digest)), None)
        if record is None:
            return None
        live = max((one for one in versions if one.position <= record.position), key=lambda one: one.revision)
        if live.op == DELETE:
            return None
        history = EntityHistory(self._live.layouts.of_entity(new.entity), records, self._book)
        as_of = max(record.known_at, record.event_time)
        where = (np.array([as_of]), np.array([record.position]), [(new.stream, new.event_id)])
        observed = Observed(model, as_of, history.at_positions(model.bound, *where)[0], None)
        if model.rules is not None:
            observed.rules = history.at_positions(model.rules, *where)[0]
        scores = model.scorer.score_many(model.inputs(observed.features.reshape(1, -1)))
        observed.margin, observed.pd = float(scores.margin[0]), float(scores.pd[0])
        observed.points = float(scores.points[0])
        return _Case(record, observed)

    def _record(self, decision_id: str, request: dict[str, Any], digest: str, case: _Case) -> DecisionRecord:
        record, observed = case.record, case.observed
        model, policy = observed.model, observed.model.policy
        if policy is None:
            raise UnknownName(f'Model "{model.name}" has no registered policy any more. Register one and ask again.')
        names, values = _columns(observed)
        verdict = judge(policy, observed.pd, dict(zip(names, values.tolist(), strict=True)))
        inputs = model.inputs(observed.features.reshape(1, -1))
        artefact, now = model.loaded.artefact, self._clock.now_us()
        role, _, entity = record.entity.partition(":")
        return DecisionRecord(
            decision_id=decision_id,
            stream=record.stream,
            event_id=record.event_id,
            entities={role: entity},
            as_of=observed.as_of,
            positions={role: record.position},
            known_at=record.known_at,
            request=request,
            request_digest=digest,
            feature_names=names,
            features=Vector.of(values),
            model_input=Vector.of(model.scorer.encode(inputs)[0]),
            margin=observed.margin,
            pd=observed.pd,
            points=observed.points,
            grade=verdict.grade,
            outcome=verdict.outcome,
            reasons=self._reasons(observed, inputs, verdict),
            stage=verdict.stage,
            rules=tuple(rule.code for rule in verdict.fired),
            model=ModelVersion(name=model.name, version=str(model.version), sha256=model.loaded.registered.sha256),
            program_sha256=artefact.program_sha256,
            calibrator_sha256=artefact.calibrator.sha256,
            policy=PolicyVersion(name=policy.model, version=str(policy.version), sha256=policy.sha256),
            code_version=self._code_version,
            lag_us=now - record.accepted_at,
            wall_time_us=now,
        )

    def _reasons(self, observed: Observed, inputs: Any, verdict: Verdict) -> tuple[Reason, ...]:  # noqa: ANN401
        return reasons_of(observed.model.scorer, self._baseline(observed.model), verdict, inputs, observed.margin)

    def _baseline(self, model: LiveModel) -> Baseline:
        policy = model.policy
        key = model.loaded.registered.sha256 if policy is None else policy.sha256
        found = self._baselines.get(key)
        if found is None:
            source = model.loaded.artefact.baseline if policy is None else policy.baseline
            found = self._baselines[key] = msgspec.convert(source, Baseline)
        return found


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
