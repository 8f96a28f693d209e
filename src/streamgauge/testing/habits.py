"""Habits of simulated borrowers: which movement comes next on an account, and how large it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamgauge.testing.accounts import (
    CARD,
    CASH,
    CUSTOMER,
    EMPLOYER,
    FEE,
    FEE_CENTS,
    KINDS,
    LANDLORD,
    LENDER,
    LOAN,
    NOBODY,
    OTHER,
    OWN,
    RENT,
    RETURNED,
    SALARY,
    SALES,
    SHOP,
    UTILITY,
)
from streamgauge.testing.borrowers import CUSTOMERS, EMPLOYERS, LANDLORDS, LENDERS, SHOPS, UTILITIES

if TYPE_CHECKING:
    from streamgauge.testing.accounts import Who
    from streamgauge.testing.borrowers import Condition, Floats, Ints, Profiles

_ADVANCES, _OWN_LENDER = 0.1, 0.5
_HIGH, _LOW = 1.3, 0.05


class Habits:
    """Rates and amounts of every kind of movement, for each borrower in the condition that a history ended with."""

    def __init__(self, people: Profiles, condition: Condition) -> None:
        self._people = people
        self._income: Floats = np.array(condition.income_factor)
        self._expense: Floats = np.array(condition.expense_factor)
        self.strain: Floats = np.array(condition.strain)
        self._chances: Floats = np.empty((len(people), len(KINDS)))
        self._refresh(np.arange(len(people)))

    def shock(self, who: Who) -> None:
        """Take most of the income of the borrowers in `who` away."""
        self._income[who] = 0.3
        self.strain[who] = 1.0
        self._refresh(who)

    def kinds(self, rng: np.random.Generator, who: Who) -> Ints:
        """Draw the kind of the next movement of each borrower in `who`, by number."""
        kinds: Ints = (rng.random((len(who), 1)) > self._chances[who]).sum(axis=1)
        return np.minimum(kinds, OTHER)

    def amounts(self, rng: np.random.Generator, who: Who, kind: Ints, balance: Ints) -> tuple[Ints, Ints]:
        """Return signed cents and counterparty codes of movements of the given kinds, at these balances."""
        people, income = self._people, self._people.income[who]
        months = balance / (100 * income)
        thrift = np.clip(0.95 + 0.4 * (months - 0.4), 0.3, 1.35) * self._expense[who]
        factor, noise = self._income[who], rng.gamma(3.0, 1 / 3, len(who))
        steady = np.exp(people.volatility[who] * rng.standard_normal(len(who)))
        pick = rng.random(len(who))
        elsewhere = (pick < _ADVANCES) | (pick > _OWN_LENDER)
        amounts: dict[int, Floats] = {
            SALARY: income * factor * steady,
            SALES: income / 3.65 * factor * steady,
            RENT: -people.rent[who],
            CARD: -np.maximum(people.card[who] / 2.74 * thrift * noise, 1.0),
            CASH: -np.maximum(np.rint(people.cash[who] / 6 * thrift * noise) * 10, 10.0),
            LOAN: np.where(pick < _ADVANCES, np.maximum(np.rint(income * noise * 0.028) * 10, 50.0), -0.06 * income),
            FEE: np.full(len(who), -FEE_CENTS / 100),
            RETURNED: people.bills[who] * (0.6 + 0.8 * pick),
            OWN: np.where(months > _HIGH, -(months - 0.9) * income, np.where(months < _LOW, 0.3, -0.03) * income),
            OTHER: -people.bills[who] * (0.6 + 0.8 * pick),
        }
        shops = (SHOPS * pick**2).astype(np.int64)
        customers = (people.payer[who] + (6 * pick**1.6).astype(np.int64)) % CUSTOMERS
        nobody = np.full(len(who), NOBODY)
        lenders = LENDER + np.where(elsewhere, 1 + people.payer[who] % LENDERS, 0)
        parties: dict[int, Ints] = {
            SALARY: EMPLOYER + people.payer[who] % EMPLOYERS,
            SALES: CUSTOMER + customers,
            RENT: LANDLORD + people.payer[who] % LANDLORDS,
            CARD: SHOP + shops,
            CASH: nobody,
            LOAN: lenders,
            FEE: nobody,
            RETURNED: UTILITY + people.payer[who] % UTILITIES,
            OWN: nobody,
            OTHER: UTILITY + people.payer[who] % UTILITIES,
        }
        order = range(len(KINDS))
        money = np.choose(kind, [amounts[number] for number in order])
        cents: Ints = np.rint(money * 100).astype(np.int64)
        return cents, np.choose(kind, [parties[number] for number in order])

    def _refresh(self, who: Who) -> None:
        """Cumulate the chances of the kinds, from monthly rates."""
        people, strain = self._people, np.clip(self.strain[who], 0.0, 1.5)
        rates = np.empty((len(who), len(KINDS)))
        rates[:, SALARY] = np.where(people.firm[who], 0.0, np.minimum(1.0, 0.25 + self._income[who]))
        rates[:, SALES] = np.where(people.firm[who], 3.65, 0.0)
        rates[:, RENT] = 1.0
        rates[:, CARD] = 2.74
        rates[:, CASH] = 0.6 * (1 + 0.5 * strain)
        rates[:, LOAN] = 0.7
        rates[:, FEE] = 0.1 + 0.7 * strain
        rates[:, RETURNED] = 0.03 + 0.5 * strain
        rates[:, OWN] = 0.35
        rates[:, OTHER] = 0.85
        self._chances[who] = np.cumsum(rates, axis=1) / rates.sum(axis=1, keepdims=True)
