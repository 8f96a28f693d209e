"""Live events of a simulated lender, as ``POST /v1/events`` takes them, in the disorder of a real feed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import numpy as np

from streamgauge.testing.accounts import COUNTERPARTIES, KINDS, NOBODY
from streamgauge.testing.frames import account_names
from streamgauge.testing.habits import Habits

if TYPE_CHECKING:
    from streamgauge.testing.accounts import Who
    from streamgauge.testing.borrowers import Ints
    from streamgauge.testing.portfolio import Portfolio

Flat = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)
_SHARE_LATE = 0.01
_SHARE_REPEATED = 0.003
_SHARE_CORRECTED = 0.002
_SHARE_INSTALMENTS = 0.008
_SHARE_SHOCKED = 0.0005
_SHARE_ON_TIME = 0.93
_SHARE_WITH_BALANCE = 0.97
_RECENT = 4_096
_TERMS = np.array([3, 6, 9, 12, 18])
_A_DAY_US = 86_400_000_000


class LiveStream:
    """Carries a simulated portfolio on from its end, as fast as the caller asks, with its events out of order.

    Time is compressed: a batch spreads its events over the moments since the batch before, so accounts are much busier
    than in their history. About 1 event in 150 is an application to decide; 1 in 100 is held back for seconds or
    minutes; 3 in 1,000 are exact repeats and 2 in 1,000 are corrections of an earlier movement (`revision` 1). Now and
    then a borrower runs into stress, so that some scores move.

    Args:
        portfolio: What `simulate` returned.
        start: The moment after which events happen; not before the portfolio's end.
        seed: Seed of this stream alone; the same calls of `batch` then give the same events.
        applications: Share of events that are applications.
    """

    def __init__(self, portfolio: Portfolio, start: datetime, seed: int = 7, *, applications: float = 1 / 150) -> None:
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._income = portfolio.profiles.income
        self._names: list[str] = account_names(len(self._income)).to_list()
        self._cents = portfolio.balance.copy()
        self._habits = Habits(portfolio.profiles, portfolio.condition)
        self._applications = applications
        self._now = max(_micros(start), _micros(portfolio.end))
        self._next = {name: len(portfolio.frames[name]) for name in ("Movement", "Application", "Instalment")}
        slot, who = np.nonzero(portfolio.lender.open)
        numbers = portfolio.loan_numbers[portfolio.lender.loan[slot, who]]
        self._borrowing: Who = who[numbers >= 0]
        self._loans: list[str] = [f"l-{number:09d}" for number in numbers[numbers >= 0].tolist()]
        self._held: list[tuple[int, int, Flat]] = []
        self._recent: list[Flat] = []
        self._corrected: set[str] = set()
        self._late = 0

    def batch(self, now: datetime, events: int) -> list[Flat]:
        """Return `events` flat events that arrive at `now`, each with an event time at or before it.

        Times are ISO 8601 in UTC, money is text in major units.

        Example:
            >>> from streamgauge.testing.portfolio import simulate
            >>> portfolio = simulate(borrowers=20, days=60)
            >>> live = LiveStream(portfolio, portfolio.end)
            >>> [event["stream"] for event in live.batch(portfolio.end + timedelta(seconds=1), 2)]
            ['Movement', 'Movement']
        """
        moment = max(_micros(now), self._now)
        out: list[Flat] = []
        while self._held and self._held[0][0] <= moment and len(out) < events:
            out.append(heappop(self._held)[2])
        repeats = self._disorder(events - len(out))
        while len(out) + len(repeats) < events:
            out += self._on_time(moment, events - len(out) - len(repeats))
        self._now = moment
        self._recent = (self._recent + out)[-_RECENT:]
        return out + repeats

    def _on_time(self, moment: int, events: int) -> list[Flat]:
        """Draw new events, hold the late ones back and return the others."""
        fresh = self._fresh(moment, events)
        late = self._rng.random(events) < _SHARE_LATE
        for number in np.flatnonzero(late).tolist():
            due = moment + 2_000_000 + int(self._rng.exponential(45e6))
            self._late += 1
            heappush(self._held, (due, self._late, fresh[number]))
        return [event for event, waits in zip(fresh, late.tolist(), strict=True) if not waits]

    def _disorder(self, events: int) -> list[Flat]:
        """Draw repeats and corrections of what was delivered lately."""
        out: list[Flat] = []
        if not self._recent or events < 1:
            return out
        repeats = int(self._rng.binomial(events, _SHARE_REPEATED))
        corrections = int(self._rng.binomial(events, _SHARE_CORRECTED))
        picks: list[int] = self._rng.integers(0, len(self._recent), repeats + corrections).tolist()
        out.extend(dict(self._recent[at]) for at in picks[:repeats])
        for at in picks[repeats:]:
            event = self._recent[at]
            if event["stream"] == "Movement" and "op" not in event and event["id"] not in self._corrected:
                self._corrected.add(event["id"])
                out.append(self._correction(event))
        return out[:events]

    def _correction(self, event: Flat) -> Flat:
        was = round(float(event["amount"]) * 100)
        now = round(was * self._rng.uniform(0.5, 1.5)) or was
        corrected = {**event, "amount": _text(now), "revision": 1, "op": "replace"}
        if "balance" in event:
            corrected["balance"] = _text(round(float(event["balance"]) * 100) + now - was)
        self._cents[int(event["account"].removeprefix("acc-"))] += now - was
        return corrected

    def _fresh(self, moment: int, events: int) -> list[Flat]:
        """Draw new events that happen between the last batch and `moment`."""
        rng = self._rng
        self._habits.shock(rng.integers(0, len(self._income), rng.binomial(events, _SHARE_SHOCKED)))
        span = min(max(moment - self._now, 1), _A_DAY_US)
        when = np.sort(moment - (rng.random(events) * span).astype(np.int64))
        stamps: list[str] = np.datetime_as_string(when.astype("M8[us]"), unit="us").tolist()
        who = rng.integers(0, len(self._income), events)
        sort = rng.random(events)
        asks = sort < self._applications
        repays = ~asks & (sort < self._applications + _SHARE_INSTALMENTS) & (len(self._loans) > 0)
        loans = rng.integers(0, max(len(self._loans), 1), events)
        kind = self._habits.kinds(rng, who)
        cents, party = self._habits.amounts(rng, who, kind, self._cents[who])
        balance = self._running(who, np.where(asks | repays, 0, cents))
        shown = rng.random(events) < _SHARE_WITH_BALANCE
        columns = (who, asks, repays, loans, kind, cents, party, balance, shown)
        rows = zip(stamps, *(column.tolist() for column in columns), strict=True)
        return [self._event(*row) for row in rows]

    def _event(  # noqa: PLR0913, PLR0917 - one row of columns
        self,
        stamp: str,
        who: int,
        asks: bool,  # noqa: FBT001
        repays: bool,  # noqa: FBT001
        loan: int,
        kind: int,
        cents: int,
        party: int,
        balance: int,
        shown: bool,  # noqa: FBT001
    ) -> Flat:
        if asks:
            return self._application(who, f"{stamp}Z")
        if repays:
            return self._instalment(loan, f"{stamp}Z")
        event: Flat = {
            "stream": "Movement",
            "id": self._id("Movement", "m"),
            "account": self._names[who],
            "booked_at": f"{stamp}Z",
            "amount": _text(cents),
            "kind": KINDS[kind],
        }
        if shown:
            event["balance"] = _text(balance)
        if party != NOBODY:
            event["counterparty"] = COUNTERPARTIES[party]
        return event

    def _running(self, who: Who, cents: Ints) -> Ints:
        """Post the amounts in order and return the balance after each."""
        order = np.argsort(who, kind="stable")
        sums = np.cumsum(cents[order])
        first = np.flatnonzero(np.diff(who[order], prepend=-1))
        before = np.repeat(sums[first] - cents[order][first], np.diff(first, append=len(who)))
        balance = np.empty_like(cents)
        balance[order] = self._cents[who[order]] + sums - before
        np.add.at(self._cents, who, cents)
        return balance

    def _application(self, borrower: int, stamp: str) -> Flat:
        share = min(max(self._rng.gamma(2.5, 0.2), 0.1), 2.5)
        amount = max(round(self._income[borrower] * share / 50) * 50, 100)
        return {
            "stream": "Application",
            "id": self._id("Application", "a"),
            "account": self._names[borrower],
            "asked_at": stamp,
            "amount": f"{amount}.00",
            "term_months": int(_TERMS[self._rng.integers(0, len(_TERMS))]),
        }

    def _instalment(self, loan: int, stamp: str) -> Flat:
        borrower = int(self._borrowing[loan])
        on_time = self._rng.random() < _SHARE_ON_TIME - 0.5 * min(max(self._habits.strain[borrower], 0.0), 1.2)
        return {
            "stream": "Instalment",
            "id": self._id("Instalment", "i"),
            "account": self._names[borrower],
            "at": stamp,
            "loan": self._loans[loan],
            "days_late": 0 if on_time else 1 + int(self._rng.exponential(6.0)),
            "early": bool(on_time and self._rng.random() < 1 - _SHARE_ON_TIME),
        }

    def _id(self, stream: str, prefix: str) -> str:
        number = self._next[stream]
        self._next[stream] = number + 1
        return f"{prefix}-{number:09d}"


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICRO


def _text(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"
