"""What an event costs as accounts, and events of an account, become ten times as many: backfill and engine."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.drawn import DAY_US, make_drawn_lender, movements
from benchmarks.measure import ROOT, Report, Row, Spread
from benchmarks.p3_ours import from_log, write_log
from benchmarks.payments import simulate
from streamgauge.app.collecting import calm_collector
from streamgauge.app.owner import Owner

GOAL = "an event costs at most 1.5 × as much where there are ten times as many"
NOTES = (
    """CPU: the processor seconds of all threads, which other work on the machine disturbs least. Each size runs in a
    process of its own; memory is by how much that process grew at most while it was timed.""",
    """Backfill: the log's records read, checked, judged, decoded, and sixteen features at each. Engine: an event
    accepted, durable, applied, 47 features computed, scored and published, on top of imported history; the first of an
    account also loads its state. Drawing the events is in it.""",
    """Engine: old records move into the archive beside it, an eighth of the events at a time at every size, so that an
    event was moved and merged about as often at each; decoded states may take 4,096 bytes an account and 512 an
    event, so that all fit. Python's search for cycles is set as in a server.""",
    """More events of the same accounts lie in the same windows, and a window's events are what a value is made of.""",
)
_HISTORY = 3
_AT_ONCE = 250_000
_INGESTED = 20_000
_REPEATED = 1_000_000
"""Up to so many events a backfill is measured several times."""
_SEVERAL = 200_000
"""Up to so many events an engine is."""
_TREES = 200
_AN_ACCOUNT, _AN_EVENT = 4_096, 512
"""Bytes of memory that the engine is given for each account's decoded state, and for each of its events."""


@dataclass(frozen=True)
class Size:
    """How many accounts, and how many events are timed over them."""

    accounts: int
    events: int

    def __str__(self) -> str:
        """Return both as text."""
        return f"{self.accounts:,} accounts, {self.events:,} events"


@dataclass(frozen=True)
class Cost:
    """What one size took.

    Attributes:
        cpu: Processor seconds of an event, each repetition.
        wall: Elapsed seconds of an event, each repetition.
        memory: By how many bytes the process grew at most.
        state: Stored bytes of an account's state; 0 where none is kept.
    """

    cpu: list[float]
    wall: list[float]
    memory: int
    state: float = 0.0


QUICK = {
    "ten times the accounts": {
        "backfill": [Size(2_000, 20_000), Size(20_000, 200_000)],
        "engine": [Size(1_000, 5_000), Size(10_000, 50_000)],
    },
}
FULL = {
    "ten times the accounts": {
        "backfill": [Size(10_000, 100_000), Size(100_000, 1_000_000), Size(1_000_000, 10_000_000)],
        "engine": [Size(10_000, 20_000), Size(100_000, 200_000), Size(1_000_000, 2_000_000)],
    },
    "ten times the events": {
        "backfill": [Size(50_000, 1_000_000), Size(50_000, 10_000_000)],
        "engine": [Size(50_000, 100_000), Size(50_000, 1_000_000), Size(50_000, 10_000_000)],
    },
}


def run(*, quick: bool) -> Report:
    """Measure every size."""
    plan = QUICK if quick else FULL
    rows = [
        row
        for axis, kinds in plan.items()
        for kind, sizes in kinds.items()
        for row in compare(axis, kind, [(size, measure(kind, size)) for size in sizes])
    ]
    return Report(
        id="linear",
        title="The cost of an event as there are more",
        size={
            f"{kind}, {axis}": [str(s) for s in sizes] for axis, kinds in plan.items() for kind, sizes in kinds.items()
        },
        goal=GOAL,
        checks=[],
        rows=rows,
        notes=NOTES,
    )


def compare(axis: str, kind: str, found: list[tuple[Size, Cost]]) -> list[Row]:
    """Return what each size costs, and by how much more an event costs than at the size before."""
    rows = []
    for size, cost in found:
        memory = (
            f"{cost.memory / size.events:,.0f} bytes of memory an event, {cost.memory / size.accounts:,.0f} an account"
        )
        stored = f", {cost.state:,.0f} stored an account" if cost.state else ""
        elapsed = f"{1e6 * Spread.of(cost.wall).median:.1f} µs elapsed"
        rows.append(
            Row(f"{kind}, CPU of an event ({size})", Spread.of(cost.cpu), "s", note=f"{elapsed}; {memory}{stored}")
        )
    for (_, before), (size, after) in pairwise(found):
        growth = Spread.of(after.cpu).median / Spread.of(before.cpu).median
        rows.append(Row(f"{kind}, {axis}: an event costs", Spread.of([growth]), "×", note=f"at {size}"))
    return rows


