from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from streamgauge.errors import SettingsError
from streamgauge.testing.accounts import KINDS
from streamgauge.testing.frames import KNOWN_WITHIN, MONEY, STAMP
from streamgauge.testing.portfolio import Portfolio, simulate, small_history

if TYPE_CHECKING:
    import numpy.typing as npt

END = datetime(2026, 3, 5, 14, 40, tzinfo=UTC)
TIMES = {"Movement": "booked_at", "Application": "asked_at", "Loan": "paid_at", "Instalment": "at", "Arrears": "at"}
COLUMNS = {
    "Movement": {
        "id": pl.String(),
        "account": pl.String(),
        "booked_at": STAMP,
        "amount": MONEY,
        "balance": MONEY,
        "kind": pl.String(),
        "counterparty": pl.String(),
        "known_at": STAMP,
    },
    "Application": {
        "id": pl.String(),
        "account": pl.String(),
        "asked_at": STAMP,
        "amount": MONEY,
        "term_months": pl.Int64(),
        "known_at": STAMP,
    },
    "Loan": {
        "id": pl.String(),
        "account": pl.String(),
        "paid_at": STAMP,
        "application": pl.String(),
        "known_at": STAMP,
    },
    "Instalment": {
        "id": pl.String(),
        "account": pl.String(),
        "at": STAMP,
        "loan": pl.String(),
        "days_late": pl.Int64(),
        "early": pl.Boolean(),
        "known_at": STAMP,
    },
    "Arrears": {
        "id": pl.String(),
        "account": pl.String(),
        "at": STAMP,
        "application": pl.String(),
        "days_past_due": pl.Int64(),
        "known_at": STAMP,
    },
}


@pytest.fixture(scope="module")
def portfolio() -> Portfolio:
    return simulate(borrowers=2_500, days=730, end=END, seed=3)


@pytest.fixture(scope="module")
def frames(portfolio: Portfolio) -> dict[str, pl.DataFrame]:
    return portfolio.frames


def closed_applications(portfolio: Portfolio) -> pl.DataFrame:
    frames = portfolio.frames
    reached = frames["Arrears"].filter(pl.col("days_past_due") >= 30).group_by("application").agg(pl.col("at").min())
    exposed = frames["Loan"].select("application", "paid_at").join(reached, on="application", how="left")
    judged = exposed.filter(pl.col("paid_at") <= portfolio.end - timedelta(days=95)).select(
        id="application", bad=(pl.col("at") <= pl.col("paid_at") + pl.duration(days=90)).fill_null(value=False)
    )
    return judged.join(frames["Application"], on="id").join(portfolio.truth, on="id").sort("asked_at", "id")


