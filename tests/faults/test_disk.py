"""A disk that is full for a while: a clear refusal, nothing lost, and all goes on when there is room again."""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec
import pytest

from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place
from streamgauge.errors import LedgerUnavailable
from tests.faults.lender import Sender
from tests.faults.truth import Truth


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Let the system refuse every write beyond a file size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_log_that_cannot_grow_refuses_and_goes_on_later(lender: Place) -> None:
    sender = Sender(11, prefix="f")
    with Owner.open(lender) as owner:
        before = owner.log.last_position()
        with no_file_longer_than(4_096), pytest.raises(OSError, match="event log could not be written"):
            owner.ingest([sender.event(datetime.now(UTC)) for _ in range(8)], applied=True)
        assert owner.log.last_position() == before
        owner.ingest([sender.event(datetime.now(UTC)) for _ in range(8)], applied=True)
        Truth(owner).check()
    with Owner.open(lender) as owner:
        Truth(owner).check()


def test_states_that_cannot_be_written_wait_and_nothing_is_passed_over(lender: Place) -> None:
    sender = Sender(12, prefix="f", accounts=400)
    [states] = lender.state.glob("*/data.mdb")
    with Owner.open(lender) as owner:
        with no_file_longer_than(states.stat().st_size):
            pending = owner.submit([sender.event(datetime.now(UTC)) for _ in range(600)])
            assert pending.appended.result(30).accepted > 400
            _wait_until(lambda: not owner.health()["ready"])
            assert "cannot be written" in owner.health()["failure"]
            assert not pending.applied.done()
        assert pending.applied.result(30).accepted > 400
        assert owner.health()["ready"]
        Truth(owner).check()
    with Owner.open(lender) as owner:
        Truth(owner).check()


def test_a_ledger_that_cannot_grow_refuses_and_the_same_call_settles_it(lender: Place) -> None:
    application = Sender(13, prefix="f").application(datetime.now(UTC))
    with Owner.open(lender) as owner:
        owner.ingest([application], applied=True)
        with no_file_longer_than(4_096), pytest.raises((LedgerUnavailable, OSError)):
            owner.decide("d-full", application)
        answer = owner.decide("d-full", application)
        assert owner.decide("d-full", application) == msgspec.structs.replace(answer, repeated=True)
        Truth(owner).check()


def test_a_start_on_a_full_disk_is_refused_and_a_later_one_is_whole(lender: Place) -> None:
    shutil.rmtree(lender.state)
    with no_file_longer_than(20_000), pytest.raises((OSError, LedgerUnavailable)):
        Owner.open(lender)
    with Owner.open(lender) as owner:
        Truth(owner).check()


def _wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
