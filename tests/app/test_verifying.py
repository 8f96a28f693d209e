"""What is decided and published is recomputed while serving, and whatever differs is said."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from streamgauge.adapters.sqlite.log_rows import row_of
from streamgauge.app.checking import Checker, Job, Result
from streamgauge.app.owner import Owner
from streamgauge.app.service import quiet
from streamgauge.app.settings import Place, VerificationSettings
from streamgauge.app.verifying import Patrol, Sampler, Verifier
from streamgauge.clock import FixedClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.app.conftest import Lender

HOUR = 3_600_000_000
APPLICATION = {
    "stream": "Application", "id": "v-a", "account": "acc-00007", "asked_at": "2026-01-01T08:30:00Z",
    "amount": "900.00", "term_months": 6,
}  # fmt: skip


def movement(number: int, **more: Any) -> dict[str, Any]:
    event = {"stream": "Movement", "id": f"v-{number}", "account": f"acc-{number:05}", "amount": "12.50"}
    return {**event, "kind": "salary", "booked_at": "2026-01-01T08:00:00Z", **more}


@pytest.fixture
def owner(lender: Lender, tmp_path: Path) -> Iterator[Owner]:
    """An owner that verifies everything."""
    place = lender.copy(tmp_path / "lender")
    every = VerificationSettings(share=1.0, cpu=1.0)
    place = Place(place.root, place.settings.model_copy(update={"verification": every}))
    with Owner.open(place, clock=FixedClock(lender.end_us + 9 * HOUR)) as owner:
        yield owner


def alter(owner: Owner, position: int) -> None:
    """Give a record of the log another amount, with checksums that hold."""
    record = owner.log.get(position)
    assert record is not None
    units = (int.from_bytes(record.units[:8], "little", signed=True) + 500_000).to_bytes(8, "little", signed=True)
    changed = msgspec.structs.replace(record, units=units + record.units[8:])
    with sqlite3.connect(owner.place.log) as connection:
        connection.execute("UPDATE records SET body = ? WHERE position = ?", (row_of(changed)[3], position))
    connection.close()


def sampler(share: float, newest: int = 0) -> Sampler:
    return Sampler(VerificationSettings(share=share), newest, random.Random(7))  # noqa: S311 - a sample, no secret


def test_a_share_is_sampled_and_at_least_one_a_minute() -> None:
    often = sampler(0.01, 100)
    assert often.numbers(100, 1.0) == []
    drawn = [number for tick in range(1, 200) for number in often.numbers(100 + tick * 1_000, 1.0)]
    assert 1_500 < len(drawn) < 2_500
    assert len(set(drawn)) == len(drawn)
    slow = sampler(0.0001)
    assert sum(len(slow.numbers(tick, 6.0)) for tick in range(1, 101)) in {10, 11}, "one a minute where few come"
    assert sampler(0.0).numbers(9, 60.0) == []
    assert len(sampler(1.0).numbers(10**6, 1.0)) == 20, "bounded"


def test_what_is_published_and_decided_recomputes(owner: Owner) -> None:
    verifier = Verifier(owner)
    owner.ingest([movement(number) for number in range(5, 12)], applied=True)
    owner.decide("v-1", APPLICATION)
    jobs = list(verifier.sampled(1.0))
    assert {job.kind for job in jobs} == {"decision", "score"}
    checker = Checker(owner.log, owner.registry)
    for job in jobs:
        result = checker.run(job)
        assert (result.difference, result.error) == ("", "")
        verifier.judge(job, result)
    assert (verifier.checked, verifier.mismatches) == (len(jobs), 0)
    assert list(verifier.sampled(1.0)) == []


def test_a_planted_difference_is_found_and_shown(owner: Owner, caplog: pytest.LogCaptureFixture) -> None:
    verifier = owner.verifier = Verifier(owner)
    owner.ingest([movement(7)], applied=True)
    owner.decide("v-1", APPLICATION)
    record = owner.log.find("Movement", "account:acc-00007", "v-7")
    assert record is not None
    alter(owner, record.position)
    jobs = list(verifier.sampled(1.0))
    checker = Checker(owner.log, owner.registry)
    for job in jobs:
        verifier.judge(job, checker.run(job))
    assert verifier.mismatches == len(jobs) >= 2
    assert "The decision v-1 (entry 1) does not recompute: data:" in caplog.text
    assert [one.levelno for one in caplog.records if "recompute" in one.message] == [logging.ERROR] * len(jobs)
    state = owner.health()["verification"]
    assert state["mismatches"] == len(jobs)
    assert any("CashFlow" in one for one in state["found"])
    text = owner.metrics.exposition().decode()
    assert 'streamgauge_verification_total{kind="decision",result="mismatch"} 1.0' in text
    owner.verifier = None


def test_a_decision_from_a_state_that_is_not_what_the_log_says_is_found(owner: Owner) -> None:
    verifier = Verifier(owner)
    owner.ingest([movement(7)], applied=True)
    assert [job.kind for job in verifier.sampled(1.0)] == ["score"]
    stream = owner.engine.applier.states.get("account:acc-00007").streams["Movement"]
    stream.cols[:, stream.count - 1] ^= 1
    owner.decide("v-1", APPLICATION)
    checker = Checker(owner.log, owner.registry)
    jobs = [job for job in verifier.sampled(1.0) if job.kind == "decision"]
    for job in jobs:
        verifier.judge(job, checker.run(job))
    assert (len(jobs), verifier.mismatches) == (1, 1)
    assert "recorded" in verifier.found[0]


def test_what_was_erased_meanwhile_is_no_difference(owner: Owner) -> None:
    verifier = Verifier(owner)
    owner.ingest([movement(7)], applied=True)
    owner.decide("v-1", APPLICATION)
    jobs = list(verifier.sampled(1.0))
    owner.erase("acc-00007")
    checker = Checker(owner.log, owner.registry)
    for job in jobs:
        verifier.judge(job, checker.run(job))
    assert (verifier.checked, verifier.mismatches) == (0, 0)
    assert list(verifier.sampled(1.0)) == []
    assert owner.verify(quiet).mismatch == 0


def test_an_older_decision_that_is_altered_is_found_by_and_by(owner: Owner) -> None:
    owner.decide("v-1", APPLICATION)
    verifier = Verifier(owner, chance=random.Random(3))  # noqa: S311 - a test's draw
    assert [job for job in verifier.sampled(1.0) if job.kind == "decision"] == []
    record = owner.log.find("Application", "account:acc-00007", "v-a")
    assert record is not None
    alter(owner, record.position)
    (job,) = [job for job in verifier.sampled(60.0) if job.kind == "decision"]
    verifier.judge(job, Checker(owner.log, owner.registry).run(job))
    assert verifier.mismatches == 1


def test_older_numbers_are_looked_at_so_many_times_a_minute() -> None:
    patrol = Patrol(VerificationSettings(least_per_minute=2), random.Random(1))  # noqa: S311 - a test's draw
    assert patrol.numbers(0, 60.0) == []
    seen = [number for _ in range(600) for number in patrol.numbers(5, 1.0)]
    assert len(seen) == 20
    assert set(seen) == {1, 2, 3, 4, 5}
    for none in ({"share": 0.0}, {"least_per_minute": 0.0}):
        assert Patrol(VerificationSettings.model_validate(none), random.Random(1)).numbers(5, 600.0) == []  # noqa: S311 - a test's draw


def test_an_altered_ledger_is_found(owner: Owner) -> None:
    verifier = Verifier(owner)
    owner.decide("v-1", APPLICATION)
    with sqlite3.connect(owner.place.ledger) as connection:
        connection.execute("UPDATE bodies SET body = X'00'")
    connection.close()
    assert {job.kind for job in verifier.sampled(1.0)} == {"score"}
    assert (verifier.checked, verifier.mismatches) == (1, 1)
    text = owner.metrics.exposition().decode()
    assert 'streamgauge_verification_total{kind="decision",result="mismatch"} 1.0' in text


def test_a_process_of_its_own_recomputes_over_a_reload(owner: Owner) -> None:
    owner.verify_continuously()
    verifier = owner.verifier
    assert verifier is not None
    owner.ingest([movement(7)], applied=True)
    owner.decide("v-1", APPLICATION)
    wait_until(lambda: verifier.checked >= 2)
    owner.reload(quiet)
    checked = verifier.checked
    owner.decide("v-2", {**APPLICATION, "id": "v-b"})
    wait_until(lambda: verifier.checked > checked)
    assert verifier.mismatches == 0
    assert verifier._process is not None
    pid = verifier._process.pid
    verifier.close()
    owner.verifier = None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def wait_until(done: Any) -> None:
    until = time.monotonic() + 240
    while not done():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_an_error_is_counted_as_one(owner: Owner) -> None:
    verifier = Verifier(owner)
    verifier.judge(Job("decision", 1, ""), Result(error="UnknownName: gone"))
    assert (verifier.checked, verifier.mismatches) == (0, 0)
    assert b'result="error"' in owner.metrics.exposition()
