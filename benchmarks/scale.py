"""What an event costs at each step, measured here and extended on paper: ``python -m benchmarks.scale [--keep]``.

Costs are of the credit template: 47 features, a model of 200 trees fitted on drawn rows. Each step is measured by
itself on one machine, in CPU time, which a busy machine changes least; a billion events a day are those multiplied.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.drawn import make_drawn_lender
from benchmarks.measure import ROOT
from streamgauge.app import wiring
from streamgauge.app.collecting import calm_collector
from streamgauge.app.owner import Owner
from streamgauge.testing.live import LiveStream
from streamgauge.testing.portfolio import simulate

if TYPE_CHECKING:
    from streamgauge.app.settings import Place
    from streamgauge.log.port import Log

RESULTS = ROOT / "benchmarks" / "scale.json"
PAGE = ROOT / "docs" / "explanation" / "scale.md"
BEGIN, END = "<!-- made by python -m benchmarks.scale -->", "<!-- end of what benchmarks.scale made -->"
BORROWERS, DAYS = 1_000, 365
EVENTS, BATCH = 20_000, 1_000
SEAL = 25_000
PER_DAY = 1_000_000_000
PEAK = 3
FULL = 0.6
"""How much of a core is planned with; the rest is for catching up."""
A_DAY_S = 86_400
PARTITIONS = 64


def measure() -> dict[str, float]:
    """Return the costs."""
    with tempfile.TemporaryDirectory() as folder:
        place = make_drawn_lender(Path(folder) / "lender")
        found = _streamed(place)
        found |= _stored(place)
        with closing(wiring.open_log(place)) as log:
            found |= _sealed(log, place.archive)
    return found


def _streamed(place: Place) -> dict[str, float]:
    """Import a lender's history, then send live events, each scored and durable."""
    portfolio = simulate(BORROWERS, DAYS, datetime.now(UTC))
    live = LiveStream(portfolio, portfolio.end)
    batches = [live.batch(portfolio.end + timedelta(seconds=number), BATCH) for number in range(EVENTS // BATCH + 1)]
    with calm_collector(), Owner.open(place) as owner:
        for stream, frame in portfolio.frames.items():
            owner.import_frame(frame, stream, known_at="known_at")
        owner.ingest(batches[0], applied=True)
        seconds, cpu = _timed(lambda: [owner.ingest(batch, applied=True) for batch in batches[1:]])
        events = sum(map(len, batches[1:]))
    return {"stream s": seconds / events, "stream cpu s": cpu / events}


def _stored(place: Place) -> dict[str, float]:
    """Return bytes of state and log."""
    with Owner.open(place) as owner:
        store = owner.engine.applier.store
        entities = list(store.entities())
        states = [store.get(entity) or b"" for entity in entities]
        records = owner.log.last_position()
    return {
        "state bytes of an account": sum(map(len, states)) / len(entities),
        "state bytes of an event": sum(map(len, states)) / records,
        "events of an account": records / len(entities),
        "log bytes of an event": sum(file.stat().st_size for file in place.data.glob("log.db*")) / records,
    }


def _sealed(log: Log, archive: Path) -> dict[str, float]:
    """Seal the whole log, and read it through."""
    _, sealing = _timed(lambda: log.seal(0, SEAL))
    records = log.last_position() // SEAL * SEAL
    size = sum(file.stat().st_size for file in archive.rglob("*") if file.is_file())
    _, through = _timed(lambda: [len(batch) for batch in log.read_columns()])
    return {
        "archive bytes of an event": size / records,
        "sealing cpu s": sealing / records,
        "reading cpu s": through / records,
    }


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu


def section(found: dict[str, float]) -> str:
    """Return the page's tables: what was measured, and what a billion events a day make of it."""
    measured = [
        ("accept, apply, compute 47 features, score, publish, durably: CPU", f"{1e6 * found['stream cpu s']:,.0f} µs"),
        ("the same: elapsed, on a machine with other work", f"{1e6 * found['stream s']:,.0f} µs"),
        ("move into the archive, merged: CPU", f"{1e6 * found['sealing cpu s']:,.0f} µs"),
        ("read back from the archive: CPU", f"{1e6 * found['reading cpu s']:,.1f} µs"),
        ("on disk, in the archive", f"{found['archive bytes of an event']:,.0f} bytes"),
        ("on disk, in the tail of the log", f"{found['log bytes of an event']:,.0f} bytes"),
        (
            f"of state, at {found['events of an account']:,.0f} events an account",
            f"{found['state bytes of an event']:,.0f} bytes",
        ),
    ]
    mean, peak = PER_DAY / A_DAY_S, PEAK * PER_DAY / A_DAY_S
    archive = PER_DAY * found["archive bytes of an event"]
    state = 90 * PER_DAY * found["state bytes of an event"]
    needed = [
        ("events a second, on average and at the peak", f"{mean:,.0f} and {peak:,.0f}"),
        (f"cores that accept to publish, at the peak, {FULL:.0%} full", f"{peak * found['stream cpu s'] / FULL:,.1f}"),
        (f"cores that seal, on average, {FULL:.0%} full", f"{mean * found['sealing cpu s'] / FULL:,.1f}"),
        ("archive a day, and a year", f"{archive / 1e9:,.0f} GB and {365 * archive / 1e12:,.1f} TB"),
        (
            f"state of the newest 90 days, and of one of {PARTITIONS} partitions",
            f"{state / 1e12:,.1f} TB and {state / PARTITIONS / 1e9:,.0f} GB",
        ),
        (
            f"to read a day's archive on {PARTITIONS} cores, as a backfill or a rebuild does first",
            f"{PER_DAY * found['reading cpu s'] / PARTITIONS / 60:,.1f} minutes",
        ),
    ]
    return (
        f"{_table('an event costs', measured)}\n\n"
        f"Measured by `python -m benchmarks.scale` on {found['cores']:.0f} shared cores: {EVENTS:,} live events in "
        f"calls of {BATCH:,}, on top of {BORROWERS:,} accounts' {DAYS} days.\n\n"
        f"{_table('a billion a day need', needed)}"
    )


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    return "\n".join([f"| {title} | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)])


def write_page(found: dict[str, float]) -> None:
    """Write the section into the page anew."""
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n\n{section(found)}\n\n{END}{rest.partition(END)[2]}")


def main() -> None:
    """Measure, print, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="write benchmarks/scale.json and the tables of the page")
    keep = parser.parse_args().keep
    found = measure() | {"cores": float(os.cpu_count() or 1)}
    print(section(found))
    if keep:
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")
        write_page(found)


if __name__ == "__main__":
    main()
