"""Replay: a decision is recomputed from its record and from the log, and whatever differs is named.

From the record alone: the model's margin and PD of the recorded vector, the policy's outcome of the recorded PD. From
the log: every feature, bit for bit, at the recorded moment under the recorded position, and the request itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streamgauge.decisions.explaining import reasons_of
from streamgauge.definitions.roles import keys_of
from streamgauge.errors import AdditivityError, LedgerBroken, LogDamaged, ModelError, StreamgaugeError
from streamgauge.events.render import render
from streamgauge.features.bind import BoundProgram
from streamgauge.features.layout import Layouts
from streamgauge.features.program import FeatureProgram
from streamgauge.features.timeline import Timeline
from streamgauge.features.vector import vector_of_records
from streamgauge.scoring.policy import judge
from streamgauge.scoring.reasons import TOLERANCE, Baseline
from streamgauge.scoring.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from streamgauge.decisions.ledger import Entry, Ledger
    from streamgauge.decisions.record import DecisionRecord
    from streamgauge.events.record import Record
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.layout import Layout
    from streamgauge.log.port import Log
    from streamgauge.models.registry import Registry
    from streamgauge.scoring.policy import RegisteredPolicy, Verdict

MARGIN_TOLERANCE: Final = 1e-12
PD_UNIT: Final = 1e-9
_HALF: Final = 0.5


@dataclass(frozen=True, slots=True)
class Difference:
    """One decision that does not replay.

    Attributes:
        seq: Its number in the ledger.
        decision_id: Its id.
        changed: Which of ``data model policy code ledger`` changed, in that order.
        detail: What differs.
    """

    seq: int
    decision_id: str
    changed: tuple[str, ...]
    detail: str


@dataclass(slots=True)
class ReplayReport:
    """What a verification found.

    Attributes:
        checked: How many decisions were recomputed.
        match: How many of them came out the same.
        erased: How many were erased on purpose.
        chain: ``intact``, or what is broken and where.
        differences: Every decision that differs.
    """

    checked: int = 0
    match: int = 0
    erased: int = 0
    chain: str = "intact"
    differences: list[Difference] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything matched and the chain is intact."""
        return not self.differences and self.chain == "intact"


@dataclass(slots=True)
class _Version:
    """A model version ready to be recomputed, or why it is not there."""

    scorer: Scorer | None = None
    program: FeatureProgram | None = None
    digest: str = ""
    inputs: NDArray[np.intp] | None = None
    changed: str = ""
    detail: str = ""


def lost_to_erasure(log: Log, cuts: Iterable[tuple[str, int]]) -> bool:
    """Return whether an entity lost a record, up to the position given with it, to the erasure of another one."""
    return any((first := log.thinned(key)) is not None and first <= cut for key, cut in cuts)


