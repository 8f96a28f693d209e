"""P3, ourselves: the backfill's sweep over decoded columns, and the whole backfill from a log."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.payments import BOUND, KINDS, LAYOUT, STREAM, Payments
from streamgauge.adapters.parquet.segments import ParquetSegments
from streamgauge.adapters.sqlite.archived_log import ArchivedLog
from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.app.settings import LogSettings
from streamgauge.events.frames import validate_import
from streamgauge.features.backfill import Requests, backfill
from streamgauge.features.chunks import in_order
from streamgauge.features.history import features_of
from streamgauge.features.ordering import group_rows, take_rows
from streamgauge.features.timeline import StreamTimeline, Timeline
from streamgauge.log.archive import Archive

Floats = NDArray[np.float64]
_CHUNK = 50_000
_BATCH = 50_000


def from_columns(payments: Payments, *, as_known: bool = True, workers: int = 2) -> Floats:
    """Return the features of every record as its own observation, float64[n, 16], in order of account and position.

    Grouping by account, ordering by event time, conditions, the sweep and finished features are all part of it.

    Args:
        payments: The records.
        as_known: Whether each sees what was known when it arrived; else, as a peer that knows one clock only, all
            records up to its event time, however late they came.
        workers: How many threads compute.
    """
    order, offsets = group_rows(payments.account, payments.accounts)
    out = np.empty((len(payments), BOUND.features))

    def compute(part: tuple[int, int]) -> None:
        first, last = part
        low, high = int(offsets[first]), int(offsets[last])
        rows, begins = order[low:high], offsets[first : last + 1] - low
        times, units = np.empty((2, high - low), np.int64), np.empty((high - low, 2), np.int64)
        for number, column in enumerate((payments.at, payments.known_at)):
            take_rows(column, rows, 0, times[number].reshape(-1, 1))
        for number, column in enumerate((payments.amount, payments.kind)):
            take_rows(column, rows, number, units)
        position, (at, known_at) = rows + 1, times
        t = np.maximum(at, known_at) if as_known else at
        cut = position if as_known else np.full(high - low, len(payments))
        stream = StreamTimeline.of_columns(LAYOUT.streams[0], begins, position, known_at, at, units)
        entities = last - first
        own = np.repeat(np.arange(entities), np.diff(begins))
        timeline = Timeline(LAYOUT, [""] * entities, (stream,), [{}] * entities, {}, [0] * entities)
        features_of(timeline, BOUND, own, t, None, cut, None, out[low:high])

    for _ in in_order(compute, _parts(offsets), workers):
        pass
    return out


def accounts_and_times(payments: Payments) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return account and event time of each row of `from_columns`."""
    order = np.argsort(payments.account, kind="stable")
    return payments.account[order], payments.at[order]


def write_log(payments: Payments, folder: Path) -> SqliteLog:
    """Return a log that holds the payments in order of arrival, each known when it arrived."""
    names = np.array([_name(number) for number in range(payments.accounts)])
    frame = pl.DataFrame(
        {
            "id": np.arange(len(payments)),
            "account": names[payments.account],
            "at": payments.at,
            "amount": payments.amount,
            "kind": np.array(KINDS)[payments.kind],
            "known_at": payments.known_at,
        }
    ).with_columns(
        pl.col("id").cast(pl.String),
        pl.col("at", "known_at").cast(pl.Datetime("us", "UTC")),
        (pl.col("amount") / 100).round(2).cast(pl.Decimal(18, 2)),
    )
    log = ArchivedLog(folder / "log.sqlite", Archive(folder / "archive", ParquetSegments))
    log.register_schema(STREAM)
    now, settings = int(payments.known_at.max()), LogSettings()
    for part in frame.iter_slices(_BATCH):
        checked = validate_import(part, STREAM, known_at="known_at")
        if checked.rejected:
            raise ValueError(f"The log refuses a payment: {checked.rejected[0]}")
        log.append(checked.records, now)
        log.seal(settings.tail, settings.seal)
    return log


def from_log(log: SqliteLog, payments: Payments, workers: int = 2) -> Floats:
    """Return the rows of `from_columns`, from the log: reading, judging and decoding the records are part of it."""
    order = np.argsort(payments.account, kind="stable")
    requests = Requests(
        entities=[f"account:{_name(number)}" for number in range(payments.accounts)],
        entity=payments.account[order],
        t=np.maximum(payments.at, payments.known_at)[order],
        position=order + 1,
    )
    return backfill(log, BOUND, requests, workers=workers)


def _name(account: int) -> str:
    return f"{account:07d}"


def _parts(offsets: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Divide accounts into neighbours of some ten thousand records together."""
    edges = np.unique(np.searchsorted(offsets, np.arange(0, int(offsets[-1]), _CHUNK)))
    bounds = [*edges.tolist(), len(offsets) - 1]
    return [(first, last) for first, last in itertools.pairwise(bounds) if first < last]
