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
            now = datetime.fromtimestamp(clock.now_us() / 1_000_000, UTC)
            owner.ingest([sender.event(now) for _ in range(8)], applied=True)
            owner.decide(f"k{step}", sender.application(now))
            read = owner.features("A-00", model=ACCOUNT_RISK)
            assert read.known_at >= newest
            assert read.as_of >= read.known_at
            newest = read.known_at
        for _, records in owner.log.read_by_entity():
            moments = [record.accepted_at for record in records]
            assert moments == sorted(moments)
        assert owner.log.check() > 0
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


def test_after_a_leap_forward_and_back_other_entities_are_accepted_at_once(lender: Place) -> None:
    now = time.time_ns() // 1_000
    clock = FixedClock(now)
    sender = Sender(103, prefix="k")

    def application(account: str) -> dict[str, object]:
        asked_at = datetime.fromtimestamp(clock.now_us() / 1_000_000, UTC).isoformat()
        return {**sender.application(datetime.now(UTC)), "account": account, "asked_at": asked_at}

    with Owner.open(lender, clock=clock) as owner:
        clock.advance(400 * 24 * HOUR)
        assert owner.ingest([application("ahead")], applied=True).accepted == 1
        clock.advance(-400 * 24 * HOUR)
        events = [application(account) for account in ("A-00", "ahead", "new", "new")]
        answer = owner.ingest(events, applied=True)
        assert answer.accepted == 3
        assert [one.reason for one in answer.refused] == ["too_late"]
        Truth(owner).check()
    clock.advance(1)
    with Owner.open(lender, clock=clock) as owner:
        assert owner.ingest([application("newer"), application("A-00")], applied=True).accepted == 2
        assert owner.log.read_entity("account:newer")[-1].accepted_at == now + 1
        assert owner.log.read_entity("account:A-00")[-1].accepted_at == now + 1
        Truth(owner).check()
