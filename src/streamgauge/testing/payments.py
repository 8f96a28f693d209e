"""Simulated card payments: cards with habits, merchants with prices, and thieves with theirs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from streamgauge.errors import SettingsError
from streamgauge.testing.thefts import Thefts, draw_thefts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

DEFAULT_END: Final = datetime(2026, 1, 1, tzinfo=UTC)
COUNTRIES: Final = ("ES", "PT", "FR", "IT", "DE", "GB", "NL", "US", "RO", "TR", "BR", "CN")
HOME_COUNTRIES: Final = (0.55, 0.12, 0.10, 0.08, 0.08, 0.07)
DAY_US: Final = 86_400_000_000
_MONEY: Final = pl.Decimal(18, 2)
_STAMP: Final = pl.Datetime("us", "UTC")
_ONLINE, _FAVOURITES, _USUAL = 0.25, 8, 0.8
_REPORTED, _DISPUTED = 0.9, 0.0002
_PAID_A_DAY: Final = 0.2


@dataclass(frozen=True, slots=True)
class Market:
    """Who pays whom.

    Attributes:
        home: int64[cards], each card's country.
        wealth: float64[cards], how a card's amounts differ from the usual ones, a factor.
        favourites: int64[cards, 8], the merchants a card mostly pays.
        country: int64[merchants].
        price: float64[merchants], the median amount.
        online: bool[merchants].
        popularity: float64[merchants], adding up to 1.
    """

    home: Ints
    wealth: Floats
    favourites: Ints
    country: Ints
    price: Floats
    online: NDArray[np.bool_]
    popularity: Floats


def simulate_payments(
    cards: int = 4_000, merchants: int = 600, days: int = 365, end: datetime = DEFAULT_END, seed: int = 7
) -> dict[str, pl.DataFrame]:
    """Return payments and chargebacks up to `end`: a frame for each, sorted by event time.

    Columns are the fields of the event classes of the fraud project, times in UTC and money in major units, and
    `known_at`: two seconds after a payment, an hour after a chargeback's report, never after `end`. About one payment
    in 250 is a thief's; most of those are reported within some weeks. Thieves try a stolen card with small payments
    within minutes and then empty it, use numbers that leaked at a merchant from abroad, or run a merchant themselves.

    Args:
        cards: How many cards there are; each pays about once in five days.
        merchants: How many merchants.
        days: How long the history is.
        end: Its end, in a time zone.
        seed: Another seed draws another history.

    Raises:
        SettingsError: A count is below its least, or `end` is naive.

    Example:
        >>> frames = simulate_payments(cards=50, merchants=40, days=60)
        >>> sorted(frames), frames["Payment"].columns[:3]
        (['Chargeback', 'Payment'], ['id', 'card', 'merchant'])
    """
    if cards < 1 or merchants < _FAVOURITES or days < 1 or end.tzinfo is None:
        raise SettingsError(
            f"A history needs a card, {_FAVOURITES} merchants, a day and an end in a time zone; "
            f"given are {cards}, {merchants}, {days} and {end}."
        )
    rng = np.random.default_rng(seed)
    market = draw_market(rng, cards, merchants)
    last = int(end.timestamp() * 1_000_000)
    honest = _honest(rng, market, last - days * DAY_US, last)
    thefts = draw_thefts(rng, market, honest.card, honest.merchant, honest.at, last)
    return _frames(rng, market, honest, thefts, last)


def draw_market(rng: np.random.Generator, cards: int, merchants: int) -> Market:
    """Draw cards and merchants."""
    weights = 1 / np.arange(1, merchants + 1) ** 0.8
    popularity = rng.permutation(weights / weights.sum())
    country = rng.choice(len(COUNTRIES), merchants, p=np.array([0.4, 0.1, 0.1, 0.08, 0.08, 0.06] + [0.03] * 6))
    home = rng.choice(len(HOME_COUNTRIES), cards, p=np.array(HOME_COUNTRIES))
    online = rng.random(merchants) < _ONLINE
    favourites = np.empty((cards, _FAVOURITES), np.int64)
    for place in range(len(HOME_COUNTRIES)):
        near = popularity * np.where(country == place, 1.0, np.where(online, 0.5, 0.02))
        mine = np.flatnonzero(home == place)
        favourites[mine] = rng.choice(merchants, (len(mine), _FAVOURITES), p=near / near.sum())
    return Market(
        home=home.astype(np.int64),
        wealth=rng.lognormal(0, 0.4, cards),
        favourites=favourites,
        country=country.astype(np.int64),
        price=rng.lognormal(3.2, 0.9, merchants),
        online=online,
        popularity=popularity,
    )


@dataclass(frozen=True, slots=True)
class _Payments:
    card: Ints
    merchant: Ints
    at: Ints
    amount: Floats
    country: Ints
    present: NDArray[np.bool_]


def _honest(rng: np.random.Generator, market: Market, first: int, last: int) -> _Payments:
    """Draw what the cards' owners pay, by day more than by night, at home but for some weeks abroad."""
    cards = len(market.home)
    days = (last - first) // DAY_US
    count = rng.poisson(rng.lognormal(np.log(_PAID_A_DAY) - 0.18, 0.6, cards) * days)
    card = np.repeat(np.arange(cards), count)
    hour = rng.beta(4, 2.6, len(card)) * 24
    at = first + rng.integers(0, days, len(card)) * DAY_US + (hour * 3_600_000_000).astype(np.int64)
    away = rng.integers(first, last, cards)
    abroad = (at >= away[card]) & (at < away[card] + 8 * DAY_US) & (rng.random(cards) < 0.5)[card]
    merchant = np.where(
        rng.random(len(card)) < _USUAL,
        market.favourites[card, rng.integers(0, _FAVOURITES, len(card))],
        rng.choice(len(market.country), len(card), p=market.popularity),
    )
    merchant = np.where(abroad, rng.choice(len(market.country), len(card), p=market.popularity), merchant)
    amount = market.price[merchant] * market.wealth[card] * rng.lognormal(0, 0.5, len(card))
    present = ~market.online[merchant]
    return _Payments(card, merchant, at, amount, market.country[merchant], present)


