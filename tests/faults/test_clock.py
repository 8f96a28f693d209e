"""A clock that steps backwards and forwards."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place
from streamgauge.clock import FixedClock
from tests.faults.lender import ACCOUNT_RISK, Sender
from tests.faults.truth import Truth

HOUR = 3_600_000_000
STEPS = (1, -5, 2 * HOUR, -9 * HOUR, 60_000_000, -1, 30 * HOUR, -40 * HOUR)


def test_a_clock_that_steps_changes_no_order_and_no_value(lender: Place) -> None:
    clock = FixedClock(time.time_ns() // 1_000 + HOUR)
    sender = Sender(101, prefix="k")
    with Owner.open(lender, clock=clock) as owner:
        newest = ""
        for step in STEPS:
            clock.advance(step)
            owner.ingest([sender.event(datetime.now(UTC)) for _ in range(8)], applied=True)
            owner.decide(f"k{step}", sender.application(datetime.now(UTC)))
            read = owner.features("A-00", model=ACCOUNT_RISK)
            assert read.known_at >= newest
            assert read.as_of >= read.known_at
            newest = read.known_at
        moments = [record.accepted_at for record in owner.log.read_after(0, 10**6)]
        assert moments == sorted(moments)
        Truth(owner).check()
    with Owner.open(lender, clock=clock) as owner:
        Truth(owner).check()


def test_events_after_a_leap_are_refused_with_the_reason_and_kept(lender: Place) -> None:
    clock = FixedClock(time.time_ns() // 1_000)
    sender = Sender(102, prefix="k")
    with Owner.open(lender, clock=clock) as owner:
        clock.advance(400 * 24 * HOUR)
        answer = owner.ingest([sender.application(datetime.now(UTC))])
        assert [one.reason for one in answer.refused] == ["too_late"]
        assert owner.quarantined(number=answer.refused[0].quarantine)[0].event_id.startswith("k-")
        clock.advance(-400 * 24 * HOUR)
        assert owner.ingest([sender.application(datetime.now(UTC))], applied=True).accepted == 1
        Truth(owner).check()
