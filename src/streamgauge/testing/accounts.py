"""Current accounts: the movements that a borrower's condition leaves on the statement, one day at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from streamgauge.testing.borrowers import CUSTOMERS, EMPLOYERS, LANDLORDS, LENDERS, SHOPS, UTILITIES

if TYPE_CHECKING:
    import numpy.typing as npt

    from streamgauge.testing.borrowers import Condition, Floats, Ints, Mask, Profiles

    Who = npt.NDArray[np.intp]

KINDS: Final = ("salary", "sales", "rent", "card", "cash", "loan", "fee", "returned", "own", "other")
SALARY, SALES, RENT, CARD, CASH, LOAN, FEE, RETURNED, OWN, OTHER = range(len(KINDS))

_PARTIES = (
    ("employer", EMPLOYERS),
    ("customer", CUSTOMERS),
    ("landlord", LANDLORDS),
    ("shop", SHOPS),
    ("utility", UTILITIES),
    ("lender", LENDERS + 1),
)
_STARTS = np.cumsum([0, *(size for _, size in _PARTIES)]).tolist()
EMPLOYER, CUSTOMER, LANDLORD, SHOP, UTILITY, LENDER, NOBODY = (int(start) for start in _STARTS)
"""Codes: the first counterparty of each sort; `LENDER` itself is the lender whose loans these are."""

COUNTERPARTIES: Final[tuple[str | None, ...]] = (
    *(f"{sort}-{number:04d}" for sort, size in _PARTIES for number in range(size)),
    None,
)

HOUR = 3_600.0
FEE_CENTS = 900

_BILL_RATE = 0.028
_CARD_RATE = 0.09
_CASH_RATE = 0.02
_FEE_RATE = 0.04
_OWN_RATE = 0.08
_LOAN_RATE = 0.0009
_BOUNCES = 0.75
_LOW_MONTHS = 0.05
_MOST_OWED = 18
_NEW_JOB_SEVERITY = 1.2


class Book:
    """Every movement posted so far, and the running balance of every account in minor units."""

    def __init__(self, opening: Ints) -> None:
        self.opening = opening.copy()
        self.balance = opening.copy()
        self._columns: tuple[list[Ints], ...] = ([], [], [], [], [])

    def post(self, day: int, who: Who, second: Floats, amount: Floats, kind: int, counterparty: Ints | int) -> None:
        """Post one movement for each account in `who` (no account twice), `amount` in major units."""
        if not len(who):
            return
        cents = np.rint(amount * 100).astype(np.int64)
        self.balance[who] += cents
        when = day * 86_400_000_000 + (np.minimum(second, 86_399.0) * 1e6).astype(np.int64)
        parties = np.broadcast_to(np.asarray(counterparty, dtype=np.int64), who.shape)
        columns = (who, when, cents, np.full_like(when, kind), parties)
        for column, values in zip(self._columns, columns, strict=True):
            column.append(values)

    def columns(self) -> tuple[Ints, Ints, Ints, Ints, Ints]:
        """Return account number, microseconds since the first midnight, cents, kind and counterparty of each."""
        empty = np.empty(0, dtype=np.int64)
        who, when, cents, kind, party = (np.concatenate([empty, *column]) for column in self._columns)
        return who, when, cents, kind, party


class Accounts:
    """Posts each day's ordinary movements: income, spending, sweeps, fees, and the loans of other lenders."""

    def __init__(self, rng: np.random.Generator, profiles: Profiles) -> None:
        count = len(profiles)
        self._rng = rng
        self._profiles = profiles
        buffer = np.clip(0.55 - 0.15 * profiles.fragility + 0.3 * rng.standard_normal(count), 0.05, 2.0)
        self.book = Book(np.rint(buffer * profiles.income * 100).astype(np.int64))
        self._comfort: Floats = 0.4 - 0.15 * profiles.fragility
        self.savings: Floats = profiles.income * rng.exponential(0.8, count) * np.exp(-0.3 * profiles.fragility)
        self.owed = rng.integers(0, 12, count) * (rng.random(count) < 0.12 + 0.05 * profiles.fragility)
        self.owed_each: Floats = profiles.income * rng.uniform(0.02, 0.08, count)
        self.other_lender = LENDER + 1 + rng.integers(0, LENDERS, count)

    @property
    def months(self) -> Floats:
        """Balance in months of usual income."""
        return self.book.balance / (100 * self._profiles.income)

    def day(self, day: int, day_of_month: int, condition: Condition, *, open_: Mask) -> None:
        """Post one day's movements of the accounts marked in `open_`."""
        draws = self._rng.random((6, len(open_)), dtype=np.float32)
        draws[:, ~open_] = 2.0
        self._income(day, day_of_month, draws[0], condition)
        self._debits(day, day_of_month, draws[1], open_=open_)
        self._spending(day, draws[2:4], condition)
        self._own(day, draws[4])
        self._other_loans(day, draws[5], condition)

    def _hours(self, who: Who, first: float, last: float) -> Floats:
        return self._rng.uniform(first * HOUR, last * HOUR, len(who))

    def _income(self, day: int, day_of_month: int, draw: npt.NDArray[np.float32], condition: Condition) -> None:
        people, rng = self._profiles, self._rng
        factor = condition.income_factor
        paid = ~people.firm & (people.payday == day_of_month) & (draw < np.minimum(1.0, 0.25 + factor))
        who = np.flatnonzero(paid)
        noise = np.exp(people.volatility[who] * rng.standard_normal(len(who)))
        changed = people.payer[who] + np.where(condition.severity[who] > _NEW_JOB_SEVERITY, 7, 0)
        amount = people.income[who] * factor[who] * noise
        self.book.post(day, who, self._hours(who, 2, 6), amount, SALARY, EMPLOYER + changed % EMPLOYERS)
        who = np.flatnonzero(people.firm & (draw < np.minimum(0.12 * (0.4 + 0.6 * factor), 1.0)))
        noise = np.exp(people.volatility[who] * rng.standard_normal(len(who)) - people.volatility[who] ** 2 / 2)
        amount = people.income[who] * factor[who] / (0.4 + 0.6 * factor[who]) / 3.65 * noise
        customer = (people.payer[who] + (6 * rng.random(len(who)) ** 1.6).astype(np.int64)) % CUSTOMERS
        self.book.post(day, who, self._hours(who, 8, 18), amount, SALES, CUSTOMER + customer)

    def _debits(self, day: int, day_of_month: int, draw: npt.NDArray[np.float32], *, open_: Mask) -> None:
        people = self._profiles
        who = np.flatnonzero(open_ & (people.rent_day == day_of_month))
        self._debit(day, who, people.rent[who], RENT, LANDLORD + people.payer[who] % LANDLORDS)
        who = np.flatnonzero(draw < _BILL_RATE)
        amount = people.bills[who] / 0.85 * self._rng.uniform(0.6, 1.4, len(who))
        self._debit(day, who, amount, OTHER, UTILITY + (people.payer[who] + day) % UTILITIES)
        who = np.flatnonzero((self.owed > 0) & open_ & ((people.payday + 3) % 28 + 1 == day_of_month))
        self.owed[who] -= 1
        self._debit(day, who, self.owed_each[who], LOAN, self.other_lender[who])

    def _debit(self, day: int, who: Who, amount: Floats, kind: int, counterparty: Ints) -> None:
        """Collect a payment, which the bank returns for a fee where the overdraft does not cover it."""
        second = self._hours(who, 6.5, 10)
        self.book.post(day, who, second, -amount, kind, counterparty)
        limit = 0.22 * self._profiles.income[who]
        back = (self.book.balance[who] / 100 < -limit) & (self._rng.random(len(who)) < _BOUNCES)
        bounced = who[back]
        self.book.post(day, bounced, second[back] + 2 * HOUR, amount[back], RETURNED, counterparty[back])
        fee = np.full(len(bounced), -FEE_CENTS / 100)
        self.book.post(day, bounced, second[back] + 2.01 * HOUR, fee, FEE, NOBODY)

    def _spending(self, day: int, draws: npt.NDArray[np.float32], condition: Condition) -> None:
        people, rng = self._profiles, self._rng
        factor = condition.expense_factor * np.clip(0.95 + 0.4 * (self.months - self._comfort), 0.3, 1.35)
        often = np.sqrt(condition.expense_factor)
        who = np.flatnonzero(draws[0] < _CARD_RATE * often)
        amount = people.card[who] * factor[who] / often[who] / 2.74 * rng.gamma(3.0, 1 / 3, len(who))
        shop = SHOP + (SHOPS * rng.random(len(who)) ** 2).astype(np.int64)
        self.book.post(day, who, self._hours(who, 10.5, 20), -np.maximum(amount, 1.0), CARD, shop)
        rate = _CASH_RATE * (1 + 0.5 * np.maximum(condition.strain, 0))
        who = np.flatnonzero(draws[1] < rate)
        amount = people.cash[who] * factor[who] / 0.6 * rng.uniform(0.5, 1.5, len(who))
        self.book.post(day, who, self._hours(who, 10, 21), -np.maximum(np.rint(amount / 10) * 10, 10.0), CASH, NOBODY)
        who = np.flatnonzero((self.book.balance < 0) & (draws[1] > 1 - _FEE_RATE) & (draws[1] <= 1))
        charge = -np.full(len(who), FEE_CENTS / 100) + self.book.balance[who] / 100 * 0.004
        self.book.post(day, who, self._hours(who, 23, 23.5), charge, FEE, NOBODY)

    def _own(self, day: int, draw: npt.NDArray[np.float32]) -> None:
        """Sweep a surplus to the savings account, and draw on it when the balance runs low."""
        months, income = self.months, self._profiles.income
        who = np.flatnonzero((months > self._comfort + 0.9) & (draw < _OWN_RATE))
        amount = (months[who] - self._comfort[who] - 0.5) * income[who]
        self.savings[who] += amount
        self.book.post(day, who, self._hours(who, 18, 22), -amount, OWN, NOBODY)
        who = np.flatnonzero((months < _LOW_MONTHS) & (self.savings > 0.1 * income) & (draw < _OWN_RATE))
        amount = np.minimum(self.savings[who], 0.4 * income[who])
        self.savings[who] -= amount
        self.book.post(day, who, self._hours(who, 18, 22), amount, OWN, NOBODY)

    def _other_loans(self, day: int, draw: npt.NDArray[np.float32], condition: Condition) -> None:
        people, rng = self._profiles, self._rng
        rate = _LOAN_RATE * np.exp(1.1 * np.minimum(condition.strain, 2.0))
        who = np.flatnonzero((draw < rate) & (self.owed < _MOST_OWED))
        terms = rng.integers(3, 13, len(who))
        amount = np.maximum(np.rint(people.income[who] * rng.gamma(2.0, 0.14, len(who)) / 10) * 10, 50.0)
        total = self.owed_each[who] * self.owed[who] + amount * (1 + 0.02 * terms)
        self.owed[who] = np.maximum(self.owed[who], terms)
        self.owed_each[who] = total / self.owed[who]
        self.other_lender[who] = LENDER + 1 + rng.integers(0, LENDERS, len(who))
        self.book.post(day, who, self._hours(who, 9, 17), amount, LOAN, self.other_lender[who])
