"""P2: events of many accounts in order of arrival, each applied durably and scored on the whole credit feature set."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.drawn import DAY_US, MODEL, make_drawn_lender, movements
from benchmarks.measure import PEERS, ROOT, Report, Row, Spread, ratios
from streamgauge.app.collecting import calm_collector
from streamgauge.app.owner import Owner
from streamgauge.app.reading import Question
from streamgauge.app.settings import Place

GOAL = "at least 30,000 events/s scored and durable on 2 cores; one account with 25 % of events within 1.5 × of uniform"
HOT = 0.25
SUBSET = (
    *(f"CashFlow.inflow_sum_{days}d" for days in (7, 30, 90)),
    *(f"CashFlow.outflow_sum_{days}d" for days in (7, 30, 90)),
    *(f"CashFlow.returned_count_{days}d" for days in (30, 90)),
)
"""The features that peers compute: `benchmarks.p2_peers`."""

_UNLIKE = (
    "Ours appends each event durably, takes any order and corrections, computes its features exactly, scores (200 "
    "trees over those of the credit template, one over eight), publishes the score and can be killed at any moment. "
    "The peers keep eight of the features in memory, of events in order: sums and counts, which each of them can "
    "write. Levels, slopes, gaps, streaks and different values none of them has; in Bytewax one would write each by "
    "hand. They are given a twentieth of the accounts in the full form, and are held against ours of the same features "
    "and accounts. "
    "Pathway's windows start each day: they hold what was true at a day's end."
)
_SIGNS = (1, 1, 1, -1, -1, -1, 0, 0)
_HISTORY_US = 3_600_000_000
_CHECKED = 200
_EVERY = 20
"""In the full form, peers are given the events of one account in so many: each goes through all of them again."""
_CLOSE = 1e-9


class Differs(AssertionError):
    """A peer computes another value."""


def run(*, quick: bool) -> Report:
    """Check, then measure."""
    accounts, history, events, repetitions = (1_000, 10, 10_000, 1) if quick else (50_000, 10, 200_000, 3)
    with tempfile.TemporaryDirectory() as folder:
        place = make_drawn_lender(Path(folder) / "lender")
        now = time.time_ns() // 1_000
        past = movements(accounts * history, accounts, now - 120 * DAY_US, now - 2 * DAY_US, seed=1, prefix="h")
        figures: dict[str, list[float]] = {"uniform": [], "hot": []}
        with calm_collector(), Owner.open(place) as owner:
            owner.import_frame(past, "Movement", known_after_us=_HISTORY_US)
            live: list[pl.DataFrame] = []
            for repetition in range(-1, repetitions):
                for name, share in (("uniform", 0.0), ("hot", HOT)):
                    frame = _live(events if repetition >= 0 else events // 10, accounts, f"{name}{repetition}-", share)
                    rate = ingest(owner, frame)
                    live.append(frame)
                    if repetition >= 0:
                        figures[name].append(rate)
            count = len(owner.live.models[MODEL].loaded.program.names)
        every = pl.concat([past, *live])
        some = every if quick else every.filter(_number() % _EVERY == 0)
        checks, peers, missing = _peers(place, Path(folder), some, quick=quick)
        alike = [_subset(Path(folder), some) for _ in range(repetitions)]
    rows = [
        Row(
            f"Streamgauge, every account alike: {count} features, scored, durable",
            Spread.of(figures["uniform"]),
            "ev/s",
        )
    ]
    hot = ratios(figures["uniform"], figures["hot"])
    rows.append(
        Row(
            "Streamgauge, one account with 25 % of events",
            Spread.of(figures["hot"]),
            "ev/s",
            note=f"uniform is {hot.median:.2f} times as fast",
        )
    )
    rows.append(
        Row(
            "Streamgauge, the peers' eight features and accounts",
            Spread.of(alike),
            "ev/s",
            note="scored by one tree, durable",
        )
    )
    for name, rates in peers.items():
        own = [float(np.median(alike))] * len(rates)
        rows.append(
            Row(name, Spread.of(rates), "ev/s", ratios(rates, own, more_is_better=True), "eight features, in memory")
        )
    return Report(
        id="P2",
        title="Events into durable scores",
        size={"accounts": accounts, "history": accounts * history, "events": events},
        goal=GOAL,
        checks=checks,
        rows=rows,
        notes=[
            _UNLIKE,
            *missing,
        ],
    )


def ingest(owner: Owner, frame: pl.DataFrame) -> float:
    """Ingest a frame, and return how many events a second were applied, scored and published."""
    started = time.perf_counter()
    answer = owner.ingest_frame(frame, "Movement")
    took = time.perf_counter() - started
    if answer.quarantined or answer.accepted != len(frame):
        raise Differs(f"{answer.quarantined} of {len(frame)} events were refused.")
    return len(frame) / took


def _live(events: int, accounts: int, prefix: str, hot: float) -> pl.DataFrame:
    now = time.time_ns() // 1_000
    return movements(events, accounts, now - 2_000_000, now, seed=len(prefix) + events, prefix=prefix, hot=hot)


def _subset(folder: Path, events: pl.DataFrame) -> float:
    """Return how many of the last quarter of some events a second are applied with the features of the peers alone."""
    place = make_drawn_lender(folder / "subset", trees=1, features=SUBSET)
    ordered = events.sort("booked_at")
    first = len(ordered) * 3 // 4
    with calm_collector(), Owner.open(place) as owner:
        owner.import_frame(ordered[:first], "Movement", known_after_us=0)
        return ingest(owner, ordered[first:])


def _number() -> pl.Expr:
    return pl.col("account").str.strip_prefix("acc-").cast(pl.Int64)


def _peers(
    place: Place, folder: Path, events: pl.DataFrame, *, quick: bool
) -> tuple[list[str], dict[str, list[float]], list[str]]:
    """Run the peers on some of the events, timed over the last quarter, and hold their last values against ours."""
    python = PEERS / "python"
    if not python.exists():
        return [], {}, ["The peers are not set up (make bench-venv)."]
    some = events.filter(pl.col("kind") != "own").sort("booked_at")
    first = len(some) * 3 // 4
    cents = (some["amount"] * 100).round().cast(pl.Int64).to_numpy()
    account = some.select(_number()).to_series().to_numpy()
    np.savez(
        folder / "events.npz",
        time=some["booked_at"].dt.epoch("us").to_numpy(),
        account=account,
        inflow=np.maximum(cents, 0),
        outflow=np.maximum(-cents, 0),
        returned=(some["kind"] == "returned").cast(pl.Int64).to_numpy(),
        first=first,
    )
    rates: dict[str, list[float]] = {}
    checks: list[str] = []
    for name in ("bytewax", "river", "pathway"):
        target = folder / f"{name}.npz"
        rates[_NAMES[name]] = []
        for _ in range(1 if quick or name == "pathway" else 2):
            ended = subprocess.run(
                [python, ROOT / "benchmarks" / "p2_peers.py", name, folder / "events.npz", target],
                capture_output=True,
                text=True,
                check=True,
            )
            rates[_NAMES[name]].append(float(ended.stdout.split()[-1]))
        checks.append(check(place, name, dict(np.load(target))))
    return checks, rates, []


def check(place: Place, name: str, found: dict[str, NDArray[np.float64]]) -> str:
    """Hold a peer's last values of some accounts against ours as of the same moments.

    Raises:
        Differs: One is another.
    """
    rows = zip(*(found[column].tolist() for column in ("account", "as_of", "values")), strict=True)
    with Owner.open(place) as owner:
        model = owner.live.models[MODEL]
        columns = [model.loaded.program.names.index(feature) for feature in SUBSET]
        for number, as_of, values in list(rows)[:_CHECKED]:
            row = owner.reader.read(Question(f"account:acc-{number}", as_of), model.bound).row
            ours = [float(row[column]) for column in columns]
            theirs = [value * sign / 100 if sign else value for value, sign in zip(values, _SIGNS, strict=True)]
            if any(abs(a - b) > _CLOSE * max(1.0, abs(b)) for a, b in zip(ours, theirs, strict=True)):
                raise Differs(f"{name}, account {number}: {theirs}, ours {ours}")
    return f"{name}: the eight features of {min(_CHECKED, len(found['account']))} accounts as of their last moments"


_NAMES = {
    "bytewax": "Bytewax `stateful_map`, hand-written queues",
    "river": "river `TimeRolling`",
    "pathway": "Pathway `windowby`, sliding by days, 5,000 events",
}
