"""What thieves pay with other people's cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamgauge.testing.payments import Market

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

_MINUTE_US: Final = 60_000_000
_HOUR_US: Final = 60 * _MINUTE_US
_DAY_US: Final = 24 * _HOUR_US
_FAR: Final = 6
"""Countries from this number on are nobody's home."""
_STOLEN_A_YEAR, _LEAKS_A_YEAR, _USED_OF_LEAKED, _CROOKED = 0.035, 8.0, 0.12, 0.01


@dataclass(frozen=True, slots=True)
class Thefts:
    """Thieves' payments: int64[n] cards, merchants and moments in µs, float64[n] amounts, bool[n] card present."""

    card: Ints
    merchant: Ints
    at: Ints
    amount: Floats
    present: NDArray[np.bool_]

    @classmethod
    def join(cls, parts: list[Thefts]) -> Thefts:
        """Return the payments of all parts."""
        return cls(
            np.concatenate([part.card for part in parts]).astype(np.int64),
            np.concatenate([part.merchant for part in parts]).astype(np.int64),
            np.concatenate([part.at for part in parts]).astype(np.int64),
            np.concatenate([part.amount for part in parts]),
            np.concatenate([part.present for part in parts]),
        )


def draw_thefts(rng: np.random.Generator, market: Market, card: Ints, merchant: Ints, at: Ints, last: int) -> Thefts:
    """Draw the thefts of a history.

    Args:
        rng: Draws them.
        market: Who pays whom.
        card: int64[n], the card of each honest payment.
        merchant: int64[n], its merchant.
        at: int64[n], its moment, µs.
        last: The end of the history, µs.
    """
    years = max((last - int(at.min(initial=last))) / (365 * _DAY_US), 1 / 365)
    return Thefts.join(
        [
            _stolen(rng, market, years, last),
            _leaked(rng, market, (card, merchant, at), years),
            _crooked(rng, market, years, last),
        ]
    )


def _stolen(rng: np.random.Generator, market: Market, years: float, last: int) -> Thefts:
    """A stolen card is tried with small payments online within minutes, then emptied where goods are dear."""
    cards = np.flatnonzero(rng.random(len(market.home)) < 1 - np.exp(-_STOLEN_A_YEAR * years))
    begun = last - (rng.random(len(cards)) * years * 365 * _DAY_US).astype(np.int64)
    online, dear = np.flatnonzero(market.online), np.argsort(market.price)[-max(8, len(market.price) // 8) :]
    tries, takes = rng.integers(3, 9, len(cards)), rng.integers(2, 6, len(cards))
    first, second = np.repeat(np.arange(len(cards)), tries), np.repeat(np.arange(len(cards)), takes)
    where = online if len(online) else np.arange(len(market.price))
    tried = Thefts(
        cards[first],
        rng.choice(where, len(first)),
        begun[first] + rng.integers(0, 6 * _MINUTE_US, len(first)),
        rng.uniform(0.5, 4, len(first)),
        np.zeros(len(first), np.bool_),
    )
    shops = rng.choice(dear, len(second))
    taken = Thefts(
        cards[second],
        shops,
        begun[second] + 10 * _MINUTE_US + rng.integers(0, 3 * _HOUR_US, len(second)),
        market.price[shops] * rng.lognormal(0.9, 0.5, len(second)),
        ~market.online[shops],
    )
    return Thefts.join([tried, taken])


def _leaked(rng: np.random.Generator, market: Market, paid: tuple[Ints, Ints, Ints], years: float) -> Thefts:
    """Numbers that leaked at a merchant are used from abroad, online, some days to weeks later."""
    card, merchant, at = paid
    parts = [_nothing()]
    away = np.flatnonzero(market.online & (market.country >= _FAR))
    for _ in range(rng.poisson(_LEAKS_A_YEAR * years)):
        leak = rng.choice(len(market.price), p=market.popularity)
        begun = rng.choice(at) if len(at) else 0
        seen = np.unique(card[(merchant == leak) & (at >= begun) & (at < begun + 21 * _DAY_US)])
        used = seen[rng.random(len(seen)) < _USED_OF_LEAKED]
        index = np.repeat(np.arange(len(used)), rng.integers(1, 5, len(used)))
        if not len(index) or not len(away):
            continue
        start = begun + (rng.uniform(5, 40, len(used)) * _DAY_US).astype(np.int64)
        shops = rng.choice(away, len(index))
        parts.append(
            Thefts(
                used[index],
                shops,
                start[index] + rng.integers(0, 2 * _DAY_US, len(index)),
                rng.lognormal(4.3, 0.6, len(index)),
                np.zeros(len(index), np.bool_),
            )
        )
    return Thefts.join(parts)


def _crooked(rng: np.random.Generator, market: Market, years: float, last: int) -> Thefts:
    """A crooked merchant charges cards that never came, for some weeks."""
    parts = [_nothing()]
    for shop in np.flatnonzero(rng.random(len(market.price)) < _CROOKED * years):
        begun = last - int(rng.random() * years * 365 * _DAY_US)
        victims = rng.choice(len(market.home), min(len(market.home), int(rng.integers(15, 60))), replace=False)
        parts.append(
            Thefts(
                victims,
                np.full(len(victims), shop),
                begun + rng.integers(0, 30 * _DAY_US, len(victims)),
                market.price[shop] * rng.lognormal(0.3, 0.3, len(victims)),
                np.zeros(len(victims), np.bool_),
            )
        )
    return Thefts.join(parts)


def _nothing() -> Thefts:
    none = np.empty(0, np.int64)
    return Thefts(none, none, none, np.empty(0), np.empty(0, np.bool_))
