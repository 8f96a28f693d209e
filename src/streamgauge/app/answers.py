"""What the service answers, the same to the API, the command line and Python.

Moments are ISO-8601 texts in UTC with microseconds, durations are seconds, nulls are null.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def iso(moment_us: int) -> str:
    """Write a moment in µs since the epoch as ISO-8601 text.

    >>> iso(1_700_000_000_000_001)
    '2023-11-14T22:13:20.000001Z'
    >>> iso(-62_135_596_800_000_000)
    '0001-01-01T00:00:00.000000Z'
    """
    whole, rest = divmod(moment_us, 1_000_000)
    return f"{_to_the_second(whole)}.{rest:06d}Z"


@lru_cache(maxsize=1_024)
def _to_the_second(whole: int) -> str:
    """Write a moment in whole seconds; those of one answer, and of many, share it."""
    return (_EPOCH + timedelta(seconds=whole)).replace(tzinfo=None).isoformat()


def seconds(duration_us: int) -> float:
    """Turn µs into seconds.

    >>> seconds(1_500_000)
    1.5
    """
    return duration_us / 1_000_000


def number(value: float) -> float | None:
    """Turn the null of a finished feature into None.

    >>> number(float("nan")) is None
    True
    """
    return None if math.isnan(value) else value


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """One event that was not accepted.

    Attributes:
        index: Its place in the call, from 0.
        reason: Machine-readable, such as ``missing_field``.
        detail: The sentence for a person.
        quarantine: Its number in the quarantine.
    """

    index: int
    reason: str
    detail: str
    quarantine: int


class IngestAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of the events of one call.

    Attributes:
        accepted: How many are in the log, durably.
        quarantined: How many are not, each in ``refused`` (the first hundred of them).
        position: The last position, 0 if none was accepted.
        refused: Why.
        duplicates: How many accepted ones were known already (only where applying was waited for).
        conflicts: How many accepted ones contradict a known one and went to the quarantine (likewise).
    """

    accepted: int
    quarantined: int
    position: int
    refused: list[Refused]
    duplicates: int | None = None
    conflicts: int | None = None


class ImportAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an import.

    Attributes:
        stream: The stream.
        accepted: How many records are in the log.
        quarantined: How many are not.
        entities: How many entities were rebuilt.
        position: The last position.
        refused: The first hundred refused rows.
    """

    stream: str
    accepted: int
    quarantined: int
    entities: int
    position: int
    refused: list[Refused]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """As of when, and knowing what.

    Attributes:
        as_of: The moment t of the features.
        position: The position k that cuts what was known.
        known_at: When the engine learnt the newest record up to k.
        lag: ``as_of`` − ``known_at`` in seconds: a stalled stream shows here.
    """

    as_of: str
    position: int
    known_at: str
    lag: float


class FeaturesAnswer(Moment, frozen=True, kw_only=True):
    """Finished features of one entity.

    Attributes:
        entity: Its id.
        model: Whose features they are, or None for all of the project file's.
        features: Values by name, null where they have none; a category's text.
    """

    entity: str
    model: str | None
    features: dict[str, float | str | None]


class ScoreAnswer(Moment, frozen=True, kw_only=True):
    """The risk of one entity.

    Attributes:
        entity: Its id.
        model: The model's name.
        version: Its registered version.
        pd: The probability of default, calibrated, floored and rounded to 1e-9.
        points: The score in points.
        margin: The raw margin.
    """

    entity: str
    model: str
    version: int
    pd: float
    points: float
    margin: float


class PublishedScore(msgspec.Struct, frozen=True, kw_only=True):
    """One score as the stream of scores publishes it.

    Attributes:
        id: Equal for equal (entity, position, program, model): consumers can drop repeats.
        entity: The entity's id.
        model: The model's name.
        version: Its registered version.
        event_id: The event that led to it.
        stream: That event's stream.
        position: That event's position.
        as_of: The moment of the features.
        accepted_at: When the log accepted the event.
        pd: The probability of default.
        points: The score in points.
    """

    id: str
    entity: str
    model: str
    version: int
    event_id: str
    stream: str
    position: int
    as_of: str
    accepted_at: str
    pd: float
    points: float


class ReasonAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One principal reason.

    Attributes:
        code: Its code, as the project file gives it.
        text: The sentence for the applicant.
        contribution: How much it moved the raw margin, against the baseline.
        features: The features it sums.
    """

    code: str
    text: str
    contribution: float
    features: list[str]


class DecisionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A decision, as recorded.

    Attributes:
        decision_id: The caller's id of it.
        outcome: ``approve``, ``refer`` or ``decline``.
        stage: Whether the score or a rule decided.
        pd: The probability of default.
        points: The score in points.
        grade: The grade, or None.
        reasons: At most four principal reasons.
        rules: Codes of the rules that fired.
        model: Name, version and hash of the model.
        policy: Name, version and hash of the policy.
        entity: The entity's id.
        event_id: The event decided.
        as_of: The moment of the features.
        positions: Role to the position that cuts what was known.
        decided_at: When it was decided, by the wall clock.
        digest: The record's digest in the ledger.
        seq: Its number in the ledger.
        repeated: Whether this id had been decided before: the answer is the first one.
    """

    decision_id: str
    outcome: Literal["approve", "refer", "decline"]
    stage: str
    pd: float
    points: float
    grade: str | None
    reasons: list[ReasonAnswer]
    rules: list[str]
    model: dict[str, Any]
    policy: dict[str, Any]
    entity: str
    event_id: str
    as_of: str
    positions: dict[str, int]
    decided_at: str
    digest: str
    seq: int
    repeated: bool


class VerifyDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One decision that does not replay.

    Attributes:
        seq: Its number in the ledger.
        decision_id: The caller's id.
        changed: Which of ``data model policy code ledger`` changed.
        detail: What differs.
    """

    seq: int
    decision_id: str
    changed: list[str]
    detail: str


class VerifyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What verification found.

    Attributes:
        checked: How many decisions were recomputed.
        match: How many came out the same, from the record and from the log.
        mismatch: How many did not.
        erased: How many were erased on purpose.
        chain: ``intact``, or what is broken and where.
        differences: The first hundred that differ.
    """

    checked: int
    match: int
    mismatch: int
    erased: int
    chain: str
    differences: list[VerifyDifference]


class ModelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One registered model.

    Attributes:
        name: Its name in the project file.
        version: Counts up per name, from 1.
        champion: Whether it serves.
        sha256: The hash of its artefact.
        program: The hash of its feature program.
        label: The name of what it predicts.
        known: How its training rows knew what they knew: ``recorded``, ``declared`` or ``final``.
        trained_to: The moment of its dataset.
        metrics: Figures of its report, on rows it was not fitted on.
        policy: The version of the policy in force, or None.
    """

    name: str
    version: int
    champion: bool
    sha256: str
    program: str
    label: str
    known: str
    trained_to: str
    metrics: dict[str, float]
    policy: int | None


class QuarantineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One refused event.

    Attributes:
        number: Its number in the quarantine.
        stream: The stream's name, empty where the event names none.
        entity: The entity's id, empty where it cannot be read.
        event_id: The event's id, empty where it cannot be read.
        reason: Machine-readable, such as ``missing_field``.
        detail: The sentence for a person.
        at: When it was refused.
        field: The field that it was refused for, empty where there is none.
        position: Its position in the log, where it contradicts what was accepted before, else None.
        state: ``open``, or ``resolved`` by a retry.
        retriable: Whether it can be tried again: it is open, all there, and not in the log.
        retries: How often it was tried again in vain.
        resolved: The position of the record that a retry made of it, else None.
        resolved_at: When, else None.
        source: ``event``, or ``file`` where it came as a file's row.
        whole: Whether all of the body is kept.
        body: The event as it came, JSON text of bounded length.
    """

    number: int
    stream: str
    entity: str
    event_id: str
    reason: str
    detail: str
    at: str
    field: str
    position: int | None
    state: Literal["open", "resolved"]
    retriable: bool
    retries: int
    resolved: int | None
    resolved_at: str | None
    source: Literal["event", "file"]
    whole: bool
    body: str


class ErasureAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One erasure: who, when and how much, never what.

    Attributes:
        by: Who asked for it.
        at: When.
        decisions: How many decisions' bodies were erased.
        counts: How many ``records``, published ``scores``, refused events (``quarantined``), ``protected`` attributes
            and ``rows`` kept beside models.
    """

    by: str
    at: str
    decisions: int
    counts: dict[str, int]


class RetryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of refused events that were tried again.

    Attributes:
        tried: How many.
        resolved: How many are accepted and applied now.
        kept: How many were refused again; each has the newer reason.
        skipped: How many were named but cannot be tried: resolved already, cut short, or in the log.
        items: The first hundred that were tried, as they are now.
    """

    tried: int
    resolved: int
    kept: int
    skipped: int
    items: list[QuarantineAnswer]
