"""From what the parts of the owner return to what the service answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from streamgauge.app.answers import (
    IngestAnswer,
    ModelAnswer,
    QuarantineAnswer,
    Refused,
    VerifyAnswer,
    VerifyDifference,
    iso,
    seconds,
)
from streamgauge.app.deciding import answer_of
from streamgauge.events.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from streamgauge.app.outcome import Part
    from streamgauge.decisions.ledger import Entry
    from streamgauge.decisions.replay import ReplayReport
    from streamgauge.log.port import Quarantined
    from streamgauge.models.registry import RegisteredModel, Registry

_SHOWN = 100


def follow(source: Future[Any], target: Future[IngestAnswer], turn: Callable[[Any], IngestAnswer]) -> None:
    """Complete a future with what another one completes with, turned into an answer."""

    def done(finished: Future[Any]) -> None:
        error = finished.exception()
        if not target.set_running_or_notify_cancel():  # whoever asked has gone away
            return
        if error is not None:
            target.set_exception(error)
            return
        try:
            target.set_result(turn(finished.result()))
        except BaseException as failure:  # noqa: BLE001 - whoever waits must hear of it
            target.set_exception(failure)

    source.add_done_callback(done)


def ingested(
    results: Sequence[Record | Quarantined], indexes: Sequence[int], refused: Sequence[Refused]
) -> IngestAnswer:
    """Answer for the events of one call: what the log accepted, and all that was refused, by their place.

    Args:
        results: What the log answered for the valid ones.
        indexes: Their places in the call.
        refused: Those that were not valid.
    """
    late = [
        Refused(index=index, reason=result.reason, detail=result.detail, quarantine=result.number)
        for index, result in zip(indexes, results, strict=True)
        if not isinstance(result, Record)
    ]
    accepted = [result for result in results if isinstance(result, Record)]
    every = sorted([*refused, *late], key=lambda one: one.index)
    return IngestAnswer(
        accepted=len(accepted),
        quarantined=len(every),
        position=accepted[-1].position if accepted else 0,
        refused=every[:_SHOWN],
    )


def counted(answer: IngestAnswer, applied: Part) -> IngestAnswer:
    """Return an answer with what applying found."""
    found = applied.verdicts()
    return msgspec.structs.replace(
        answer, duplicates=found["duplicate"], conflicts=found["conflict"] + found["identity_changed"]
    )


def quarantine_answer(one: Quarantined) -> QuarantineAnswer:
    """Answer for one refused event."""
    return QuarantineAnswer(
        number=one.number,
        stream=one.stream,
        entity=one.entity.partition(":")[2],
        event_id=one.event_id,
        reason=one.reason,
        detail=one.detail,
        at=iso(one.at),
        field=one.field,
        position=one.position,
        state="open" if one.resolved is None else "resolved",
        retriable=one.retriable,
        retries=one.retries,
        resolved=one.resolved,
        resolved_at=None if one.resolved_at is None else iso(one.resolved_at),
        source="event" if one.arrival is None else "file",
        whole=one.whole,
        body=one.body,
    )


def model_answers(registry: Registry) -> list[ModelAnswer]:
    """Answer for every registered version of every model."""
    answers = []
    for name in registry.models():
        champion = registry.champion(name)
        policy = registry.policy(name)
        for registered in registry.versions(name):
            is_champion = champion is not None and champion.version == registered.version
            active = policy.version if policy is not None and is_champion else None
            answers.append(model_answer(registered, champion=is_champion, policy=active))
    return answers


def model_answer(registered: RegisteredModel, *, champion: bool, policy: int | None) -> ModelAnswer:
    """Answer for one registered model."""
    return ModelAnswer(
        name=registered.name,
        version=registered.version,
        champion=champion,
        sha256=registered.sha256,
        program=registered.program_sha256,
        label=registered.label,
        known=registered.known,
        trained_to=iso(registered.created_at),
        metrics=dict(registered.metrics),
        policy=policy,
    )


def verify_answer(report: ReplayReport) -> VerifyAnswer:
    """Answer for a verification; the first hundred differences are shown."""
    return VerifyAnswer(
        checked=report.checked,
        match=report.match,
        mismatch=report.checked - report.match,
        erased=report.erased,
        chain=report.chain,
        differences=[
            VerifyDifference(seq=one.seq, decision_id=one.decision_id, changed=list(one.changed), detail=one.detail)
            for one in report.differences[:_SHOWN]
        ],
    )


def record_answer(entry: Entry) -> dict[str, Any]:
    """Answer with a decision's whole record: what was answered, and all that it was made of."""
    record = entry.require()
    answer: dict[str, Any] = msgspec.to_builtins(answer_of(record, entry.digest, entry.seq, repeated=False))
    return answer | {
        "request": record.request,
        "features": record.feature_values(),
        "margin": record.margin,
        "program_sha256": record.program_sha256,
        "calibrator_sha256": record.calibrator_sha256,
        "code_version": record.code_version,
        "lag": seconds(record.lag_us),
        "chain_hash": entry.chain_hash,
    }
