from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streamgauge.testing.live import LiveStream
from streamgauge.testing.portfolio import Portfolio, simulate

FIELDS = {
    "Movement": {"stream", "id", "account", "booked_at", "amount", "kind"},
    "Application": {"stream", "id", "account", "asked_at", "amount", "term_months"},
    "Instalment": {"stream", "id", "account", "at", "loan", "days_late", "early"},
}
OPTIONAL = {"balance", "counterparty", "revision", "op"}
TIMES = {"Movement": "booked_at", "Application": "asked_at", "Instalment": "at"}


@pytest.fixture(scope="module")
def portfolio() -> Portfolio:
    return simulate(borrowers=400, days=200)


@pytest.fixture(scope="module")
def events(portfolio: Portfolio) -> list[tuple[datetime, dict[str, Any]]]:
    live = LiveStream(portfolio, portfolio.end, seed=5)
    moments = [portfolio.end + timedelta(seconds=2 * second) for second in range(1, 101)]
    return [(now, event) for now in moments for event in live.batch(now, 400)]


def event_time(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event[TIMES[event["stream"]]])


def test_a_batch_has_the_size_asked_for_and_the_fields_of_its_streams(
    events: list[tuple[datetime, dict[str, Any]]],
) -> None:
    assert len(events) == 40_000
    for _, event in events:
        assert FIELDS[event["stream"]] <= set(event) <= FIELDS[event["stream"]] | OPTIONAL


def test_the_same_seed_gives_the_same_events(portfolio: Portfolio) -> None:
    now = portfolio.end + timedelta(seconds=1)
    first, second = (LiveStream(portfolio, portfolio.end, seed=9).batch(now, 500) for _ in range(2))
    assert first == second
    assert first != LiveStream(portfolio, portfolio.end, seed=10).batch(now, 500)


def test_no_event_happens_after_it_arrives_and_some_arrive_late(
    portfolio: Portfolio, events: list[tuple[datetime, dict[str, Any]]]
) -> None:
    delays = [now - event_time(event) for now, event in events]
    assert min(delays) >= timedelta(0)
    assert 0.003 < sum(delay > timedelta(seconds=4) for delay in delays) / len(delays) < 0.03
    assert all(event_time(event) >= portfolio.end for _, event in events)


def test_ids_are_new_repeats_are_exact_and_corrections_follow_their_original(
    portfolio: Portfolio, events: list[tuple[datetime, dict[str, Any]]]
) -> None:
    known = set(portfolio.frames["Movement"]["id"]) | set(portfolio.frames["Application"]["id"])
    seen: dict[str, dict[str, Any]] = {}
    count: Counter[str] = Counter()
    for _, event in events:
        assert event["id"] not in known
        if "op" in event:
            count["corrected"] += 1
            assert event["op"] == "replace"
            assert event["revision"] == 1
            assert seen[event["id"]]["booked_at"] == event["booked_at"]
        elif event["id"] in seen:
            count["repeated"] += 1
            assert seen[event["id"]] == event
        else:
            seen[event["id"]] = event
    assert 60 < count["repeated"] < 200
    assert 40 < count["corrected"] < 130


def test_about_one_event_in_150_is_an_application(events: list[tuple[datetime, dict[str, Any]]]) -> None:
    share = sum(event["stream"] == "Application" for _, event in events) / len(events)
    assert 1 / 200 < share < 1 / 100


def test_instalments_name_a_loan_of_the_same_account(
    portfolio: Portfolio, events: list[tuple[datetime, dict[str, Any]]]
) -> None:
    owner = dict(portfolio.frames["Loan"].select("id", "account").iter_rows())
    instalments = [event for _, event in events if event["stream"] == "Instalment"]
    assert len(instalments) > 100
    assert all(owner[event["loan"]] == event["account"] for event in instalments)


def test_balances_carry_on_from_the_history(portfolio: Portfolio) -> None:
    live = LiveStream(portfolio, portfolio.end, seed=1)
    batch = live.batch(portfolio.end + timedelta(seconds=1), 2_000)
    checked = 0
    last: list[int] = portfolio.balance.tolist()
    movements = sorted((event for event in batch if event["stream"] == "Movement"), key=lambda event: event["id"])
    for number, event in enumerate(movements):
        borrower = int(event["account"].removeprefix("acc-"))
        consecutive = int(event["id"].removeprefix("m-")) == len(portfolio.frames["Movement"]) + number
        if not consecutive or "op" in event:
            break
        last[borrower] += round(float(event["amount"]) * 100)
        if "balance" in event:
            assert round(float(event["balance"]) * 100) == last[borrower]
            checked += 1
    assert checked > 10


def test_a_stream_starts_no_earlier_than_its_history_ends(portfolio: Portfolio) -> None:
    live = LiveStream(portfolio, datetime(2000, 1, 1, tzinfo=UTC))
    assert all(event_time(event) >= portfolio.end for event in live.batch(portfolio.end + timedelta(seconds=1), 100))
