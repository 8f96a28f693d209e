"""P2's peers, in their own environment: ``python p2_peers.py NAME EVENTS.npz OUT.npz``.

Each computes the same eight windows of the credit features for each event, over accounts in memory: sums of inflows and
outflows over 7, 30 and 90 days, and counts of returned payments over 30 and 90. None scores, stores or survives
anything. It prints how many events a second the second part took, after the first part filled the windows, and writes
each account's last values and their moments.
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
Events = list[tuple[str, Event]]
Last = dict[str, tuple[int, list[float]]]
"""By account: as of when, and its windows' totals then."""
FEW = 5_000
"""As many events as Pathway is given, of some accounts each whole: it has an event in each of 127 windows."""


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


def bytewax(events: Events, first: int) -> tuple[float, Last]:
    """`stateful_map` over hand-written queues, one worker."""
    import bytewax.operators as op
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, TestingSource, run_main

    last: Last = {}
    began = [0.0]
    seen = [0]

    def step(state: Windows | None, event: Event) -> tuple[Windows, tuple[int, list[int]]]:
        windows = Windows() if state is None else state
        seen[0] += 1
        if seen[0] == first + 1:
            began[0] = time.perf_counter()
        return windows, (event[0], windows.add(event))

    def keep(item: tuple[str, tuple[int, list[int]]]) -> tuple[str, tuple[int, list[int]]]:
        last[item[0]] = (item[1][0], [float(value) for value in item[1][1]])
        return item

    flow = Dataflow("windows")
    stream = op.input("events", flow, TestingSource(events, batch_size=1_000))
    op.output("out", op.map("keep", op.stateful_map("add", stream, step), keep), TestingSink([]))
    run_main(flow)
    return (len(events) - first) / (time.perf_counter() - began[0]), last


def river(events: Events, first: int) -> tuple[float, Last]:
    """`TimeRolling` sums, eight an account."""
    from river import stats, utils

    accounts: dict[str, list[Any]] = {}
    last: Last = {}

    def run(some: Events) -> None:
        for account, event in some:
            held = accounts.get(account)
            if held is None:
                held = accounts[account] = [
                    utils.TimeRolling(stats.Sum, period=timedelta(days=days)) for _, days in WINDOWS
                ]
            moment = EPOCH + timedelta(microseconds=event[0])
            for (what, _), window in zip(WINDOWS, held, strict=True):
                window.update(event[what + 1], t=moment)
            last[account] = (event[0], [window.get() for window in held])

    run(events[:first])
    started = time.perf_counter()
    run(events[first:])
    return (len(events) - first) / (time.perf_counter() - started), last


def pathway(events: Events, _first: int) -> tuple[float, Last]:
    """Sliding windows that start each day, over some of the accounts; they hold what was true at a day's end."""
    import pathway as pw

    class Payment(pw.Schema):
        account: str
        at: int
        inflow: int
        outflow: int
        returned: int

    # A window is [start, end), ours end with their moment: times are taken a microsecond earlier.
    rows = [
        (account, event[0] - 1, *event[1:], 2 * (number // 500 + 1), 1)
        for number, (account, event) in enumerate(_some(events))
    ]
    payments = pw.debug.table_from_rows(Payment, rows, is_stream=True)
    found: dict[tuple[str, int], dict[int, tuple[int, int, int]]] = {}

    def keep(days: int) -> Callable[..., None]:
        def noted(key: Any, row: Any, time: int, is_addition: bool) -> None:  # noqa: ANN401, ARG001, FBT001 - as Pathway calls
            if is_addition:
                held = found.setdefault((row["account"], row["end"]), {})
                held[days] = (row["inflow"], row["outflow"], row["returned"])

        return noted

    for days in (7, 30, 90):
        window = pw.temporal.sliding(hop=DAY_US, duration=days * DAY_US)
        totals = payments.windowby(payments.at, window=window, instance=payments.account).reduce(
            account=pw.this._pw_instance,  # noqa: SLF001 - Pathway's own name for it
            end=pw.this._pw_window_end,  # noqa: SLF001 - the same
            inflow=pw.reducers.sum(pw.this.inflow),
            outflow=pw.reducers.sum(pw.this.outflow),
            returned=pw.reducers.sum(pw.this.returned),
        )
        pw.io.subscribe(totals, keep(days))
    started = time.perf_counter()
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    rate = len(rows) / (time.perf_counter() - started)
    newest = {row[0]: row[1] for row in rows}
    ends = {account: at // DAY_US * DAY_US for account, at in newest.items()}
    nothing = (0, 0, 0)
    return rate, {
        account: (end, [float(found.get((account, end), {}).get(days, nothing)[what]) for what, days in WINDOWS])
        for account, end in ends.items()
    }


def _some(events: Events) -> Events:
    """Return the events of the first accounts, as many as together have few."""
    count: dict[str, int] = {}
    for account, _ in events:
        count[account] = count.get(account, 0) + 1
    chosen, total = set(), 0
    for account, own in count.items():
        if total + own <= FEW:
            chosen.add(account)
            total += own
    return [one for one in events if one[0] in chosen]


PEERS: dict[str, Callable[[Events, int], tuple[float, Last]]] = {
    "bytewax": bytewax,
    "river": river,
    "pathway": pathway,
}


def main(name: str, source: str, target: str) -> None:
    """Run one peer."""
    held = np.load(source)
    columns = zip(*(held[column].tolist() for column in ("time", "inflow", "outflow", "returned")), strict=True)
    events = [(str(account), event) for account, event in zip(held["account"].tolist(), columns, strict=True)]
    rate, last = PEERS[name](events, int(held["first"]))
    accounts = sorted(last, key=int)
    np.savez(
        target,
        account=np.array([int(account) for account in accounts]),
        as_of=np.array([last[one][0] for one in accounts]),
        values=[last[one][1] for one in accounts],
    )
    print(rate)


if __name__ == "__main__":
    main(*sys.argv[1:])
