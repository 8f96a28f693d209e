"""Many threads on the same few entities at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl

from streamgauge.app.answers import DecisionAnswer
from streamgauge.app.owner import Owner
from streamgauge.app.service import quiet
from streamgauge.app.settings import Place
from streamgauge.errors import DecisionConflict
from tests.faults.lender import ACCOUNT_RISK, Sender
from tests.faults.truth import Truth


def together(work: list[Callable[[], None]]) -> None:
    """Run everything at once; raise what the first of them raised."""
    problems: list[BaseException] = []

    def guarded(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:  # noqa: BLE001 - raised below
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    if problems:
        raise problems[0]


def test_ingesting_deciding_reading_and_importing_at_once_stays_true(lender: Place) -> None:
    with Owner.open(lender) as owner:

        def ingest(number: int) -> None:
            sender = Sender(50 + number, accounts=4, prefix=f"r{number}")
            for _ in range(40):
                owner.ingest([sender.event(datetime.now(UTC)) for _ in range(3)], applied=number % 2 == 0)

        def decide(number: int) -> None:
            sender = Sender(60 + number, accounts=4, prefix=f"q{number}")
            for one in range(15):
                owner.decide(f"q{number}-{one}", sender.application(datetime.now(UTC)))

        def read() -> None:
            for number in range(150):
                seen = owner.features(f"A-{number % 4:02d}", model=ACCOUNT_RISK)
                again = owner.features(f"A-{number % 4:02d}", model=ACCOUNT_RISK)
                assert again.position >= seen.position

        def bring(number: int) -> None:
            historian = Sender(70 + number, accounts=4, prefix=f"i{number}")
            historian.sent = Sender(50, accounts=4, prefix="r0").history(0, datetime.now(UTC)) or []
            for _ in range(3):
                rows = historian.history(40, datetime.now(UTC))
                frame = pl.DataFrame(rows, infer_schema_length=None)
                owner.import_frame(frame, "Movement", quiet, known_after_us=3_600_000_000)

        together(
            [
                *(lambda number=number: ingest(number) for number in range(3)),
                *(lambda number=number: decide(number) for number in range(2)),
                *(lambda number=number: bring(number) for number in range(2)),
                read,
            ]
        )
        Truth(owner).check()
    for _ in range(2):
        with Owner.open(lender) as owner:
            Truth(owner).check()


def test_one_decision_id_raced_with_one_event_is_decided_once(lender: Place) -> None:
    application = Sender(81, prefix="o").application(datetime.now(UTC))
    answers: list[DecisionAnswer] = []
    with Owner.open(lender) as owner:
        together([lambda: answers.append(owner.decide("raced", application))] * 8)
        assert len({answer.digest for answer in answers}) == 1
        assert sum(not answer.repeated for answer in answers) == 1
        Truth(owner).check()


def test_one_decision_id_raced_with_different_events_goes_to_one_of_them(lender: Place) -> None:
    sender = Sender(82, prefix="o")
    answers: list[DecisionAnswer] = []
    refused: list[DecisionConflict] = []
    with Owner.open(lender) as owner:

        def ask() -> None:
            try:
                answers.append(owner.decide("raced", sender.application(datetime.now(UTC))))
            except DecisionConflict as error:
                refused.append(error)

        together([ask] * 6)
        assert (len(answers), len(refused)) == (1, 5)
        Truth(owner).check()


def test_contradictions_among_imports_are_quarantined_once_across_restarts(lender: Place) -> None:
    now = datetime.now(UTC)
    row = Sender(91, prefix="c").history(1, now)[0]
    rows = [row, row, {**row, "amount": "1.11"}, {**row, "booked_at": now.isoformat()}]
    with Owner.open(lender) as owner:
        before = len(owner.quarantined(last=10_000))
        for _ in range(2):
            owner.import_frame(pl.DataFrame(rows), "Movement", known_after_us=3_600_000_000)
        Truth(owner).check()
        found = owner.quarantined(last=10_000)[: -before or None]
        assert sorted(one.reason for one in found) == ["conflict"] * 2 + ["identity_changed"] * 2
        assert "1.11" in "".join(one.body for one in found)
    with Owner.open(lender) as owner:
        Truth(owner).check()
