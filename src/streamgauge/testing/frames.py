"""Frames of a simulated history: from arrays to the columns of the credit project."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from streamgauge.testing.accounts import COUNTERPARTIES, KINDS

if TYPE_CHECKING:
    import numpy.typing as npt

    from streamgauge.testing.accounts import Book
    from streamgauge.testing.borrowers import Ints
    from streamgauge.testing.lending import Lender, Rows

KNOWN_WITHIN: Final = timedelta(hours=2)
"""No event of the history is known later than this after it happened."""

MONEY: Final = pl.Decimal(18, 2)
STAMP: Final = pl.Datetime("us", "UTC")

_DAY_US = 86_400_000_000
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_SHARE_WITHOUT_BALANCE = 0.03


@dataclass(frozen=True, slots=True)
class Span:
    """The moments of a history, in microseconds since the epoch: its first midnight, and its end (exclusive)."""

    first: int
    end: int

    @classmethod
    def between(cls, first: datetime, end: datetime) -> Span:
        """Return the span from `first` to `end`."""
        micro = timedelta(microseconds=1)
        return cls((first - _EPOCH) // micro, (end - _EPOCH) // micro)


def account_names(borrowers: int) -> pl.Series:
    """Return the entity id of every borrower, by number.

    >>> account_names(2).to_list()
    ['acc-00000', 'acc-00001']
    """
    return ids("acc", np.arange(borrowers), 5)


def ids(prefix: str, numbers: npt.NDArray[np.integer], width: int = 9) -> pl.Series:
    """Return ids such as ``m-000001234``."""
    return pl.select(prefix + "-" + pl.lit(pl.Series("id", numbers)).cast(pl.String).str.zfill(width)).to_series()


def movement_frame(rng: np.random.Generator, book: Book, span: Span) -> tuple[pl.DataFrame, Ints]:
    """Return the movements in order of time, and the closing balance of every account in cents."""
    who, when, cents, kind, party = book.columns()
    when = when + span.first
    kept = np.flatnonzero(when < span.end)
    order = kept[np.argsort(when[kept], kind="stable")]
    who, when, cents, kind, party = (column[order] for column in (who, when, cents, kind, party))
    by_account = np.argsort(who, kind="stable")
    running = np.cumsum(cents[by_account])
    counts = np.bincount(who, minlength=len(book.opening))
    ends = np.cumsum(counts)
    totals = np.concatenate([[0], running])[ends]
    before = np.concatenate([[0], totals[:-1]])
    balance = np.empty_like(cents)
    balance[by_account] = running - before[who[by_account]] + book.opening[who[by_account]]
    lag = 60e6 * np.clip(1 + rng.gamma(1.5, 14.0, len(when)), 1, 119)
    shown = pl.Series(rng.random(len(when)) >= _SHARE_WITHOUT_BALANCE)
    frame = pl.DataFrame(
        {
            "id": ids("m", np.arange(len(when))),
            "account": account_names(len(counts)).gather(who),
            "booked_at": _stamp(when),
            "amount": _money(cents),
            "balance": _money(balance),
            "kind": pl.Series(KINDS).gather(kind),
            "counterparty": pl.Series(COUNTERPARTIES).gather(party),
            "known_at": _stamp(np.minimum(when + lag.astype(np.int64), span.end)),
        }
    ).with_columns(pl.when(shown).then("balance"))
    return frame, book.opening + totals - before


def lender_frames(
    rng: np.random.Generator, lender: Lender, span: Span
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame, Ints]:
    """Return the lender's streams, the truth about every application, and the id number of every loan (-1: none)."""
    frames: dict[str, pl.DataFrame] = {}
    asked, columns, application = _dated(rng, lender.applications, span, "asked_at", "a")
    truth = pl.DataFrame({"id": asked["id"], "strain": columns["strain"], "approved": columns["approved"] > 0})
    frames["Application"] = asked.select(
        "id",
        "account",
        "asked_at",
        _money(np.rint(columns["amount"] * 100).astype(np.int64)).alias("amount"),
        pl.Series("term_months", columns["term"].astype(np.int64)),
        "known_at",
    )
    paid, columns, loan = _dated(rng, lender.loans, span, "paid_at", "l")
    reference = ids("a", application[columns["application"].astype(np.int64)])
    frames["Loan"] = paid.select("id", "account", "paid_at", reference.alias("application"), "known_at")
    settled, columns, _ = _dated(rng, lender.instalments, span, "at", "i")
    frames["Instalment"] = settled.select(
        "id",
        "account",
        "at",
        ids("l", loan[columns["loan"].astype(np.int64)]).alias("loan"),
        pl.Series("days_late", columns["days_late"].astype(np.int64)),
        pl.Series("early", columns["early"] > 0),
        "known_at",
    )
    counted, columns, _ = _dated(rng, lender.arrears, span, "at", "d")
    frames["Arrears"] = counted.select(
        "id",
        "account",
        "at",
        ids("a", application[columns["application"].astype(np.int64)]).alias("application"),
        pl.Series("days_past_due", columns["days_past_due"].astype(np.int64)),
        "known_at",
    )
    return frames, truth, loan


def _dated(
    rng: np.random.Generator, rows: Rows, span: Span, stamp: str, prefix: str
) -> tuple[pl.DataFrame, dict[str, npt.NDArray[np.float64]], Ints]:
    """Return id, account and times in order, the other columns, and the place of every row (-1: after the end)."""
    columns = rows.columns()
    when = span.first + columns["day"].astype(np.int64) * _DAY_US + _within_day(columns["second"])
    order = np.argsort(when, kind="stable")
    order = order[when[order] < span.end]
    number = np.full(len(when), -1)
    number[order] = np.arange(len(order))
    columns = {name: column[order] for name, column in columns.items()}
    when = when[order]
    known = when + rng.integers(1_000_000, 240_000_000, len(when))
    head = {
        "id": ids(prefix, np.arange(len(when))),
        "account": ids("acc", columns["who"].astype(np.int64), 5),
        stamp: _stamp(when),
        "known_at": _stamp(np.minimum(known, span.end)),
    }
    return pl.DataFrame(head), columns, number


def _within_day(second: npt.NDArray[np.float64]) -> Ints:
    return np.minimum(second * 1e6, _DAY_US - 1).astype(np.int64)


def _stamp(when: Ints) -> pl.Series:
    return pl.Series(when).cast(STAMP)


def _money(cents: Ints) -> pl.Series:
    return (pl.Series(cents).cast(MONEY) / 100).cast(MONEY)
