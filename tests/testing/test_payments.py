"""The simulated payments keep their own rules."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest

from streamgauge.errors import SettingsError
from streamgauge.testing.payments import DEFAULT_END, simulate_payments

Frames = dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def frames() -> Frames:
    return simulate_payments(cards=600, merchants=100, days=400)


def test_the_same_seed_gives_the_same_payments(frames: Frames) -> None:
    again = simulate_payments(cards=600, merchants=100, days=400)
    assert all(frame.equals(again[name]) for name, frame in frames.items())
    assert not simulate_payments(cards=600, merchants=100, days=400, seed=1)["Payment"].equals(frames["Payment"])


def test_nothing_is_known_before_it_happens_or_after_the_end(frames: Frames) -> None:
    for frame in frames.values():
        assert (frame["known_at"] >= frame["at"]).all()
        assert frame["known_at"].max() <= DEFAULT_END  # type: ignore[operator]
        assert frame["id"].is_unique().all()
        assert frame["at"].is_sorted()


def test_a_chargeback_is_of_an_earlier_payment_of_its_card_and_merchant(frames: Frames) -> None:
    both = frames["Chargeback"].join(
        frames["Payment"], left_on="payment", right_on="id", suffix=".paid", validate="1:1"
    )
    assert len(both) == len(frames["Chargeback"])
    assert ((both["card"] == both["card.paid"]) & (both["merchant"] == both["merchant.paid"])).all()
    assert (both["at"] > both["at.paid"]).all()
    assert 0.001 < len(both) / len(frames["Payment"]) < 0.02


def test_a_stolen_card_pays_in_bursts(frames: Frames) -> None:
    payments = (
        frames["Payment"]
        .sort("card", "at")
        .with_columns((pl.col("at") - pl.col("at").shift(3)).over("card").alias("four_in"))
    )
    disputed = payments.join(frames["Chargeback"].select("payment"), left_on="id", right_on="payment", how="semi")
    burst = pl.col("four_in") < pl.duration(minutes=10)
    assert disputed.filter(burst).height / disputed.height > 20 * payments.filter(burst).height / payments.height


def test_counts_that_make_no_history_are_refused() -> None:
    with pytest.raises(SettingsError, match="given are 5, 3, 10"):
        simulate_payments(cards=5, merchants=3, days=10)
    with pytest.raises(SettingsError, match="time zone"):
        simulate_payments(end=datetime(2026, 1, 1))  # noqa: DTZ001 - a naive moment is the point