class Replay:
    """Recomputes decisions; one run keeps the versions it has loaded."""

    def __init__(self, log: Log, ledger: Ledger | None, registry: Registry, book: SchemaBook) -> None:
        """Keep where everything is read from; without a ledger single records are recomputed."""
        self._log = log
        self._ledger = ledger
        self._registry = registry
        self._book = book
        self._models: dict[tuple[str, str], _Version] = {}
        self._policies: dict[tuple[str, str], RegisteredPolicy | None] = {}
        self._bound: dict[str, BoundProgram] = {}
        self._timelines: dict[tuple[str, str], Timeline] = {}
        self._records: dict[str, Sequence[Record]] = {}
        self._newest = 0
        self._damaged = ""
        self._erased = 0

    def recompute(self, decision: DecisionRecord) -> Difference | None:
        """Return how one decision differs when recomputed, or None where it does not, or could not for an erasure."""
        entity = next(f"{role}:{one}" for role, one in decision.entities.items())
        return next(iter(self._records_of(entity, [decision])), None)

    def run(self, last: int | None, progress: Callable[[int, int], None]) -> ReplayReport:
        """Recompute the newest decisions, or all, and check the whole chain.

        Args:
            last: How many of the newest; None for all.
            progress: Told how many are done, of how many.
        """
        if self._ledger is None:
            raise LedgerBroken("There is no ledger to verify.")
        report = ReplayReport()
        self._erased = 0
        chain = self._ledger.verify_chain()
        if not chain.ok:
            broken = chain.broken
            report.chain = "broken" if broken is None else f"{broken.kind} at entry {broken.seq}: {broken.detail}"
        entries = self._ledger.last(last) if last is not None else list(self._ledger.iterate())
        by_entity: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.status == "erased":
                report.erased += 1
            elif entry.record is None:
                report.checked += 1
                report.differences.append(
                    Difference(entry.seq, entry.decision_id, ("ledger",), "The stored record is not the chained one.")
                )
            else:
                role, entity = next(iter(entry.record.entities.items()))
                by_entity.setdefault(f"{role}:{entity}", []).append(entry)
        done = report.checked
        for entity, together in by_entity.items():
            for difference in self._records_of(entity, [entry.require() for entry in together]):
                report.differences.append(difference)
            done += len(together)
            progress(done, len(entries))
        report.checked = done - self._erased
        report.erased += self._erased
        report.match = report.checked - len(report.differences)
        report.differences.sort(key=lambda difference: difference.seq)
        return report

    def _records_of(self, entity: str, decisions: Sequence[DecisionRecord]) -> Iterable[Difference]:
        self._newest = max(max(decision.positions.values()) for decision in decisions)
        self._timelines.clear()
        self._records.clear()
        for decision in decisions:
            self._damaged = ""
            found = self._one(decision, self._read(entity))
            if self._damaged:
                found["data"] = self._damaged
            if found.keys() == {"data"} and not self._damaged and self._lost_to_erasure(decision):
                self._erased += 1
            elif found:
                changed = tuple(part for part in ("data", "model", "policy", "code", "ledger") if part in found)
                yield Difference(decision.seq or 0, decision.decision_id, changed, " ".join(found.values()))

    def _lost_to_erasure(self, decision: DecisionRecord) -> bool:
        """Return whether one of a decision's entities has lost records, that it saw, to the erasure of another one."""
        keys = keys_of(decision.entities).items()
        return lost_to_erasure(self._log, ((key, decision.positions.get(role, 0)) for role, key in keys))

    def _read(self, entity: str) -> Sequence[Record]:
        """Return an entity's records up to the newest decision being replayed; none where the log is damaged."""
        found = self._records.get(entity)
        if found is None:
            try:
                found = self._log.read_entity(entity, self._newest)
            except LogDamaged as error:
                self._damaged = str(error)
                return []
            self._records[entity] = found
        return found

    def _timeline(self, entity: str, layout: Layout) -> Timeline:
        """Return an entity's timeline under a layout."""
        found = self._timelines.get((entity, layout.digest))
        if found is None:
            found = Timeline.of(layout, [(entity, self._read(entity))], self._book)
            self._timelines[entity, layout.digest] = found
        return found

    def _one(self, decision: DecisionRecord, records: Sequence[Record]) -> dict[str, str]:
        found: dict[str, str] = {}
        version = self._model(decision)
        if version.changed:
            found[version.changed] = version.detail
        if version.program is not None and version.digest != decision.program_sha256:
            found["code"] = (
                f"The feature program is {version.digest[:12]}… with this version of the kernel, "
                f"{decision.program_sha256[:12]}… was recorded by Streamgauge {decision.code_version}."
            )
        policy = self._policy(decision)
        if policy is None:
            found["policy"] = f"Policy version {decision.policy.version} ({decision.policy.sha256[:12]}…) is not there."
        self._check_request(decision, records, found)
        if version.program is not None:
            self._check_features(decision, version, policy, found)
        if version.scorer is not None and version.inputs is not None:
            self._check_score(decision, version.scorer, version.inputs, found)
        if policy is not None:
            verdict = self._check_policy(decision, policy, found)
            if version.scorer is not None and version.inputs is not None:
                self._check_reasons(decision, policy, verdict, version.scorer, version.inputs, found)
        return found

    def _check_request(self, decision: DecisionRecord, records: Sequence[Record], found: dict[str, str]) -> None:
        position = next(iter(decision.positions.values()))
        record = next((one for one in records if one.position == position), None)
        if record is None:
            found["data"] = f"The log has no record at position {position}."
            return
        if plain(render(record, self._book.spec(record.schema))) != decision.request:
            found["data"] = f"The event at position {position} is not the one that was decided."

    def _check_features(
        self,
        decision: DecisionRecord,
        version: _Version,
        policy: RegisteredPolicy | None,
        found: dict[str, str],
    ) -> None:
        programs = [version.program]
        if policy is not None and policy.program is not None:
            programs.append(FeatureProgram.from_canonical(policy.program))
        values: dict[str, float] = {}
        for program in programs:
            if program is not None:
                row = self._row(program, decision)
                values = {**dict(zip(program.names, row.tolist(), strict=True)), **values}
        recorded = decision.features.array
        try:
            again = np.array([values[name] for name in decision.feature_names], "<f8")
        except KeyError as error:
            found["policy"] = f"The policy reads no feature {error} any more."
            return
        differing = np.flatnonzero(again.view(np.int64) != recorded.view(np.int64))
        if len(differing):
            first = int(differing[0])
            found.setdefault(
                "data",
                f"{len(differing)} features differ when read from the log, the first {decision.feature_names[first]}: "
                f"{float(recorded[first])!r} recorded, {float(again[first])!r} now.",
            )

    def _row(self, program: FeatureProgram, decision: DecisionRecord) -> NDArray[np.float64]:
        bound = self._bound.get(program.digest)
        if bound is None:
            bound = self._bound[program.digest] = BoundProgram.of(program, Layouts.of([program]))
        keys = {role: key for role, key in keys_of(decision.entities).items() if role in decision.positions}
        observed = (decision.stream, decision.event_id)
        return vector_of_records(bound, self._timeline, keys, decision.as_of, decision.positions, observed)

    def _check_score(
        self, decision: DecisionRecord, scorer: Scorer, inputs: NDArray[np.intp], found: dict[str, str]
    ) -> None:
        X = np.ascontiguousarray(decision.features.array[inputs].reshape(1, -1), np.float64)
        scores = scorer.score_many(X)
        margin, pd = float(scores.margin[0]), float(scores.pd[0])
        if abs(margin - decision.margin) > MARGIN_TOLERANCE:
            found.setdefault("model", f"The margin is {margin!r}, {decision.margin!r} was recorded.")
        if abs(pd - decision.pd) > (1 + _HALF) * PD_UNIT:
            found.setdefault("model", f"The PD is {pd!r}, {decision.pd!r} was recorded.")
        if float(scores.points[0]) != decision.points:
            found.setdefault("model", f"The points are {float(scores.points[0])!r}, {decision.points!r} was recorded.")
        coded = scorer.encode(X)[0]
        if not np.array_equal(coded, decision.model_input.array, equal_nan=True):
            found.setdefault("model", "The model sees the recorded features differently.")

    @staticmethod
    def _check_policy(decision: DecisionRecord, policy: RegisteredPolicy, found: dict[str, str]) -> Verdict:
        values = {name: float("nan") if value is None else value for name, value in decision.feature_values().items()}
        verdict = judge(policy, decision.pd, values)
        now = (verdict.outcome, verdict.grade, verdict.stage, tuple(rule.code for rule in verdict.fired))
        then = (decision.outcome, decision.grade, decision.stage, decision.rules)
        if now != then:
            found.setdefault("policy", f"The policy says {_told(*now)}; {_told(*then)} was recorded.")
        return verdict

    @staticmethod
    def _check_reasons(
        decision: DecisionRecord,
        policy: RegisteredPolicy,
        verdict: Verdict,
        scorer: Scorer,
        inputs: NDArray[np.intp],
        found: dict[str, str],
    ) -> None:
        X = np.ascontiguousarray(decision.features.array[inputs].reshape(1, -1), np.float64)
        try:
            again = reasons_of(scorer, msgspec.convert(policy.baseline, Baseline), verdict, X, decision.margin)
        except AdditivityError as error:
            found.setdefault("model", str(error))
            return
        now, then = [reason.code for reason in again], [reason.code for reason in decision.reasons]
        apart = [abs(a.contribution - b.contribution) for a, b in zip(again, decision.reasons, strict=False)]
        if now != then or max(apart, default=0.0) > TOLERANCE:
            # Model and policy have their recorded hashes: what explains them has changed.
            found.setdefault("code", f"The reasons are {', '.join(now)}; {', '.join(then)} were recorded.")

    def _model(self, decision: DecisionRecord) -> _Version:
        key = (decision.model.name, decision.model.sha256)
        if key not in self._models:
            self._models[key] = self._load(decision)
        return self._models[key]

    def _load(self, decision: DecisionRecord) -> _Version:
        name, sha256 = decision.model.name, decision.model.sha256
        try:
            registered = self._registry.by_sha256(name, sha256)
            if registered is None:
                return _Version(changed="model", detail=f"Model {name} {sha256[:12]}… is not there.")
            artefact = self._registry.load(registered)
            program = FeatureProgram.from_canonical(artefact.program)
            places = {column: place for place, column in enumerate(program.names)}
            inputs = np.array([places[feature] for feature in artefact.features], np.intp)
            version = _Version(Scorer(artefact), program, program.digest, inputs)
        except (ModelError, StreamgaugeError) as error:
            return _Version(changed="model", detail=str(error))
        return version

    def _policy(self, decision: DecisionRecord) -> RegisteredPolicy | None:
        key = (decision.policy.name, decision.policy.sha256)
        if key not in self._policies:
            policy = self._registry.policy_by_sha256(*key)
            self._policies[key] = policy if policy is not None and policy.sha256 == key[1] else None
        return self._policies[key]


def _told(outcome: str, grade: str | None, stage: str, rules: tuple[str, ...]) -> str:
    return f"{outcome} by the {stage} (grade {grade}, rules {', '.join(rules) or 'none'})"


def plain(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rendered event as a record keeps it: decimals as text, everything else as JSON has it.

    >>> plain({"amount": Decimal("9.90"), "early": True})
    {'amount': '9.90', 'early': True}
    """
    built: dict[str, Any] = msgspec.to_builtins(
        {name: str(value) if isinstance(value, Decimal) else value for name, value in event.items()}
    )
    return built