def _frames(
    rng: np.random.Generator, market: Market, honest: _Payments, thefts: Thefts, last: int
) -> dict[str, pl.DataFrame]:
    owners = len(honest.card)
    at = np.concatenate([honest.at, thefts.at])
    stolen = np.arange(len(at)) >= owners
    merchant = np.concatenate([honest.merchant, thefts.merchant])
    columns = {
        "card": np.concatenate([honest.card, thefts.card]),
        "merchant": merchant,
        "at": at,
        "amount": np.maximum(np.concatenate([honest.amount, thefts.amount]), 0.5),
        "country": market.country[merchant],
        "present": np.concatenate([honest.present, thefts.present]),
    }
    order = np.argsort(at, kind="stable")
    order = order[at[order] < last]
    chosen = {name: values[order] for name, values in columns.items()}
    payments = pl.DataFrame(
        {
            "id": pl.Series(np.arange(len(order))).cast(pl.String).str.zfill(8).str.pad_start(9, "p"),
            "card": _named("C", chosen["card"]),
            "merchant": _named("M", chosen["merchant"]),
            "at": pl.Series(chosen["at"]).cast(_STAMP),
            "amount": pl.Series(chosen["amount"].round(2)).cast(_MONEY),
            "country": pl.Series(COUNTRIES).gather(chosen["country"]),
            "present": pl.Series(chosen["present"]),
            "known_at": pl.Series(np.minimum(chosen["at"] + 2_000_000, last)).cast(_STAMP),
        }
    )
    told = np.where(stolen[order], rng.random(len(order)) < _REPORTED, rng.random(len(order)) < _DISPUTED)
    reported = chosen["at"] + (rng.lognormal(np.log(9), 0.8, len(order)) * DAY_US).astype(np.int64)
    chargebacks = (
        payments.select("card", "merchant", pl.col("id").alias("payment"))
        .with_columns(
            pl.concat_str(pl.lit("cb-"), "payment").alias("id"),
            pl.Series("at", reported).cast(_STAMP),
            pl.Series("known_at", np.minimum(reported + 3_600_000_000, last)).cast(_STAMP),
        )
        .filter(pl.Series(told & (reported < last)))
        .sort("at", "id")
    )
    return {
        "Payment": payments,
        "Chargeback": chargebacks.select("id", "card", "merchant", "at", "payment", "known_at"),
    }


def _named(letter: str, numbers: Ints) -> pl.Series:
    return pl.Series(numbers).cast(pl.String).str.zfill(5).str.pad_start(6, letter)
