"""P3: exact point-in-time features of a history, every event an observation, against Polars and DuckDB."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import PEERS, ROOT, Report, Row, Spread, interleave, ratios, seconds
from benchmarks.p3_check import Differs, same_as_other, same_as_peers, same_as_plain
from benchmarks.p3_ours import from_columns, from_log, write_log
from benchmarks.p3_peers import by_duckdb, by_polars, frame_of, given_to
from benchmarks.payments import BOUND, Payments, simulate

GOAL = "2.5 × Polars on the same cores, 50 × DuckDB, memory at most 2 × the input"
NOTES = (
    """Sixteen features: count, sum, mean, min, max and std of payments, count and sum of card payments, over 7 and 30
    days; 200 events an account over a year. The clock runs from decoded columns in memory, in order of arrival, to the
    matrix: grouping by account and ordering by event time are in it, for all.""",
    """With late events only we answer what was known at each event's arrival. The peers know one clock: their times are
    for the easier question, as of the event time with everything known.""",
    """From the log: reading records from the archive and the tail (as much of each as the settings leave), checking
    each, judging identity, decoding, then the same. CPU: the
    processor seconds of all threads, which other work on the machine disturbs less.""",
)
_OTHERS = """Spark reads a cached table and writes nowhere. Feast computes no windows: it is given the finished
    features, and joins them to accounts and moments; its file store multiplies every account's rows with themselves, so
    it gets few."""
_FEW = 20_000
_MIB = 2**20
_Cost = tuple[float, float]

OURS, POLARS, DUCKDB = "Streamgauge, from columns", "Polars `rolling`", "DuckDB `RANGE`"
OTHERS = {"spark": "Spark range windows", "feast": "Feast `get_historical_features`, given the features"}
"""Peers of an environment of their own: `benchmarks.p3_others`."""


def run(*, quick: bool) -> Report:
    """Check, then measure."""
    events, repetitions = (100_000, 3) if quick else (1_000_000, 5)
    checks, rows = [], []
    shares = (0.0, 0.2) if quick else (0.0, 0.01, 0.2)
    for late in shares:
        checks += check(simulate(events, late))
    for late in shares:
        rows += _times(simulate(events, late), repetitions, f"{events:,} events, {late:.0%} late")
    rows += _from_log(simulate(events, 0.2), repetitions)
    rows += _memory(events)
    notes = list(NOTES)
    if quick or not (PEERS / "python").exists():
        notes.append(f"{' and '.join(OTHERS.values())} are measured in the full form, with `make bench-venv`.")
    else:
        for name, count in (("spark", events), ("feast", _FEW)):
            found, measured = by_other(name, simulate(count, 0.01), 3)
            checks.append(found)
            rows += measured
        notes.append(_OTHERS)
    if not quick:
        rows += _times(simulate(10_000_000, 0.0), 2, "10,000,000 events, 0% late", with_duckdb=False)
    return Report(
        id="P3",
        title="Backfill: exact features of a whole history, every event an observation",
        size={"events": [events] if quick else [events, 10_000_000], "features": BOUND.features, "threads": 2},
        goal=GOAL,
        checks=checks,
        rows=rows,
        notes=notes,
    )


def check(payments: Payments) -> list[str]:
    """Return what was found equal.

    Raises:
        Differs: Something was not.
    """
    return same_as_plain(payments) + same_as_peers(payments)


def _times(payments: Payments, repetitions: int, where: str, *, with_duckdb: bool = True) -> list[Row]:
    frame = frame_of(payments)
    measured: dict[str, Callable[[], _Cost]] = {
        OURS: lambda: _cost(lambda: from_columns(payments)),
        POLARS: lambda: _cost(lambda: by_polars(frame)),
    }
    if with_duckdb:
        measured[DUCKDB] = lambda: _cost(lambda: by_duckdb(frame))
    return _rows(interleave(repetitions, measured), OURS, where)


def by_other(name: str, payments: Payments, repetitions: int) -> tuple[str, list[Row]]:
    """Run a peer in its own environment; return what was found equal, and its times beside ours."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "payments.parquet", Path(folder) / "answer.parquet"
        given_to(name, payments).write_parquet(source)
        ended = subprocess.run(
            [PEERS / "python", ROOT / "benchmarks" / "p3_others.py", name, source, target, str(repetitions)],
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise RuntimeError(f"{OTHERS[name]} failed: {ended.stderr.strip()[-1000:]}")
        found = same_as_other(OTHERS[name], payments, target)
    theirs = json.loads(ended.stdout.splitlines()[-1])
    own = [seconds(lambda: from_columns(payments)) for _ in range(repetitions)]
    where = f"{len(payments):,} events, 1% late"
    rows = [Row(f"{OTHERS[name]} ({where})", Spread.of(theirs), "s", ratios(theirs, own))]
    if name == "feast":
        rows.insert(0, Row(f"{OURS} ({where})", Spread.of(own), "s"))
    return found, rows


def _rows(costs: dict[str, list[_Cost]], own: str, where: str) -> list[Row]:
    rows = []
    for item, label in ((0, ""), (1, ", CPU")):
        figures = {name: [cost[item] for cost in found] for name, found in costs.items()}
        rows += [
            Row(
                f"{name}{label} ({where})",
                Spread.of(figure),
                "s",
                None if name == own else ratios(figure, figures[own]),
            )
            for name, figure in figures.items()
        ]
    return rows


def _cost(work: Callable[[], object]) -> _Cost:
    """Return wall and processor seconds, those of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _from_log(payments: Payments, repetitions: int) -> list[Row]:
    where = f"{len(payments):,} events, 20% late"
    with tempfile.TemporaryDirectory() as folder:
        log = write_log(payments, Path(folder))
        try:
            if not np.array_equal(from_log(log, payments), from_columns(payments), equal_nan=True):
                raise Differs("The log's backfill has other values than the columns'.")
            costs = interleave(repetitions, {"log": lambda: _cost(lambda: from_log(log, payments))}, warm_up=False)
        finally:
            log.close()
    return [
        Row(f"Streamgauge, from the log ({where})", Spread.of(cost[0] for cost in costs["log"]), "s"),
        Row(f"Streamgauge, from the log, CPU ({where})", Spread.of(cost[1] for cost in costs["log"]), "s"),
    ]


def _memory(events: int) -> list[Row]:
    """Measure each in a process of its own: the peak beyond what was held before."""
    peaks: dict[str, float] = {}
    for name in (OURS, POLARS, DUCKDB):
        ended = subprocess.run(
            [sys.executable, "-m", "benchmarks.p3_backfill", name, str(events)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        peaks[name] = json.loads(ended.stdout)
    data = simulate(1_000, 0.0)
    held = sum(column.nbytes for column in (data.account, data.at, data.known_at, data.amount, data.kind))
    own = held / len(data) * events / _MIB
    answer = events * BOUND.features * 8 / _MIB
    note = f"the input has {own:,.0f} MiB, the answer {answer:,.0f} MiB"
    return [
        Row(
            f"{name}, memory ({events:,} events)",
            Spread.of([peak]),
            "MiB",
            None if name == OURS else Spread.of([peak / peaks[OURS]]),
            note if name == OURS else "",
        )
        for name, peak in peaks.items()
    ]


def _peak(name: str, events: int) -> float:
    """Return by how many MiB the resident memory of this process grows at most."""
    status = Path("/proc/self/status")

    def held(field: str) -> int:
        line = next(line for line in status.read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) * 1024

    def ready(payments: Payments) -> Callable[[], object]:
        frame = frame_of(payments)
        works = {
            OURS: lambda: from_columns(payments),
            POLARS: lambda: by_polars(frame),
            DUCKDB: lambda: by_duckdb(frame),
        }
        return works[name]

    ready(simulate(2_000, 0.0))()
    work = ready(simulate(events, 0.0))
    before = held("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    work()
    return (held("VmHWM") - before) / _MIB


if __name__ == "__main__":
    print(json.dumps(_peak(sys.argv[1], int(sys.argv[2]))))
