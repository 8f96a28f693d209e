"""P3, what is checked before anything is timed: that all compute the same values."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.p3_ours import accounts_and_times, from_columns
from benchmarks.p3_peers import CARD, COLUMNS, as_features, by_duckdb, by_polars, frame_of
from benchmarks.payments import DAY_US, WINDOWS_DAYS, Payments

Floats = NDArray[np.float64]
_ROUNDED = {"mean": 1e-12, "std": 1e-9}
"""What peers round on the way, and the relative difference that is left them."""


class Differs(AssertionError):
    """Two of those measured computed different values."""


def same_as_peers(payments: Payments, *, with_duckdb: bool = True) -> list[str]:
    """Check all rows against the peers at the peers' question: as of each event time, knowing everything.

    Raises:
        Differs: A value is another one.
    """
    own = from_columns(payments, as_known=False)
    account, at = accounts_and_times(payments)
    ordered = own[np.lexsort((at, account))]
    frame = frame_of(payments)
    found = {"Polars": by_polars(frame)} | ({"DuckDB": by_duckdb(frame)} if with_duckdb else {})
    for name, result in found.items():
        if not result.select("account", "at").equals(frame.select("account", "at").sort("account", "at")):
            raise Differs(f"{name} answered other rows than it was asked for.")
        _compare(name, ordered, as_features(result))
    return [
        (
            f"{len(payments):,} of {len(payments):,} rows as of their event times with everything known, as "
            f"{' and '.join(found)} compute them: counts, sums, least and most equal; mean within 1e-12 and std within "
            "1e-9 of theirs, which are rounded on the way"
        )
    ]


def same_as_other(name: str, payments: Payments, answer: Path) -> str:
    """Check the rows that a peer of another environment wrote, a file or a folder of Parquet.

    Raises:
        Differs: A value is another one.
    """
    result = pl.read_parquet(answer if answer.is_file() else answer / "*.parquet").sort("account", "at")
    account, at = accounts_and_times(payments)
    _compare(name, from_columns(payments, as_known=False)[np.lexsort((at, account))], as_features(result))
    return f"{len(result):,} rows of {name}, likewise"


def same_as_plain(payments: Payments, accounts: int = 25) -> list[str]:
    """Check some accounts' rows, each at its own position, against sums of Python integers.

    Raises:
        Differs: A value is another one.
    """
    own = from_columns(payments)
    order = np.argsort(payments.account, kind="stable")
    chosen = np.unique(np.linspace(0, payments.accounts - 1, accounts).astype(np.int64))
    rows = np.flatnonzero(np.isin(payments.account[order], chosen))
    for row in rows.tolist():
        expected = _plainly(payments, int(order[row]))
        if not np.array_equal(own[row], expected, equal_nan=True):
            raise Differs(f"At position {order[row] + 1}: {own[row].tolist()} instead of {expected.tolist()}.")
    late = int((payments.known_at > payments.at).sum())
    return [
        (
            f"{len(rows):,} rows of {len(chosen)} accounts as known on arrival, {late:,} of {len(payments):,} records "
            "late: every bit as sums of Python integers give it"
        )
    ]


def _compare(name: str, own: Floats, theirs: Floats) -> None:
    for column, label in enumerate(COLUMNS):
        tolerance = _ROUNDED.get(label.partition("_")[0], 0.0)
        close = np.isclose(own[:, column], theirs[:, column], rtol=tolerance, atol=tolerance, equal_nan=True)
        if not close.all():
            row = int(np.flatnonzero(~close)[0])
            raise Differs(
                f"{name} has {label} {theirs[row, column]!r} where we have {own[row, column]!r} "
                f"(row {row}, {int((~close).sum())} rows differ)."
            )


def _plainly(payments: Payments, record: int) -> Floats:
    """Return the features at a record's own position, from the records up to it."""
    t = max(int(payments.at[record]), int(payments.known_at[record]))
    known = np.flatnonzero(payments.account[: record + 1] == payments.account[record])
    values: dict[str, float] = {}
    for days in WINDOWS_DAYS:
        rows = [int(row) for row in known if t - days * DAY_US < payments.at[row] <= t]
        amounts = [int(payments.amount[row]) for row in rows]
        cards = [int(payments.amount[row]) for row in rows if payments.kind[row] == CARD]
        n, total = len(amounts), sum(amounts)
        spread = n * sum(amount * amount for amount in amounts) - total * total
        values |= {
            f"count_{days}d": float(n),
            f"total_{days}d": total / 100,
            f"mean_{days}d": total / (n * 100) if n else math.nan,
            f"least_{days}d": min(amounts) / 100 if n else math.nan,
            f"most_{days}d": max(amounts) / 100 if n else math.nan,
            f"std_{days}d": math.sqrt(spread) / (n * 100) if n else math.nan,
            f"card_count_{days}d": float(len(cards)),
            f"card_total_{days}d": sum(cards) / 100,
        }
    return np.array([values[name] for name in COLUMNS])
