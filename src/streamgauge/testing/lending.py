"""The lender's side: applications, the loans of an old policy, instalments and arrears."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from streamgauge.testing.accounts import LENDER, LOAN

if TYPE_CHECKING:
    import numpy.typing as npt

    from streamgauge.testing.accounts import Book, Who
    from streamgauge.testing.borrowers import Condition, Floats, Ints, Mask, Profiles

SLOTS: Final = 2
"""Loans that one borrower may have at a time."""

PERIOD_DAYS: Final = 30
COUNTED_AT: Final = (15, 30, 60, 90)
"""Days past due on which the arrears of a loan are counted; after the last the loan is written off."""

_TERMS = np.array([3, 6, 9, 12, 18])
_TERM_SHARES = np.array([0.25, 0.35, 0.15, 0.18, 0.07])
_ASKS_PER_DAY = 0.0057
_REPAY_EARLY = 0.05
_AT_EASE = 0.2
_EARLY_DAYS = 3
_NEXT_DAY = 0.35
_PATIENCE_DAYS = 20
_HOUR = 3_600.0


def miss_chance(strain: Floats) -> Floats:
    """Return the chance that an instalment is not paid on its due date, given the latent strain."""
    return _logistic(-3.9 + 3.1 * strain)


def cure_chance(strain: Floats) -> Floats:
    """Return the chance a day that an overdue instalment is paid, given the latent strain."""
    return _logistic(-0.9 - 3.0 * strain)


def _logistic(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


class Rows:
    """Columns that grow by batches of rows."""

    def __init__(self, *names: str) -> None:
        self._parts: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in names}
        self.count = 0

    def add(self, **columns: npt.ArrayLike) -> Ints:
        """Append rows and return their numbers."""
        arrays = np.broadcast_arrays(*(np.asarray(columns[name], dtype=np.float64) for name in self._parts))
        for parts, array in zip(self._parts.values(), arrays, strict=True):
            parts.append(array)
        first, self.count = self.count, self.count + len(arrays[0])
        return np.arange(first, self.count)

    def columns(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return every column whole."""
        return {name: np.concatenate([np.empty(0), *parts]) for name, parts in self._parts.items()}


