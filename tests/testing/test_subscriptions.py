"""The simulated subscription service keeps its own rules."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from streamgauge.errors import SettingsError
from streamgauge.testing.subscriptions import DEFAULT_END, Service, simulate_service


@pytest.fixture(scope="module")
def service() -> Service:
    return simulate_service(customers=600, days=400)


def test_the_same_seed_gives_the_same_service(service: Service) -> None:
    again = simulate_service(customers=600, days=400)
    assert all(frame.equals(again.frames[name]) for name, frame in service.frames.items())
    assert not simulate_service(customers=600, days=400, seed=1).frames["Charge"].equals(service.frames["Charge"])


def test_nothing_is_known_before_it_happens_or_after_the_end(service: Service) -> None:
    for frame in service.frames.values():
        assert (frame["known_at"] >= frame["at"]).all()
        assert frame["known_at"].max() < DEFAULT_END  # type: ignore[operator]
        assert frame["id"].is_unique().all()
        assert frame["at"].is_sorted()


def test_a_customer_is_active_and_cancelled_in_turn(service: Service) -> None:
    changes = service.frames["Change"].sort("customer", "at")
    for _, own in changes.group_by("customer", maintain_order=True):
        assert own["state"].to_list() == ["active", "cancelled"] * (len(own) // 2) + ["active"] * (len(own) % 2)
    assert ((changes["active"] == 1) == (changes["state"] == "active")).all()


def test_sessions_are_of_active_customers(service: Service) -> None:
    states = service.frames["Change"].with_columns(pl.col("at").dt.date().alias("day")).sort("day")
    used = service.frames["Session"].with_columns(pl.col("at").dt.date().alias("day")).sort("day")
    joined = used.join_asof(states, on="day", by="customer", strategy="backward", check_sortedness=False)
    assert (joined["state"] == "active").all()


def test_low_interest_makes_a_renewal_fail_as_often_as_the_truth_says(service: Service) -> None:
    truth = service.truth
    assert spearmanr(truth["interest"], truth["probability"]).statistic < -0.95
    p = truth["probability"].to_numpy()
    spread = np.sqrt((p * (1 - p)).sum())
    assert abs(truth["failed"].sum() - p.sum()) < 4 * spread


def test_women_and_the_young_lapse_a_little_more_often_than_their_interest_says() -> None:
    service = simulate_service(customers=3_000, days=300)
    people = service.people.with_row_index("number").with_columns(pl.col("number").cast(pl.Int64))
    truth = service.truth.join(people, left_on="customer", right_on="number")
    odds = (truth["probability"] / (1 - truth["probability"])).log() + 1.5 * truth["interest"]
    lean = truth.with_columns(odds.alias("odds"))
    means = {str(sex): group["odds"].mean() for (sex,), group in lean.group_by("sex")}
    assert means["f"] - means["m"] == pytest.approx(0.25, abs=0.03)  # type: ignore[operator]
    young, old = lean.filter(pl.col("born") > 1998), lean.filter(pl.col("born") < 1978)
    assert 0.3 < young["odds"].mean() - old["odds"].mean() < 0.5  # type: ignore[operator]


def test_an_empty_service_is_refused() -> None:
    with pytest.raises(SettingsError, match="is empty"):
        simulate_service(customers=0)
    with pytest.raises(SettingsError, match="names no time zone"):
        simulate_service(customers=5, days=5, end=datetime(2026, 1, 1))  # noqa: DTZ001 - naive on purpose
    assert simulate_service(customers=5, days=1, end=datetime(2026, 1, 1, tzinfo=UTC)).truth.height == 0
