"""Continuous verification of events about several entities, and of what another entity's erasure leaves of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamgauge.app.checking import Checker, Job
from streamgauge.app.settings import Place, VerificationSettings
from streamgauge.app.verifying import Verifier
from tests.properties.hosts import Run, train_once, untouched
from tests.properties.role_hosts import PAYMENTS
from tests.properties.troubled_payments import TroubledPayments


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The project of payments with its models."""
    return train_once(tmp_path_factory.getbasetemp(), worker_id, PAYMENTS)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    """Payments of which everything is verified."""
    place = untouched(trained, tmp_path / "payments", law=PAYMENTS)
    every = VerificationSettings(share=1.0, cpu=1.0)
    place = Place(place.root, place.settings.model_copy(update={"verification": every}))
    return Run(place, TroubledPayments(4, 6), 4, restart_share=0.0, decided_share=0.5)


def sampled(run: Run, events: int) -> tuple[Verifier, list[Job]]:
    """Let payments come, and return what is sampled of them: of each call, twenty scores at most."""
    verifier = Verifier(run.owner)
    jobs: list[Job] = []
    for _ in range(events // 5):
        run.stream(5, 5, troubles=0.3)
        jobs += verifier.sampled(1.0)
    return verifier, jobs


def judge(run: Run, verifier: Verifier, jobs: list[Job]) -> list[str]:
    """Recompute what was sampled, and return what differs, whether by an erasure or not."""
    checker = Checker(run.owner.log, run.owner.registry)
    results = [checker.run(job) for job in jobs]
    assert [result.error for result in results if result.error] == []
    for job, result in zip(jobs, results, strict=True):
        verifier.judge(job, result)
    return [result.difference for result in results if result.difference]


def test_what_is_published_and_decided_of_payments_recomputes(run: Run) -> None:
    with run.opened():
        verifier, jobs = sampled(run, 60)
        assert {job.kind for job in jobs} == {"decision", "score"}
        assert judge(run, verifier, jobs) == []
        assert verifier.checked == len(jobs)


def test_what_another_cards_erasure_took_from_a_merchant_is_no_difference(run: Run) -> None:
    with run.opened():
        verifier, jobs = sampled(run, 60)
        log = run.owner.log
        cards = [key for key in log.entities("card") if len(log.read_entity(key)) > 1]
        run.owner.erase(cards[0].partition(":")[2], role="card")
        seen = judge(run, verifier, jobs)
        assert any("PD" in difference for difference in seen), "merchants and others' payments lost what they counted"
        assert verifier.mismatches == 0
        assert 0 < verifier.checked < len(jobs)


def test_a_difference_is_told_also_where_nothing_was_erased_of_it(run: Run) -> None:
    with run.opened():
        verifier, jobs = sampled(run, 30)
        job = next(job for job in jobs if job.kind == "score")
        altered = job.body.replace('"pd":0.', '"pd":0.9', 1)
        assert altered != job.body
        assert judge(run, verifier, [Job("score", job.number, altered)])
        assert verifier.mismatches == 1
