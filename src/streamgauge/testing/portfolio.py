"""A simulated lender: the streams of the credit project, drawn from borrowers whose condition nobody observes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from streamgauge.errors import SettingsError
from streamgauge.testing.accounts import Accounts
from streamgauge.testing.borrowers import Condition, Profiles, draw_profiles
from streamgauge.testing.frames import Span, lender_frames, movement_frame
from streamgauge.testing.lending import Lender

if TYPE_CHECKING:
    import polars as pl

    from streamgauge.testing.borrowers import Ints

DEFAULT_END: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A simulated history, and what is needed to carry on from its end.

    `frames` holds one frame a stream; `truth` one row an application with the latent `strain` at that moment, for tests
    only; `balance` is in cents; `loan_numbers` has the number in the id of each loan, -1 for one not paid out by `end`.
    """

    frames: dict[str, pl.DataFrame]
    truth: pl.DataFrame
    profiles: Profiles
    condition: Condition
    lender: Lender
    balance: Ints
    loan_numbers: Ints
    end: datetime


def simulate_history(
    borrowers: int = 5_000, days: int = 730, end: datetime = DEFAULT_END, seed: int = 7
) -> dict[str, pl.DataFrame]:
    """Return the history of a lender up to `end`: one frame a stream, sorted by event time.

    Columns are the fields of the event classes of the credit project, times in UTC and money in major units, and
    `known_at`: when the lender came to know, at most two hours after the event and never after `end`.

    Raises:
        SettingsError: `borrowers` or `days` is below 1, or `end` is naive.

    Example:
        >>> frames = simulate_history(borrowers=20, days=120)
        >>> sorted(frames)
        ['Application', 'Arrears', 'Instalment', 'Loan', 'Movement']
    """
    return simulate(borrowers, days, end, seed).frames


def small_history(
    borrowers: int = 60, days: int = 200, end: datetime = DEFAULT_END, seed: int = 7
) -> dict[str, pl.DataFrame]:
    """Return a history that is quick to build, for tests.

    Example:
        >>> small_history()["Loan"].columns
        ['id', 'account', 'paid_at', 'application', 'known_at']
    """
    return simulate_history(borrowers, days, end, seed)


def simulate(borrowers: int = 5_000, days: int = 730, end: datetime = DEFAULT_END, seed: int = 7) -> Portfolio:
    """Simulate a lender and keep the state behind its history.

    Raises:
        SettingsError: `borrowers` or `days` is below 1, or `end` is naive.

    Example:
        >>> simulate(borrowers=20, days=120).balance.shape
        (20,)
    """
    if borrowers < 1 or days < 1:
        raise SettingsError(f"A portfolio of {borrowers} borrowers over {days} days is empty. Give at least 1 of each.")
    if end.tzinfo is None:
        raise SettingsError(f"The end {end} names no time zone. Give a datetime with tzinfo, such as datetime.UTC.")
    rng = np.random.Generator(np.random.PCG64(seed))
    end = end.astimezone(UTC)
    first = end.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days)
    profiles = draw_profiles(rng, borrowers, days)
    condition = Condition(rng, profiles)
    accounts = Accounts(rng, profiles)
    lender = Lender(rng, profiles, accounts.book, days)
    midnight = first
    day = 0
    while midnight < end:
        condition.advance()
        accounts.day(day, midnight.day, condition, open_=profiles.joined <= day)
        lender.day(day, condition)
        midnight += timedelta(days=1)
        day += 1
    span = Span.between(first, end)
    movements, balance = movement_frame(rng, accounts.book, span)
    frames, truth, loan_numbers = lender_frames(rng, lender, span)
    frames = {"Movement": movements, **frames}
    return Portfolio(frames, truth, profiles, condition, lender, balance, loan_numbers, end)
