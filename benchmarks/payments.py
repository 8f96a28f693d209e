"""P3's workload: payments with the sixteen features that its peers can say, and records of which some are late."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.loader import load_source
from streamgauge.features.bind import BoundProgram
from streamgauge.features.layout import Layout
from streamgauge.features.program import FeatureProgram

Ints = NDArray[np.int64]

PROJECT = '''
import streamgauge as sg


class Payment(sg.Event):
    """One payment of an account."""

    id: sg.EventId
    account: sg.Entity
    at: sg.EventTime
    amount: sg.Money
    kind: sg.Category = sg.field(levels=["card", "cash", "rent", "other"])


paid = Payment.all
card = Payment.where(Payment.kind == "card")
windows = ["7d", "30d"]


class Spending(sg.Features, entity=Payment.account):
    """What an account pays."""

    count = paid.count(over=windows)
    total = paid.sum(Payment.amount, over=windows)
    mean = paid.mean(Payment.amount, over=windows)
    least = paid.min(Payment.amount, over=windows)
    most = paid.max(Payment.amount, over=windows)
    std = paid.std(Payment.amount, over=windows)
    card_count = card.count(over=windows)
    card_total = card.sum(Payment.amount, over=windows)
'''
KINDS = ("card", "cash", "rent", "other")
WINDOWS_DAYS = (7, 30)
DAY_US = 86_400_000_000
START_US = 20_000 * DAY_US
SPAN_DAYS = 365
EVENTS_PER_ACCOUNT = 200
LATEST_DAYS = 25

_SPEC = load_source(PROJECT, "payments")
STREAM = _SPEC.streams["Payment"]
PROGRAM = FeatureProgram.of(list(_SPEC.features.values()), _SPEC.streams)
LAYOUT = Layout.of([PROGRAM])
BOUND = BoundProgram.of(PROGRAM, LAYOUT)


@dataclass(frozen=True)
class Payments:
    """Records in the order in which they arrived: record i has position i + 1.

    Attributes:
        account: int64[n], from 0.
        at: int64[n], event times, µs; no two of an account are equal.
        known_at: int64[n], µs, ascending; later than ``at`` where the record was late.
        amount: int64[n], cents.
        kind: int64[n], the number of the level.
        accounts: How many accounts there are.
    """

    account: Ints
    at: Ints
    known_at: Ints
    amount: Ints
    kind: Ints
    accounts: int

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self.at)


def simulate(events: int, late: float, seed: int = 7, accounts: int | None = None) -> Payments:
    """Return payments over a year, 200 an account unless told, a share of them known up to 25 days late."""
    generator = np.random.default_rng(seed)
    accounts = max(1, events // EVENTS_PER_ACCOUNT) if accounts is None else accounts
    # One draw from each slot of the year, so that all moments differ.
    slot = SPAN_DAYS * DAY_US // events
    at = START_US + np.arange(events) * slot + generator.integers(0, slot, events)
    delay = np.where(generator.random(events) < late, generator.integers(0, LATEST_DAYS * DAY_US, events), 0)
    known_at = at + delay
    order = np.argsort(known_at, kind="stable")
    return Payments(
        account=generator.integers(0, accounts, events)[order],
        at=at[order],
        known_at=known_at[order],
        amount=generator.integers(-50_000, 50_000, events)[order],
        kind=generator.integers(0, len(KINDS), events)[order],
        accounts=accounts,
    )
