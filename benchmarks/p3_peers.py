"""P3, its peers: the same features of the same payments, by event time alone."""

from __future__ import annotations

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.payments import DAY_US, KINDS, PROGRAM, WINDOWS_DAYS, Payments

Floats = NDArray[np.float64]
CARD = KINDS.index("card")
_AGGREGATES = ("count", "total", "mean", "least", "most", "std", "card_count", "card_total")
COLUMNS = tuple(f"{name}_{days}d" for name in _AGGREGATES for days in WINDOWS_DAYS)
"""The peers' columns in the order of the program's features."""

if tuple(name.partition(".")[2] for name in PROGRAM.names) != COLUMNS:
    raise ValueError(f"The program's features are no longer those the peers compute: {PROGRAM.names}")


def frame_of(payments: Payments) -> pl.DataFrame:
    """Return the payments as the frame that the peers start from, in order of arrival."""
    return pl.DataFrame(
        {"account": payments.account, "at": payments.at, "amount": payments.amount, "kind": payments.kind}
    )


def given_to(name: str, payments: Payments) -> pl.DataFrame:
    """Return what a peer of another environment starts from: Feast with the finished features, which it joins."""
    frame = frame_of(payments)
    if name != "feast":
        return frame
    return frame.sort("account", "at").hstack(by_polars(frame).select(pl.col(COLUMNS).cast(pl.Float64)))


def by_polars(frame: pl.DataFrame) -> pl.DataFrame:
    """Return account, at and the features in order of account and event time, by `DataFrame.rolling`.

    Ordering by account and event time is part of it, as it is of ours. `rolling_*_by(...).over("account")`, the other
    way to say it, takes twice as long.
    """
    ordered = frame.sort("account", "at")
    amount, card = pl.col("amount"), pl.col("kind") == CARD
    result = ordered.select("account", "at")
    for days in WINDOWS_DAYS:
        rolled = ordered.rolling(index_column="at", period=f"{days * DAY_US}i", group_by="account", closed="right").agg(
            pl.len().alias(f"count_{days}d"),
            amount.sum().alias(f"total_{days}d"),
            amount.mean().alias(f"mean_{days}d"),
            amount.min().alias(f"least_{days}d"),
            amount.max().alias(f"most_{days}d"),
            amount.std(ddof=0).alias(f"std_{days}d"),
            card.sum().alias(f"card_count_{days}d"),
            amount.filter(card).sum().alias(f"card_total_{days}d"),
        )
        result = result.hstack(rolled.drop("account", "at"))
    return result


def by_duckdb(frame: pl.DataFrame, threads: int = 2) -> pl.DataFrame:
    """Return account, at and the features in order of account and event time, by `RANGE` windows."""
    columns = ", ".join(
        f"""count(*) OVER d{days} AS count_{days}d, sum(amount) OVER d{days} AS total_{days}d,
        avg(amount) OVER d{days} AS mean_{days}d, min(amount) OVER d{days} AS least_{days}d,
        max(amount) OVER d{days} AS most_{days}d, stddev_pop(amount) OVER d{days} AS std_{days}d,
        count(*) FILTER (kind = {CARD}) OVER d{days} AS card_count_{days}d,
        coalesce(sum(amount) FILTER (kind = {CARD}) OVER d{days}, 0) AS card_total_{days}d"""
        for days in WINDOWS_DAYS
    )
    windows = ", ".join(
        f'd{days} AS (PARTITION BY account ORDER BY "at" RANGE BETWEEN {days * DAY_US - 1} PRECEDING AND CURRENT ROW)'
        for days in WINDOWS_DAYS
    )
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.register("payments", frame)
        table = connection.sql(
            f'SELECT account, "at", {columns} FROM payments WINDOW {windows} ORDER BY account, "at"'  # noqa: S608 - numbers
        ).to_arrow_table()
    return pl.DataFrame(table)


def as_features(result: pl.DataFrame) -> Floats:
    """Return a peer's answer as we give it: major units, in the order of the program's features."""
    matrix = result.select(pl.col(COLUMNS).cast(pl.Float64)).to_numpy()
    counts = np.array(["count" in name for name in COLUMNS])
    return np.where(counts, matrix, matrix / 100)
