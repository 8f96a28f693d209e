"""Bytewax: `collect_window` over windows of 24 hours that start every hour, by event time.

What a window collected is counted by event: of an id the highest revision, deletes dropped. A decision cannot wait, so
neither does the clock; what comes later than its window's end goes to the stream of late events. A window is
[start, end), so event times are taken a microsecond earlier, which makes it (start, end]. A question gets the newest
window that ended by then; one that no event is in is empty. A training set is the same dataflow run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import bytewax.operators as op
from answering import EMPTY, Answer, answer
from bytewax.dataflow import Dataflow
from bytewax.operators import windowing
from bytewax.testing import TestingSink, TestingSource, run_main
from scenario import HOUR, START, WINDOW, Arrival, Scenario

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ORIGIN = START - WINDOW


def moment(us: int) -> datetime:
    """Return a moment as Bytewax takes it."""
    return EPOCH + timedelta(microseconds=us)


def bytewax(scenario: Scenario) -> tuple[Sequence[Answer], Sequence[Answer]]:
    """Run the dataflow, then look up the window of each question."""
    collected: list[tuple[str, tuple[int, list[Arrival]]]] = []
    flow = Dataflow("truth")
    arrivals = op.input("arrivals", flow, TestingSource(list(scenario.arrivals)))
    keyed = op.key_on("account", arrivals, lambda one: one.account)
    clock = windowing.EventClock(
        ts_getter=lambda one: moment(one.event_time - 1),
        wait_for_system_duration=timedelta(0),
        now_getter=lambda: EPOCH,  # a replay: time passes with the events alone
        to_system_utc=lambda _: None,
    )
    windower = windowing.SlidingWindower(
        length=timedelta(microseconds=WINDOW), offset=timedelta(microseconds=HOUR), align_to=moment(ORIGIN)
    )
    windows = windowing.collect_window("day", keyed, clock, windower)
    op.output("out", windows.down, TestingSink(collected))
    run_main(flow)
    known = {(account, number): counted(items) for account, (number, items) in collected}
    answers = [known.get((one.account, (one.t - WINDOW - ORIGIN) // HOUR), EMPTY) for one in scenario.questions]
    return answers, answers


def counted(items: Sequence[Arrival]) -> Answer:
    """Return the feature of what a window collected."""
    newest: dict[str, Arrival] = {}
    for item in items:
        if item.id not in newest or item.revision > newest[item.id].revision:
            newest[item.id] = item
    amounts = [item.cents / 100 for item in newest.values() if item.op != "delete"]
    return (float(len(amounts)), sum(amounts), sum(amounts) / len(amounts)) if amounts else EMPTY


if __name__ == "__main__":
    answer(bytewax)