def measure(kind: str, size: Size) -> Cost:
    """Measure one size, a short one of the engine several times."""
    costs = [_measure(kind, size) for _ in range(3 if kind == "engine" and size.events <= _SEVERAL else 1)]
    return Cost(
        [second for cost in costs for second in cost.cpu],
        [second for cost in costs for second in cost.wall],
        max(cost.memory for cost in costs),
        costs[0].state,
    )


def _measure(kind: str, size: Size) -> Cost:
    """Measure in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.linear", kind, str(size.accounts), str(size.events)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(f"{kind} of {size} failed: {ended.stderr.strip()[-1000:]}")
    return Cost(**json.loads(ended.stdout))


def backfill(size: Size) -> Cost:
    """Compute sixteen features at each of a log's payments: thrice, where it is not very long."""
    repetitions = 3 if size.events <= _REPEATED else 1
    payments = simulate(size.events, 0.01, accounts=size.accounts)
    with tempfile.TemporaryDirectory() as folder:
        log = write_log(payments, Path(folder))
        try:
            few = simulate(500, 0.01, accounts=size.accounts)
            from_log(log, few)
            return _repeated([lambda: from_log(log, payments)] * repetitions, [size.events] * repetitions)
        finally:
            log.close()


def engine(size: Size, trees: int = _TREES) -> Cost:
    """Ingest events, each scored and durable, on top of a history of every account."""
    with tempfile.TemporaryDirectory() as folder:
        eighth = size.events // 8
        memory = _AN_ACCOUNT * size.accounts + _AN_EVENT * size.events
        settings = f"[log]\ntail = {eighth}\nseal = {eighth}\n[engine]\ncached_bytes = {memory}\n"
        place = make_drawn_lender(Path(folder) / "lender", trees=trees, settings=settings)
        now = time.time_ns() // 1_000
        with Owner.open(place) as owner:
            for start in range(0, size.accounts * _HISTORY, _AT_ONCE):
                count = min(_AT_ONCE, size.accounts * _HISTORY - start)
                past = movements(
                    count, size.accounts, now - 120 * DAY_US, now - DAY_US, seed=start, prefix=f"h{start}-"
                )
                owner.import_frame(past, "Movement", known_after_us=3_600_000_000)
        with calm_collector(), Owner.open(place) as owner:

            def ingest(count: int, number: int) -> None:
                now = time.time_ns() // 1_000
                frame = movements(count, size.accounts, now - 1_000_000, now, seed=number, prefix=f"e{number}-")
                answer = owner.ingest_frame(frame, "Movement")
                if answer.accepted != count:
                    raise RuntimeError(f"{count - answer.accepted} of {count} events were not accepted.")

            ingest(100, 0)
            counts = [min(_INGESTED, size.events - start) for start in range(0, size.events, _INGESTED)]

            def ingest_all() -> None:
                for number, count in enumerate(counts, 1):
                    ingest(count, number)

            cost = _repeated([ingest_all], [size.events])
        with Owner.open(place) as owner:
            store = owner.engine.applier.store
            some = [f"account:acc-{number}" for number in range(0, size.accounts, max(1, size.accounts // 1_000))]
            held = [len(state) for state in store.get_many(some) if state is not None]
    return Cost(cost.cpu, cost.wall, cost.memory, sum(held) / len(held))


def _repeated(works: list[Callable[[], object]], events: list[int]) -> Cost:
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    before = _resident("VmRSS")
    cpu, wall = [], []
    for work, count in zip(works, events, strict=True):
        started, used = time.perf_counter(), time.process_time()
        work()
        wall.append((time.perf_counter() - started) / count)
        cpu.append((time.process_time() - used) / count)
    return Cost(cpu, wall, max(0, _resident("VmHWM") - before))


def _resident(field: str) -> int:
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    return int(next(line for line in status if line.startswith(field)).split()[1]) * 1024


def main() -> None:
    """Measure one size in this process."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("kind", choices=["backfill", "engine"])
    parser.add_argument("accounts", type=int)
    parser.add_argument("events", type=int)
    options = parser.parse_args()
    work = backfill if options.kind == "backfill" else engine
    print(json.dumps(asdict(work(Size(options.accounts, options.events)))))


if __name__ == "__main__":
    main()
