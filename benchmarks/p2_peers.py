"""P2's peers, in their own environment: ``python p2_peers.py NAME EVENTS.npz OUT.npz``.

Each computes the same eight windows of the credit features for each event, over accounts in memory: sums of inflows and
outflows over 7, 30 and 90 days, and counts of returned payments over 30 and 90. None scores, stores or survives
anything. It prints the seconds that the second part of the events took, after the first part filled the windows, and
writes each account's last values.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np

DAY_US = 86_400_000_000
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - river compares with a moment without a zone
WINDOWS = ((0, 7), (0, 30), (0, 90), (1, 7), (1, 30), (1, 90), (2, 30), (2, 90))
"""What is added up (0 inflow, 1 outflow, 2 returned payments) and over how many days."""

Event = tuple[int, int, int, int]
"""Time in µs, cents that came in, cents that went out, and whether a payment was returned."""


class Windows:
    """One account's windows, as one writes them by hand: a queue for each, and a running total."""

    __slots__ = ("queues", "totals")

    def __init__(self) -> None:
        self.queues: list[deque[tuple[int, int]]] = [deque() for _ in WINDOWS]
        self.totals = [0] * len(WINDOWS)

    def add(self, event: Event) -> list[int]:
        """Take an event in order of time, and return every window's total as of its moment."""
        t = event[0]
        totals = self.totals
        for number, (what, days) in enumerate(WINDOWS):
            queue = self.queues[number]
            value = event[what + 1]
            if value:
                queue.append((t, value))
                totals[number] += value
            edge = t - days * DAY_US
            while queue and queue[0][0] <= edge:
                totals[number] -= queue.popleft()[1]
        return totals.copy()


def bytewax(events: list[tuple[str, Event]], first: int) -> tuple[float, dict[str, list[float]]]:
    """`stateful_map` over hand-written queues, one worker."""
    import bytewax.operators as op
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, TestingSource, run_main

    last: dict[str, list[float]] = {}
    began = [0.0]
    seen = [0]

    def step(state: Windows | None, event: Event) -> tuple[Windows, list[int]]:
        windows = Windows() if state is None else state
        seen[0] += 1
        if seen[0] == first + 1:
            began[0] = time.perf_counter()
        return windows, windows.add(event)

    def keep(item: tuple[str, list[int]]) -> tuple[str, list[int]]:
        last[item[0]] = [float(value) for value in item[1]]
        return item

    flow = Dataflow("windows")
    stream = op.input("events", flow, TestingSource(events, batch_size=1_000))
    op.output("out", op.map("keep", op.stateful_map("add", stream, step), keep), TestingSink([]))
    run_main(flow)
    return time.perf_counter() - began[0], last


def river(events: list[tuple[str, Event]], first: int) -> tuple[float, dict[str, list[float]]]:
    """`TimeRolling` sums, eight an account."""
    from river import stats, utils

    accounts: dict[str, list[Any]] = {}
    last: dict[str, list[float]] = {}

    def run(some: list[tuple[str, Event]]) -> None:
        for account, event in some:
            held = accounts.get(account)
            if held is None:
                held = accounts[account] = [
                    utils.TimeRolling(stats.Sum, period=timedelta(days=days)) for _, days in WINDOWS
                ]
            moment = EPOCH + timedelta(microseconds=event[0])
            for (what, _), window in zip(WINDOWS, held, strict=True):
                window.update(event[what + 1], t=moment)
            last[account] = [window.get() for window in held]

    run(events[:first])
    started = time.perf_counter()
    run(events[first:])
    return time.perf_counter() - started, last


PEERS: dict[str, Callable[[list[tuple[str, Event]], int], tuple[float, dict[str, list[float]]]]] = {
    "bytewax": bytewax,
    "river": river,
}


def main(name: str, source: str, target: str) -> None:
    """Run one peer."""
    held = np.load(source)
    columns = zip(*(held[column].tolist() for column in ("time", "inflow", "outflow", "returned")), strict=True)
    events = [(str(account), event) for account, event in zip(held["account"].tolist(), columns, strict=True)]
    seconds, last = PEERS[name](events, int(held["first"]))
    accounts = sorted(last, key=int)
    np.savez(target, account=np.array([int(account) for account in accounts]), values=[last[one] for one in accounts])
    print(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
