"""Events on their way: checked at the door, then durable, then applied."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamgauge.app.answers import IngestAnswer, Refused
from streamgauge.app.engine import Submission
from streamgauge.app.replies import counted, follow, ingested
from streamgauge.errors import EventRejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamgauge.app.engine import Engine
    from streamgauge.app.intake import Intake
    from streamgauge.events.record import NewRecord


@dataclass(slots=True)
class Pending:
    """Events on their way.

    Attributes:
        appended: Completes when they are durable.
        applied: Completes when they are applied, with duplicates and conflicts counted.
    """

    appended: Future[IngestAnswer]
    applied: Future[IngestAnswer]


def submit_events(intake: Intake, engine: Engine, events: Sequence[Mapping[str, Any]]) -> Pending:
    """Accept events without waiting: the bad ones are quarantined now, the good ones are on their way.

    Args:
        intake: Checks them.
        engine: Appends and applies them.
        events: Flat events.
    """
    checked = intake.many(events)
    bad = [(index, one) for index, one in enumerate(checked) if isinstance(one, EventRejected)]
    numbers = intake.refuse([(events[index], error) for index, error in bad]) if bad else []
    refused = [
        Refused(index=index, reason=error.reason, detail=str(error), quarantine=number)
        for (index, error), number in zip(bad, numbers, strict=True)
    ]
    good = [index for index, one in enumerate(checked) if not isinstance(one, EventRejected)]
    return _on_their_way(engine, [one for one in checked if not isinstance(one, EventRejected)], good, refused)


def submit_records(engine: Engine, records: Sequence[NewRecord]) -> Pending:
    """Accept events that were validated elsewhere, without waiting."""
    return _on_their_way(engine, records, range(len(records)), ())


def _on_their_way(
    engine: Engine, records: Sequence[NewRecord], good: Sequence[int], refused: Sequence[Refused]
) -> Pending:
    submission = Submission(records)
    pending = Pending(Future(), Future())
    follow(
        engine.submit(submission),
        pending.appended,
        lambda results: ingested(results, good, refused),
    )
    follow(
        submission.applied,
        pending.applied,
        lambda applied: counted(pending.appended.result(), applied),
    )
    return pending
