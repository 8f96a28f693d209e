"""Borrowers: who they are, and the financial condition that nobody observes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

EMPLOYERS, CUSTOMERS, LANDLORDS, SHOPS, UTILITIES, LENDERS = 600, 2_000, 500, 300, 40, 12

FIRMS, NEWCOMERS, INCOME_SHOCKS = 0.3, 0.2, 0.65
"""Shares: of borrowers that are firms or open their account on the way, of stress that strikes income."""

STRESS_DAYS = 140.0
STRESS_PER_DAY = 1 / 1_100
ONSET_DAYS = 15.0
MOOD_DAYS = 60.0


@dataclass(frozen=True, slots=True)
class Profiles:
    """What stays the same about each borrower: one array element a borrower, money in major units a month."""

    firm: Mask
    income: Floats
    volatility: Floats
    payday: Ints
    rent: Floats
    rent_day: Ints
    bills: Floats
    cash: Floats
    card: Floats
    fragility: Floats
    joined: Ints
    payer: Ints

    def __len__(self) -> int:
        """Return the number of borrowers."""
        return len(self.income)


def draw_profiles(rng: np.random.Generator, borrowers: int, days: int) -> Profiles:
    """Draw the lasting traits of `borrowers` borrowers, a fifth of whom open their account during the `days` days."""
    firm = rng.random(borrowers) < FIRMS
    fragility = rng.standard_normal(borrowers)
    income = np.where(firm, 7_500.0, 2_900.0) * np.exp(np.where(firm, 0.6, 0.35) * rng.standard_normal(borrowers))
    spent = np.clip(0.93 + 0.03 * fragility + 0.03 * rng.standard_normal(borrowers), 0.8, 1.05)
    rent = income * rng.uniform(0.18, 0.34, borrowers)
    bills = income * rng.uniform(0.06, 0.14, borrowers)
    cash = income * rng.uniform(0.02, 0.15, borrowers)
    late = rng.random(borrowers) < NEWCOMERS
    payer = np.where(firm, rng.integers(0, CUSTOMERS, borrowers), rng.integers(0, EMPLOYERS, borrowers))
    return Profiles(
        firm=firm,
        income=income,
        volatility=np.where(firm, rng.uniform(0.15, 0.5, borrowers), rng.uniform(0.01, 0.12, borrowers)),
        payday=rng.integers(1, 29, borrowers),
        rent=rent,
        rent_day=rng.integers(1, 8, borrowers),
        bills=bills,
        cash=cash,
        card=np.maximum(income * spent - rent - bills - cash, 0.1 * income),
        fragility=fragility,
        joined=np.where(late, (rng.random(borrowers) * 0.85 * days).astype(np.int64), 0),
        payer=payer,
    )


class Condition:
    """The latent financial condition of every borrower, moved on by one day at a time.

    A slow autoregressive mood, a lasting fragility and episodes of stress (a job or revenue lost, or an expense shock)
    add up to `strain`: about 0 for a borrower who is well, about 1 in the middle of an episode. Movements and
    repayments both follow from it; neither looks at the other.
    """

    def __init__(self, rng: np.random.Generator, profiles: Profiles) -> None:
        count = len(profiles)
        self._rng = rng
        self._fragility = profiles.fragility
        self._hazard = np.minimum(STRESS_PER_DAY * np.exp(0.5 * profiles.fragility), 0.01)
        self._mood = rng.standard_normal(count)
        self.stressed: Mask = rng.random(count) < STRESS_PER_DAY * STRESS_DAYS
        self.by_income: Mask = rng.random(count) < INCOME_SHOCKS
        self.severity: Floats = rng.uniform(0.5, 1.4, count)
        self.pressure: Floats = np.where(self.stressed, self.severity, 0.0)

    def advance(self) -> None:
        """Move every borrower on by one day."""
        rng, count = self._rng, len(self._mood)
        keep = 1 - 1 / MOOD_DAYS
        self._mood = keep * self._mood + np.sqrt(1 - keep * keep) * rng.standard_normal(count)
        draw = rng.random(count)
        onset = np.flatnonzero(~self.stressed & (draw < self._hazard * (1 + 0.5 * np.maximum(-self._mood, 0))))
        recovered = self.stressed & (draw < 1 / STRESS_DAYS)
        self.stressed = self.stressed & ~recovered
        self.begin(onset)
        target = np.where(self.stressed, self.severity, 0.0)
        self.pressure = self.pressure + (target - self.pressure) / ONSET_DAYS

    def begin(self, who: npt.NDArray[np.intp]) -> None:
        """Start an episode of stress for the borrowers numbered `who`."""
        self.stressed[who] = True
        self.by_income[who] = self._rng.random(len(who)) < INCOME_SHOCKS
        self.severity[who] = self._rng.uniform(0.5, 1.4, len(who))

    @property
    def strain(self) -> Floats:
        """How hard it is to meet a payment: about 0 when well, about 1 under stress."""
        return self.pressure - 0.14 * self._mood + 0.16 * self._fragility

    @property
    def income_factor(self) -> Floats:
        """What is left of the usual income."""
        shock: Floats = np.where(self.by_income, 0.72, 0.12) * self.pressure
        return np.maximum(1 - shock, 0.05) * np.exp(0.1 * self._mood)

    @property
    def expense_factor(self) -> Floats:
        """How far expenses exceed the usual ones."""
        return 1 + np.where(self.by_income, 0.05, 1.1) * self.pressure
