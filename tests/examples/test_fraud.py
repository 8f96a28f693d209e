"""The fraud example, small: card, merchant and both together, learnt, decided, replayed and restarted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from examples.fraud import run
from streamgauge.app.cli.terminal import show_json
from streamgauge.app.owner import Owner
from streamgauge.app.project import open_project
from streamgauge.app.settings import find_place
from streamgauge.clock import FixedClock
from streamgauge.errors import EventRejected, UnknownName
from streamgauge.testing.payments import DEFAULT_END, simulate_payments

CARDS, MERCHANTS = 500, 83
END = run.micros(DEFAULT_END)
SECOND = 1_000_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run.make_place(tmp_path_factory.mktemp("fraud") / "project")


@pytest.fixture(scope="module")
def outcome(root: Path) -> run.Outcome:
    return run.run_example(simulate_payments(CARDS, MERCHANTS, run.DAYS), root)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(END)


@pytest.fixture
def owner(root: Path, outcome: run.Outcome, clock: FixedClock) -> Iterator[Owner]:
    assert outcome.decided.payments
    with Owner.open(find_place(root), clock=clock) as opened:
        clock.set(max(END, opened.log.last_accepted_at() + 60 * SECOND))
        yield opened


def payment(name: str, card: str, merchant: str, clock: FixedClock, **fields: object) -> dict[str, Any]:
    at = f"{pl.Series([clock.now_us()]).cast(pl.Datetime('us', 'UTC'))[0].isoformat()}"
    event: dict[str, Any] = {"stream": "Payment", "id": name, "card": card, "merchant": merchant, "at": at}
    if fields.get("op") != "delete":
        event |= {"amount": "20.00", "country": "ES", "present": True}
    return {**event, **fields}


def features(owner: Owner, entity: str) -> dict[str, float | str | None]:
    return owner.features(entity, model=run.MODEL).features


def test_the_model_finds_the_thieves(outcome: run.Outcome) -> None:
    assert outcome.test.auc_low > 0.8
    assert outcome.captured > 0.2
    assert outcome.labels["bad"] > 100
    assert outcome.test.mean_pd == pytest.approx(outcome.test.bad_rate, abs=0.01)


def test_decisions_hold_what_training_and_replay_compute(outcome: run.Outcome) -> None:
    decided = outcome.decided
    assert decided.payments == sum(decided.outcomes.values()) == decided.replayed > 50
    assert decided.mismatches == 0
    assert decided.values > 1_000
    assert decided.differing == 0


def test_the_log_holds_each_event_under_card_merchant_and_both(outcome: run.Outcome) -> None:
    assert outcome.records == 3 * sum(outcome.events.values())


def test_a_decision_keeps_every_entity_and_position(owner: Owner, clock: FixedClock) -> None:
    first = owner.decide("d1", payment("n1", "C-new", "M-new", clock))
    assert first.positions == {"card": first.positions["card"], "card|merchant": 0, "merchant": 0}
    clock.advance(SECOND)
    second = owner.decide("d2", payment("n2", "C-new", "M-new", clock))
    position = first.positions["card"]
    assert second.positions == {"card": position + 3, "card|merchant": position + 2, "merchant": position + 1}
    entry = owner.ledger.get("d2")
    assert entry is not None
    assert entry.require().entities == {"card": "C-new", "merchant": "M-new"}
    recorded = owner.decision_record("d2")["features"]
    assert (recorded["Card.n_1m"], recorded["Merchant.n_1h"], recorded["CardAtMerchant.visits"]) == (2.0, 1.0, 1.0)
    report = owner.verify(lambda *_: None, last=2)
    assert (report.match, report.mismatch) == (2, 0)


def test_every_entity_is_read_by_its_id(owner: Owner, clock: FixedClock) -> None:
    owner.ingest([payment("r1", "C-|", "M-%", clock)], applied=True)
    assert features(owner, "C-|")["Card.n_1h"] == 1.0
    assert "Merchant.n_1h" not in features(owner, "C-|")
    assert features(owner, "merchant:M-%")["Merchant.n_1h"] == 1.0
    both = features(owner, "card|merchant:C-%7C|M-%25")
    assert (both["CardAtMerchant.visits"], both["Card.n_1h"], both["Merchant.n_1h"]) == (1.0, 1.0, 1.0)
    assert owner.features("M-%").features["Merchant.n_1h"] == 1.0
    assert owner.features("C-%7C|M-%25").features["CardAtMerchant.visits"] == 1.0
    with pytest.raises(UnknownName):
        owner.features("M-unknown")


def test_a_changed_entity_is_refused_and_there_is_no_decision(owner: Owner, clock: FixedClock) -> None:
    accepted = owner.ingest([payment("x1", "C-x", "M-x", clock)], applied=True)
    answer = owner.ingest([payment("x1", "C-x", "M-y", clock, revision=1)], applied=True)
    assert (answer.accepted, answer.quarantined, answer.refused[0].reason) == (0, 1, "identity_changed")
    with pytest.raises(EventRejected, match="stands for an event of this card with another merchant"):
        owner.decide("dx", payment("x1", "C-x", "M-y", clock))
    assert owner.log.last_position() == accepted.position + 2
    assert features(owner, "card:C-x")["Card.n_1h"] == 1.0


def test_a_deleted_event_is_gone_from_every_entity(owner: Owner, clock: FixedClock) -> None:
    owner.ingest([payment("g1", "C-g", "M-g", clock), payment("g2", "C-g", "M-g", clock)], applied=True)
    before = features(owner, "card|merchant:C-g|M-g")
    clock.advance(SECOND)
    owner.ingest(
        [
            payment(
                "g1",
                "C-g",
                "M-g",
                clock,
                at=payment("", "", "", FixedClock(clock.now_us() - SECOND))["at"],
                op="delete",
                revision=1,
            )
        ],
        applied=True,
    )
    after = features(owner, "card|merchant:C-g|M-g")
    for name in ("Card.n_1h", "Merchant.n_1h", "CardAtMerchant.visits"):
        assert (before[name], after[name]) == (2.0, 1.0)


def test_a_duplicate_counts_once(owner: Owner, clock: FixedClock) -> None:
    event = payment("u1", "C-u", "M-u", clock)
    answer = owner.ingest([event, event], applied=True)
    assert (answer.accepted, answer.duplicates, answer.conflicts) == (2, 1, 0)
    answer = owner.ingest([{**event, "amount": "21.00"}], applied=True)
    assert (answer.accepted, answer.conflicts) == (1, 1)
    assert [one.entity for one in owner.log.quarantined(last=1)] == ["card:C-u"]


def test_a_restart_changes_nothing(root: Path, outcome: run.Outcome, clock: FixedClock) -> None:
    assert outcome.decided.payments
    ids = ("card:C-s", "merchant:M-s", "card|merchant:C-s|M-s")
    with Owner.open(find_place(root), clock=clock) as owner:
        clock.set(max(END, owner.log.last_accepted_at() + 60 * SECOND))
        answer = owner.decide("before", payment("s1", "C-s", "M-s", clock))
        before = [features(owner, one) for one in ids]
    with Owner.open(find_place(root), clock=clock) as again:
        assert [features(again, one) for one in ids] == before
        assert again.decision("before").positions == answer.positions
        report = again.verify(lambda *_: None)
        assert (report.mismatch, report.chain) == (0, "intact")


def test_a_frame_is_read_of_both_columns(root: Path, outcome: run.Outcome) -> None:
    assert outcome.events
    asked = (
        simulate_payments(CARDS, MERCHANTS, run.DAYS)["Payment"]
        .tail(40)
        .select("card", "merchant", pl.col("at").alias("as_of"))
    )
    with open_project(root) as project:
        read = project.features(asked)
        assert set(read.columns) == {"card", "merchant", "as_of", *project.spec.features}
        assert read["CardAtMerchant.visits"].sum() > 0
        with pytest.raises(UnknownName, match="reads features of merchant: add a column of that name"):
            project.features(asked.drop("merchant"), model=run.MODEL)


def test_the_command_says_that_a_folder_is_used(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--cards", "100", "--keep", str(root)]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_the_outcome_is_one_json_object(outcome: run.Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    show_json(outcome)
    assert json.loads(capsys.readouterr().out)["cards"] == CARDS
