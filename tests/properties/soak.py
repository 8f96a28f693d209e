"""``make soak``: long troubled streams through every host, from a seed; ends with what was compared.

Of the events a tenth are payments, each of a card, a merchant and both together; the others are of accounts. What is
published is compared with one backfill of all of it, reads and decisions are replayed, and both oracles judge a random
sample. One value that differs ends it with an error.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.properties.hosts import ACCOUNTS, Law, Progress, Run, bare, compare, train, untouched
from tests.properties.role_hosts import PAYMENTS, compare_roles
from tests.properties.troubled import HOUR

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


@dataclass(frozen=True, slots=True)
class Part:
    """A law whose hosts are compared.

    Attributes:
        name: What its events are of.
        law: Its project and its source of events.
        compare: Compares all that a run's hosts answered; opens the owner itself.
    """

    name: str
    law: Law
    compare: Callable[[Run, int, Progress], Counter[str]]


@dataclass(frozen=True, slots=True)
class Soaked:
    """How many values were compared, and how many seconds it took."""

    values: int
    stream_s: float
    compare_s: float

    @classmethod
    def of_all(cls, parts: Sequence[Soaked]) -> Soaked:
        """Return the sum of parts."""
        return cls(
            sum(part.values for part in parts),
            sum(part.stream_s for part in parts),
            sum(part.compare_s for part in parts),
        )

    def __str__(self) -> str:
        """Return it in words."""
        took = f"{self.stream_s:.0f} s to stream, {self.compare_s:.0f} s to compare"
        return f"{self.values:,} values compared, 0 differ; {took}"


def compare_accounts(run: Run, sample: int, progress: Progress) -> Counter[str]:
    """Compare all that a run's hosts of accounts answered; return how many values each comparison was of."""
    with run.opened():
        return compare(run, sample=sample, progress=progress)


PARTS: Final = (Part("accounts", ACCOUNTS, compare_accounts), Part("payments", PAYMENTS, compare_roles))


def soak(part: Part, events: int, size: int, asked: argparse.Namespace, told: Told) -> Soaked:
    """Send a part's events in batches of about `size`, compare what its hosts answered, and print how much it was."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        told(f"{part.name}: training", 0, len(part.law.models))
        train(Path(folder) / "trained", part.law)
        place = untouched(Path(folder) / "trained", Path(folder) / part.name, SETTINGS, part.law)
        entities = max(asked.entities * events // asked.events, 1)
        run = Run(place, part.law.source(asked.seed, entities), asked.seed, restart_share=0.05)
        progress: Progress = lambda what, done, total: told(f"{part.name}: {what}", done, total)  # noqa: E731
        with run.opened():
            run.stream(events, size, troubles=0.5, pace_us=18 * HOUR, progress=progress)
        streamed = time.monotonic()
        counts = part.compare(run, asked.sample, progress)
    print(f"{part.name}: {bare(run)}.")  # noqa: T201
    for what, count in sorted(counts.items()):
        print(f"  {what}: {count:,}, 0 differ")  # noqa: T201
    soaked = Soaked(counts.total(), streamed - start, time.monotonic() - streamed)
    print(f"  {soaked}", flush=True)  # noqa: T201
    return soaked


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=int(os.environ.get("SOAK_EVENTS", "1_000_000")))
    parser.add_argument("--payments", type=float, default=0.1, help="The share of the events that are payments.")
    parser.add_argument("--entities", type=int, default=20_000, help="Accounts and cards together.")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SOAK_SEED", "1")))
    parser.add_argument("--sample", type=int, default=150, help="Moments that each oracle judges, of each model.")
    asked = parser.parse_args()
    told = Told()
    payments = round(asked.events * asked.payments)
    events = {"accounts": asked.events - payments, "payments": payments}
    size = max(asked.events // 2_000, 10)
    soaked = [soak(part, events[part.name], size, asked, told) for part in PARTS if events[part.name]]
    print(f"soak: {Soaked.of_all(soaked)}.")  # noqa: T201


if __name__ == "__main__":
    main()
