"""``make soak``: one long troubled stream through every host, from a seed; ends with what was compared.

What is published is compared with one backfill of all of it, reads and decisions are replayed, and both oracles judge
a random sample. One value that differs ends it with an error.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.properties.hosts import Run, bare, compare, train, untouched
from tests.properties.troubled import HOUR, Troubled

SETTINGS: Final = "[engine]\noutbox = 200000\n"
EVERY_S: Final = 5.0


class Told:
    """Says on standard error how far it is, every few seconds."""

    def __init__(self) -> None:
        """Start the watch."""
        self._start = time.monotonic()
        self._last = 0.0
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say what is done of what."""
        now = time.monotonic()
        if what == self._what and now - self._last < EVERY_S:
            return
        self._what, self._last = what, now
        print(f"{now - self._start:7.0f} s  {what}: {done:,} of {total:,}", file=sys.stderr, flush=True)  # noqa: T201


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=int(os.environ.get("SOAK_EVENTS", "1_000_000")))
    parser.add_argument("--entities", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SOAK_SEED", "1")))
    parser.add_argument("--sample", type=int, default=150, help="Moments that each oracle judges, of each model.")
    asked = parser.parse_args()
    told = Told()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        told("training", 0, 2)
        train(Path(folder) / "trained")
        place = untouched(Path(folder) / "trained", Path(folder) / "law", SETTINGS)
        run = Run(place, Troubled(asked.seed, asked.entities), asked.seed, restart_share=0.05)
        size = max(asked.events // 2_000, 10)
        with run.opened():
            run.stream(asked.events, size, troubles=0.5, pace_us=18 * HOUR, progress=told)
            streamed = time.monotonic()
            counts = compare(run, sample=asked.sample, progress=told)
    print(f"{bare(run)}.")  # noqa: T201
    for what, count in sorted(counts.items()):
        print(f"  {what}: {count:,}, 0 differ")  # noqa: T201
    print(  # noqa: T201
        f"soak: {sum(counts.values()):,} values compared, 0 differ; {streamed - start:.0f} s to stream, "
        f"{time.monotonic() - streamed:.0f} s to compare."
    )


if __name__ == "__main__":
    main()
