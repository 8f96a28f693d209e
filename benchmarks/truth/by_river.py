"""river: `utils.TimeRolling` over `stats`, one of each for an account, updated as events arrive.

It keeps no ids, so repetitions, corrections and deletes cannot be told from events: corrections and deletes are left
out, repetitions count. A window moves on when the next event comes, not with the clock. What is learnt from is what was
served: the features are read in the same pass.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from answering import EMPTY, Answer, answer
from river import stats, utils
from scenario import WINDOW, Scenario

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - river compares with a naive one
PERIOD = timedelta(microseconds=WINDOW)


def fresh() -> list[Any]:
    """Return the rolling statistics of an account; a count is a sum of ones, since `stats.Count` cannot be rolled."""
    return [utils.TimeRolling(kind, period=PERIOD) for kind in (stats.Sum, stats.Sum, stats.Mean)]


def river(scenario: Scenario) -> tuple[Sequence[Answer], Sequence[Answer]]:
    """Update with what has arrived before each question, then read."""
    warnings.simplefilter("ignore")
    accounts: defaultdict[str, list[Any]] = defaultdict(fresh)
    arrivals = iter(scenario.arrivals)
    arrival = next(arrivals, None)
    answers: list[Answer] = []
    for question in scenario.questions:
        while arrival is not None and arrival.known_at <= question.t:
            if arrival.op == "insert":
                amount, t = arrival.cents / 100, EPOCH + timedelta(microseconds=arrival.event_time)
                for one, value in zip(accounts[arrival.account], (1.0, amount, amount), strict=True):
                    one.update(value, t=t)
            arrival = next(arrivals, None)
        found = accounts.get(question.account)
        count, total, mean = EMPTY if found is None else (one.get() for one in found)
        answers.append((float(count or 0), float(total or 0), float(mean) if count and mean is not None else None))
    return answers, answers


if __name__ == "__main__":
    answer(river)