class Lender:
    """Takes applications, approves most of them, and collects: all by latent condition and chance, by no feature."""

    def __init__(self, rng: np.random.Generator, profiles: Profiles, book: Book, days: int) -> None:
        count = len(profiles)
        self._rng = rng
        self._profiles = profiles
        self._book = book
        self._days = days
        self._eager: Floats = np.exp(0.5 * rng.standard_normal(count) - 0.125)
        self._quiet_until: Ints = profiles.joined + rng.integers(20, 120, count)
        shape = (SLOTS, count)
        self.open: Mask = np.zeros(shape, dtype=np.bool_)
        self.loan: Ints = np.zeros(shape, dtype=np.int64)
        self.application: Ints = np.zeros(shape, dtype=np.int64)
        self.due: Ints = np.zeros(shape, dtype=np.int64)
        self.left: Ints = np.zeros(shape, dtype=np.int64)
        self.each: Floats = np.zeros(shape)
        self._waiting: list[tuple[Who, Ints, Floats, Ints]] = []
        self.applications = Rows("who", "day", "second", "amount", "term", "strain", "approved")
        self.loans = Rows("who", "day", "second", "application")
        self.instalments = Rows("who", "day", "second", "loan", "days_late", "early")
        self.arrears = Rows("who", "day", "second", "application", "days_past_due")

    def day(self, day: int, condition: Condition) -> None:
        """Run one day: count arrears, pay out what was approved yesterday, collect, then take applications."""
        strain = condition.strain
        for slot in range(SLOTS):
            self._count_arrears(day, slot)
        waiting, self._waiting = self._waiting, []
        for who, numbers, amounts, terms in waiting:
            self._pay_out(day, who, numbers, amounts, terms, self._rng.uniform(8 * _HOUR, 12 * _HOUR, len(who)))
        for slot in range(SLOTS):
            self._collect(day, slot, strain)
        self._take_applications(day, strain, condition.stressed)

    def _count_arrears(self, day: int, slot: int) -> None:
        late = day - self.due[slot]
        who = np.flatnonzero(self.open[slot] & np.isin(late, COUNTED_AT))
        second = self._rng.uniform(5 * _HOUR, 6 * _HOUR, len(who))
        self.arrears.add(
            who=who, day=day, second=second, application=self.application[slot, who], days_past_due=late[who]
        )
        lost = who[late[who] == COUNTED_AT[-1]]
        self.open[slot, lost] = False
        self.instalments.add(
            who=lost, day=day, second=6.5 * _HOUR, loan=self.loan[slot, lost], days_late=COUNTED_AT[-1], early=0
        )

    def _collect(self, day: int, slot: int, strain: Floats) -> None:
        late = day - self.due[slot]
        candidates = np.flatnonzero(self.open[slot] & (late >= -_EARLY_DAYS))
        when, tense = late[candidates], strain[candidates]
        chance = np.where(when == 0, 1 - miss_chance(tense), np.where(when > 0, cure_chance(tense), 0.0))
        chance = np.where((when == -_EARLY_DAYS) & (tense < _AT_EASE), _REPAY_EARLY, chance)
        who = candidates[self._rng.random(len(candidates)) < chance]
        second = self._rng.uniform(9 * _HOUR, 19 * _HOUR, len(who))
        self._book.post(day, who, second, -self.each[slot, who], LOAN, LENDER)
        self.instalments.add(
            who=who,
            day=day,
            second=second + self._rng.uniform(10, 900, len(who)),
            loan=self.loan[slot, who],
            days_late=np.maximum(late[who], 0),
            early=late[who] < 0,
        )
        self.due[slot, who] += PERIOD_DAYS
        self.left[slot, who] -= 1
        self.open[slot, who] = self.left[slot, who] > 0

    def _take_applications(self, day: int, strain: Floats, stressed: Mask) -> None:
        rng, people = self._rng, self._profiles
        growth = 0.5 + day / self._days
        need = growth * self._eager * (1 + 1.3 * stressed + 0.2 * np.clip(strain, 0, 2))
        free = ~self.open.all(axis=0) & (day >= self._quiet_until)
        who = np.flatnonzero(free & (rng.random(len(free)) < _ASKS_PER_DAY * need))
        terms = rng.choice(_TERMS, len(who), p=_TERM_SHARES)
        share = np.clip(rng.gamma(2.5, 0.2, len(who)) * (1 + 0.2 * stressed[who]), 0.1, 2.5)
        amounts = np.maximum(np.rint(people.income[who] * share / 50) * 50, 100.0)
        overdue = (self.open[:, who] & (self.due[:, who] < day)).any(axis=0)
        approved = ~overdue & (np.log(share) + 0.7 * rng.standard_normal(len(who)) < 0.0)
        second = rng.uniform(8 * _HOUR, 20 * _HOUR, len(who))
        numbers = self.applications.add(
            who=who, day=day, second=second, amount=amounts, term=terms, strain=strain[who], approved=approved
        )
        self._quiet_until[who] = day + _PATIENCE_DAYS + rng.integers(0, 30, len(who))
        tomorrow = rng.random(len(who)) < _NEXT_DAY
        today, later = approved & ~tomorrow, approved & tomorrow
        lag = rng.uniform(0.1 * _HOUR, 3 * _HOUR, len(who))
        self._pay_out(day, who[today], numbers[today], amounts[today], terms[today], (second + lag)[today])
        self._waiting.append((who[later], numbers[later], amounts[later], terms[later]))

    def _pay_out(self, day: int, who: Who, numbers: Ints, amounts: Floats, terms: Ints, second: Floats) -> None:
        loans = self.loans.add(who=who, day=day, second=second, application=numbers)
        self._book.post(day, who, second + 60, amounts, LOAN, LENDER)
        slot = self.open[0, who].astype(np.int64)
        self.open[slot, who] = True
        self.loan[slot, who] = loans
        self.application[slot, who] = numbers
        self.due[slot, who] = day + PERIOD_DAYS
        self.left[slot, who] = terms
        self.each[slot, who] = np.round(amounts * (1 + 0.012 * terms) / terms, 2)
