"""Pathway: `windowby` with sliding windows of 24 hours that start every hour, kept up to date for ever.

A correction takes the old row back and puts the new one; a delete takes it back; a repetition of a primary key is none.
Results of late events are corrected when they come. A window is [start, end), so event times are taken a microsecond
earlier. A question gets the newest window that ended by then, as it stood then; one that no event is in is empty. A
training set is the same pipeline run over the table as it is at last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pathway as pw
from answering import EMPTY, Answer, answer
from scenario import HOUR, START, WINDOW, Arrival, Scenario


class Payment(pw.Schema):
    """A payment as Pathway sees it."""

    event: str = pw.column_definition(primary_key=True)
    account: str
    at: int
    amount: float


def pathway(scenario: Scenario) -> tuple[Sequence[Answer], Sequence[Answer]]:
    """Run the stream and note every change of a window, then run what is left of it at once."""
    changes = changes_of(scenario.arrivals)
    # An old row goes in a batch of its own before the new one comes: times are even, four for each microsecond.
    arrived = [(*row, 4 * known_at + diff + 1, diff) for known_at, diff, row in changes]
    served = streamed(scenario, arrived, live=True)
    last: dict[str, tuple[Any, ...]] = {}
    for _, diff, row in changes:
        if diff > 0:
            last[row[0]] = row
        else:
            last.pop(row[0])
    trained = streamed(scenario, [(*row, 2, 1) for row in last.values()], live=False)
    return served, trained


def changes_of(arrivals: Sequence[Arrival]) -> list[tuple[int, int, tuple[Any, ...]]]:
    """Return (when, +1 or -1, row): what an upserting source makes of the arrivals."""
    rows: dict[str, tuple[Any, ...]] = {}
    seen: dict[str, int] = {}
    found = []
    for one in arrivals:
        if one.revision <= seen.get(one.id, -1):
            continue
        seen[one.id] = one.revision
        if one.id in rows:
            found.append((one.known_at, -1, rows.pop(one.id)))
        if one.op != "delete":
            rows[one.id] = (one.id, one.account, one.event_time - 1, one.cents / 100)
            found.append((one.known_at, 1, rows[one.id]))
    return found


def streamed(scenario: Scenario, rows: list[tuple[Any, ...]], *, live: bool) -> list[Answer]:
    """Run the windows over rows with their times, and answer each question as it stood then, or at last."""
    pw.internals.parse_graph.G.clear()
    payments = pw.debug.table_from_rows(Payment, rows, is_stream=True)
    window = pw.temporal.sliding(hop=HOUR, duration=WINDOW, origin=START - WINDOW)
    days = payments.windowby(payments.at, window=window, instance=payments.account).reduce(
        account=pw.this._pw_instance,  # noqa: SLF001 - Pathway's own name for it
        end=pw.this._pw_window_end,  # noqa: SLF001 - the same
        count=pw.reducers.count(),
        total=pw.reducers.sum(pw.this.amount),
        mean=pw.reducers.avg(pw.this.amount),
    )
    log: list[tuple[int, bool, str, int, Answer]] = []

    def noted(key: Any, row: Mapping[str, Any], time: int, is_addition: bool) -> None:  # noqa: ANN401, ARG001, FBT001 - as Pathway calls
        value = (float(row["count"]), float(row["total"]), float(row["mean"]))
        log.append((time, is_addition, row["account"], row["end"], value))

    pw.io.subscribe(days, noted)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    log.sort(key=lambda change: (change[0], change[1]))
    state: dict[tuple[str, int], Answer] = {}
    answers: list[Answer] = []
    place = 0
    for question in scenario.questions:
        while place < len(log) and (not live or log[place][0] < 4 * question.t + 4):
            _, is_addition, account, end, value = log[place]
            if is_addition:
                state[account, end] = value
            else:
                state.pop((account, end), None)
            place += 1
        answers.append(state.get((question.account, question.t // HOUR * HOUR), EMPTY))
    return answers


if __name__ == "__main__":
    answer(pathway)
