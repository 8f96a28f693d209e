"""A simulated subscription service: the streams of the churn project, of customers whose interest nobody sees."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from streamgauge.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

DEFAULT_END: Final = datetime(2026, 1, 5, tzinfo=UTC)
_DAY_US: Final = 86_400_000_000
_PERIOD: Final = 30
_RETRIES: Final = (3, 7)
_GIVEN_UP: Final = 8
_SESSION_MINUTES: Final = 22.0
_PRICES: Final = (9.99, 14.99, 24.99)


@dataclass(frozen=True, slots=True)
class Service:
    """A simulated history.

    `frames` holds one frame a stream, with `known_at`; `people` the protected attributes, a row a customer; `truth` the
    latent log of weekly interest and the true probability that a renewal fails, a row a renewal, for tests only.
    """

    frames: dict[str, pl.DataFrame]
    people: pl.DataFrame
    truth: pl.DataFrame
    end: datetime


def simulate_service(customers: int = 2_000, days: int = 540, end: datetime = DEFAULT_END, seed: int = 11) -> Service:
    """Return the history of a subscription service up to `end`.

    A customer's interest fades at some day and shows in sessions; low interest makes a renewal fail, by a cancellation
    or by a charge that is never paid. Women and the young lapse a little more often than their interest says.

    Args:
        customers: How many customers ever subscribe.
        days: How many days before `end` the service begins.
        end: The end of the history, in a time zone.
        seed: Another seed gives other customers.

    Raises:
        SettingsError: `customers` or `days` is below 1, or `end` is naive.

    >>> service = simulate_service(customers=20, days=120)
    >>> sorted(service.frames), service.people.columns
    (['Change', 'Charge', 'Session'], ['customer', 'sex', 'born'])
    """
    if customers < 1 or days < 1:
        raise SettingsError(f"A service of {customers} customers over {days} days is empty. Give at least 1 of each.")
    if end.tzinfo is None:
        raise SettingsError(f"The end {end} names no time zone. Give a datetime with tzinfo, such as datetime.UTC.")
    rng = np.random.Generator(np.random.PCG64(seed))
    end = end.astimezone(UTC)
    crowd = _Crowd(rng, customers, days)
    for day in range(days):
        crowd.live(day)
    first_us = int((end - timedelta(days=days)).timestamp()) * 1_000_000
    frames = {
        "Session": crowd.sessions.frame(first_us, "s", known_after_s=1_800),
        "Charge": crowd.charges.frame(first_us, "c", known_after_s=3_600),
        "Change": crowd.changes.frame(first_us, "x", known_after_s=600),
    }
    frames = {name: _until(frame, end) for name, frame in frames.items()}
    people = pl.DataFrame({"customer": crowd.names, "sex": crowd.sex.tolist(), "born": crowd.born})
    return Service(frames, people, crowd.truth(), end)


class _Rows:
    """Rows of one stream: customer, day and time of day, and the payload's columns."""

    def __init__(self, names: Sequence[str], columns: Sequence[str]) -> None:
        self._names = names
        self._columns = columns
        self._who: list[Ints] = []
        self._at: list[Ints] = []
        self._payload: list[list[NDArray[Any]]] = [[] for _ in columns]

    def add(self, who: Ints, at_us: Ints, *payload: NDArray[Any]) -> None:
        """Add rows; moments are µs since the history's first day."""
        if len(who):
            self._who.append(who)
            self._at.append(at_us)
            for held, column in zip(self._payload, payload, strict=True):
                held.append(column)

    def frame(self, first_us: int, letter: str, *, known_after_s: int) -> pl.DataFrame:
        """Return the rows in order of time, with ids and when they became known."""
        empty = np.empty(0, np.int64)
        who, at = (np.concatenate([empty, *parts]) for parts in (self._who, self._at))
        order = np.argsort(at, kind="stable")
        at = at[order] + first_us
        columns: dict[str, Any] = {
            "id": [f"{letter}-{number:07d}" for number in range(len(at))],
            "customer": pl.Series(self._names, dtype=pl.String).gather(who[order]),
            "at": pl.Series(at).cast(pl.Datetime("us", "UTC")),
        }
        for name, held in zip(self._columns, self._payload, strict=True):
            columns[name] = pl.Series(np.concatenate(held)[order] if held else [])
        known = at + np.arange(len(at)) % known_after_s * 1_000_000
        return pl.DataFrame(columns).with_columns(pl.Series(known).cast(pl.Datetime("us", "UTC")).alias("known_at"))