def observable_features(portfolio: Portfolio, rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    movements = portfolio.frames["Movement"].with_columns(pl.col("amount", "balance").cast(pl.Float64))
    seen = rows.select("id", "account", "asked_at").join(movements.drop("id", "known_at"), on="account")
    age = (pl.col("asked_at") - pl.col("booked_at")).dt.total_seconds() / 86_400
    seen = seen.with_columns(age=age).filter(pl.col("age").is_between(0, 180))
    earned = pl.col("kind").is_in(["salary", "sales"])
    income = pl.col("amount").filter(earned).sum() / 6 + 1
    return (
        rows.select("id")
        .join(
            seen.group_by("id").agg(
                trend=pl.col("amount").filter(earned & (pl.col("age") < 60)).sum() / 2 / income,
                overdrawn=((pl.col("balance") < 0) & (pl.col("age") < 90)).mean(),
                lowest=(pl.col("balance").filter(pl.col("age") < 30).min() / income).clip(-3, 3),
                returned=((pl.col("kind") == "returned") & (pl.col("age") < 90)).sum().log1p(),
            ),
            on="id",
            how="left",
        )
        .drop("id")
        .fill_nan(None)
        .fill_null(0)
        .to_numpy()
    )


def fitted_margin(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.bool_], train: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Fit a logistic regression by Newton's method and return the margin of every row."""
    x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    x = np.column_stack([np.ones(len(x)), x])
    weights = np.zeros(x.shape[1])
    for _ in range(25):
        p = 1 / (1 + np.exp(-x[train] @ weights))
        hessian = (x[train] * (p * (1 - p))[:, None]).T @ x[train] + np.eye(len(weights))
        weights += np.linalg.solve(hessian, x[train].T @ (y[train] - p) - weights)
    return np.asarray(x @ weights)


def area_under_curve(score: npt.NDArray[np.float64], y: npt.NDArray[np.bool_]) -> float:
    ranks = pl.Series(score).rank().to_numpy()
    bads = int(y.sum())
    return float((ranks[y].sum() - bads * (bads + 1) / 2) / (bads * (len(y) - bads)))


def test_the_same_seed_gives_the_same_frames() -> None:
    first, second = small_history(seed=11), small_history(seed=11)
    for stream in COLUMNS:
        assert_frame_equal(first[stream], second[stream])
    assert not first["Movement"].equals(small_history(seed=12)["Movement"])


def test_columns_are_those_of_the_credit_project(frames: dict[str, pl.DataFrame]) -> None:
    assert {stream: dict(frame.schema) for stream, frame in frames.items()} == COLUMNS


@pytest.mark.parametrize("stream", COLUMNS)
def test_events_are_sorted_unique_and_known_within_two_hours(frames: dict[str, pl.DataFrame], stream: str) -> None:
    frame, time = frames[stream], TIMES[stream]
    lag = frame["known_at"] - frame[time]
    assert frame[time].is_sorted()
    assert frame["id"].is_unique().all()
    assert lag.min() >= timedelta(0)  # type: ignore[operator]
    assert lag.max() <= KNOWN_WITHIN  # type: ignore[operator]
    assert frame[time].max() < END  # type: ignore[operator]
    assert frame["known_at"].max() <= END  # type: ignore[operator]
    assert frame.drop("balance", "counterparty", strict=False).null_count().sum_horizontal().item() == 0


def test_a_balance_is_the_one_before_it_and_the_amount(portfolio: Portfolio) -> None:
    movements = portfolio.frames["Movement"]
    opening = pl.col("balance").first() - pl.col("amount").first()
    checked = movements.filter(pl.col("balance").first().over("account").is_not_null()).select(
        "balance", expected=opening.over("account") + pl.col("amount").cum_sum().over("account")
    )
    shown = checked.drop_nulls()
    assert (shown["balance"] == shown["expected"]).all()
    assert 0.01 < movements["balance"].null_count() / len(movements) < 0.06
    assert len(checked) > 0.9 * len(movements)
    closing = movements.group_by("account").agg(pl.col("balance").last()).drop_nulls()
    cents = dict(zip(closing["account"], (closing["balance"] * 100).cast(pl.Int64), strict=True))
    assert all(portfolio.balance[int(account.removeprefix("acc-"))] == last for account, last in cents.items())


def test_every_kind_of_movement_occurs_with_its_sign(frames: dict[str, pl.DataFrame]) -> None:
    signs = frames["Movement"].group_by("kind").agg(low=pl.col("amount").min() < 0, high=pl.col("amount").max() > 0)
    both = {row["kind"]: (row["low"], row["high"]) for row in signs.to_dicts()}
    assert set(both) == set(KINDS)
    assert both["salary"] == both["sales"] == both["returned"] == (False, True)
    assert both["rent"] == both["card"] == both["cash"] == both["fee"] == (True, False)
    assert both["loan"] == both["own"] == (True, True)


def test_references_point_to_earlier_events_of_the_same_account(frames: dict[str, pl.DataFrame]) -> None:
    asked, paid = frames["Application"], frames["Loan"]
    loans = paid.join(asked, left_on=["application", "account"], right_on=["id", "account"])
    assert len(loans) == len(paid)
    assert ((loans["paid_at"] > loans["asked_at"]) & (loans["paid_at"] - loans["asked_at"] < timedelta(days=2))).all()
    settled = frames["Instalment"].join(paid, left_on=["loan", "account"], right_on=["id", "account"])
    assert len(settled) == len(frames["Instalment"])
    assert (settled["at"] > settled["paid_at"] + timedelta(days=20)).all()


def test_no_arrears_before_their_loan_and_counts_follow_the_calendar(frames: dict[str, pl.DataFrame]) -> None:
    counted = frames["Arrears"].join(frames["Loan"], on=["application", "account"])
    assert len(counted) == len(frames["Arrears"])
    days = (counted["at"].dt.date() - counted["paid_at"].dt.date()).dt.total_days()
    due = days - counted["days_past_due"]
    assert (due >= 30).all()
    assert (due % 30 == 0).all()
    assert set(counted["days_past_due"]) == {15, 30, 60, 90}


def test_volumes_and_rates_are_those_of_a_lender(portfolio: Portfolio) -> None:
    frames, rows = portfolio.frames, closed_applications(portfolio)
    assert 0.5e6 < sum(len(frame) for frame in frames.values()) < 0.58e6
    assert 0.70 < len(frames["Loan"]) / len(frames["Application"]) < 0.85
    assert len(frames["Loan"]) > 4_000
    assert 0.04 < rows["bad"].sum() / len(rows) < 0.07


def test_outcomes_follow_the_latent_state_and_show_in_the_movements(portfolio: Portfolio) -> None:
    rows = closed_applications(portfolio)
    bad = rows["bad"].to_numpy()
    x = observable_features(portfolio, rows)
    train = np.arange(len(rows)) < 0.6 * len(rows)
    observed = area_under_curve(fitted_margin(x, bad, train)[~train], bad[~train])
    latent = area_under_curve(rows["strain"].to_numpy()[~train], bad[~train])
    assert 0.65 < observed < latent
    assert 0.83 < latent < 0.95
    shuffled = np.random.default_rng(0).permutation(bad)
    assert abs(area_under_curve(fitted_margin(x, shuffled, train)[~train], shuffled[~train]) - 0.5) < 0.09


def test_the_old_policy_selects_mildly(portfolio: Portfolio) -> None:
    truth = portfolio.truth
    strain = truth.group_by("approved").agg(pl.col("strain").mean()).sort("approved")["strain"]
    assert abs(strain[0] - strain[1]) < 0.5 * truth["strain"].std()  # type: ignore[operator]


def test_an_empty_portfolio_and_a_naive_end_are_refused() -> None:
    with pytest.raises(SettingsError, match="0 borrowers"):
        simulate(borrowers=0)
    with pytest.raises(SettingsError, match="no time zone"):
        simulate(borrowers=1, end=datetime(2026, 1, 1))  # noqa: DTZ001