class _Crowd:
    """All customers on one day after the other."""

    def __init__(self, rng: np.random.Generator, customers: int, days: int) -> None:
        self._rng = rng
        self.names = [f"cust-{number:05d}" for number in range(customers)]
        self.sex = np.where(rng.random(customers) < 0.5, "f", "m")
        self.born = 1955 + (50 * rng.beta(2.2, 1.8, customers)).astype(np.int64)
        self._price = rng.choice(_PRICES, customers)
        self._joins = np.where(
            rng.random(customers) < 0.4, rng.integers(0, 30, customers), rng.integers(0, days, customers)
        )
        self._interest = rng.normal(0.9, 0.6, customers)  # the log of sessions a week
        self._fading = np.zeros(customers)
        self._active = np.zeros(customers, np.bool_)
        self._renews = np.full(customers, -1, np.int64)
        self._gives_up = np.full(customers, -1, np.int64)
        self._resumes = np.full(customers, -1, np.int64)
        self._lean = 0.25 * (self.sex == "f") + 0.02 * np.clip(self.born - 1980, 0, 20)
        self._truth: list[tuple[int, int, float, float, bool]] = []
        self.sessions = _Rows(self.names, ("minutes",))
        self.charges = _Rows(self.names, ("amount", "paid"))
        self.changes = _Rows(self.names, ("state", "active"))

    def live(self, day: int) -> None:
        """Let everybody live one day."""
        self._begin(np.flatnonzero((self._joins == day) | (self._resumes == day)), day)
        fades = self._active & (self._fading == 0.0) & (self._rng.random(len(self.names)) < 1 / 220)
        self._fading[fades] = self._rng.gamma(2.0, 0.015, int(fades.sum()))
        self._interest -= np.where(self._active, self._fading, 0.0)
        self._renew(np.flatnonzero(self._active & (self._renews == day)), day)
        self._end(np.flatnonzero(self._active & (self._gives_up == day)), day)
        self._use(day)

    def truth(self) -> pl.DataFrame:
        """Return a row a renewal: whose, when, the latent interest, the probability that it fails, whether it did."""
        names = ("customer", "day", "interest", "probability", "failed")
        return pl.DataFrame(self._truth, schema=names, orient="row")

    def _begin(self, who: Ints, day: int) -> None:
        self._active[who], self._renews[who], self._resumes[who] = True, day + _PERIOD, -1
        self._fading[who] = 0.0
        self._interest[who] = np.maximum(self._interest[who], self._rng.normal(0.6, 0.4, len(who)))
        at = self._moments(who, day)
        self.changes.add(who, at, np.full(len(who), "active"), np.ones(len(who), np.int64))
        self.charges.add(who, at + 1_000_000, self._price[who], np.ones(len(who), np.bool_))

    def _renew(self, who: Ints, day: int) -> None:
        probability = 1 / (1 + np.exp(2.6 + 1.5 * self._interest[who] - self._lean[who]))
        fails = self._rng.random(len(who)) < probability
        for one, p, failed in zip(who.tolist(), probability.tolist(), fails.tolist(), strict=True):
            self._truth.append((one, day, float(self._interest[one]), p, failed))
        stays, leaves = who[~fails], who[fails]
        cancels = self._rng.random(len(leaves)) < 0.45
        self._end(leaves[cancels], day)
        unpaid = leaves[~cancels]
        for after in (0, *_RETRIES):
            self._charge(unpaid, day + after, paid=False)
        self._gives_up[unpaid] = day + _GIVEN_UP
        stumbles = self._rng.random(len(stays)) < 0.05
        self._charge(stays[stumbles], day, paid=False)
        self._charge(stays[stumbles], day + _RETRIES[0], paid=True)
        self._charge(stays[~stumbles], day, paid=True)
        self._renews[who] = np.where(fails, -1, day + _PERIOD)

    def _end(self, who: Ints, day: int) -> None:
        self._active[who], self._renews[who], self._gives_up[who] = False, -1, -1
        back = self._rng.random(len(who)) < 0.12
        self._resumes[who[back]] = day + self._rng.integers(20, 90, int(back.sum()))
        self.changes.add(who, self._moments(who, day), np.full(len(who), "cancelled"), np.zeros(len(who), np.int64))

    def _charge(self, who: Ints, day: int, *, paid: bool) -> None:
        self.charges.add(who, self._moments(who, day), self._price[who], np.full(len(who), paid))

    def _use(self, day: int) -> None:
        weekend = 1.3 if day % 7 in {5, 6} else 0.9
        counts = self._rng.poisson(np.where(self._active, np.exp(np.minimum(self._interest, 2.5)) / 7 * weekend, 0.0))
        who = np.repeat(np.arange(len(counts)), counts)
        minutes = np.round(self._rng.gamma(2.0, _SESSION_MINUTES / 2, len(who)) + 0.1, 1)
        self.sessions.add(who, self._moments(who, day), minutes)

    def _moments(self, who: Ints, day: int) -> Ints:
        """Return moments of a day, µs since the history's first day."""
        return day * _DAY_US + self._rng.integers(6 * 3_600, 23 * 3_600, len(who)) * 1_000_000


def _until(frame: pl.DataFrame, end: datetime) -> pl.DataFrame:
    """Leave out what had not happened, or was not known, by the end."""
    return frame.filter((pl.col("at") < end) & (pl.col("known_at") < end))
