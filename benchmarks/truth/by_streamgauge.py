"""Streamgauge: the same project file; events are sent as they arrive, and the features read at each moment.

A training set is `Project.features` of all moments at last, each knowing what was known by then.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

import streamgauge as sg
from benchmarks.truth.exact import Answer
from benchmarks.truth.scenario import Arrival, Question, Scenario
from streamgauge.app.owner import Owner
from streamgauge.app.settings import find_place
from streamgauge.clock import FixedClock
from streamgauge.errors import UnknownName
from streamgauge.events.values import format_time

NAMES = ("Day.count", "Day.total", "Day.mean")


def streamgauge(scenario: Scenario) -> tuple[Sequence[Answer], Sequence[Answer]]:
    """Send, read, and read it all again for training."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copy(Path(__file__).parent / "payments.py", root)
        (root / "streamgauge.toml").write_text('[project]\nfile = "payments.py"\ndata = "data"\n')
        return _served(root, scenario), _trained(root, scenario)


def _served(root: Path, scenario: Scenario) -> list[Answer]:
    clock = FixedClock(0)
    arrivals = list(scenario.arrivals)
    answers: list[Answer] = []
    with Owner.open(find_place(root), clock=clock) as owner:
        for question in scenario.questions:
            while arrivals and arrivals[0].known_at <= question.t:
                arrival = arrivals.pop(0)
                clock.set(arrival.known_at)
                owner.ingest([_flat(arrival)], applied=True)
            clock.set(question.t)
            answers.append(_read(owner, question))
        clock.set(scenario.arrivals[-1].known_at)
        for arrival in arrivals:
            owner.ingest([_flat(arrival)], applied=True)
    return answers


def _read(owner: Owner, question: Question) -> Answer:
    try:
        found: Any = owner.features(question.account).features
    except UnknownName:  # no event has arrived yet
        return 0.0, 0.0, None
    count, total, mean = (found[name] for name in NAMES)
    return count, total, mean


def _trained(root: Path, scenario: Scenario) -> list[Answer]:
    moments = pl.Series([question.t for question in scenario.questions]).cast(pl.Datetime("us", "UTC"))
    frame = pl.DataFrame({"account": [question.account for question in scenario.questions], "as_of": moments})
    with sg.open(root) as project:
        return [(count, total, mean) for count, total, mean in project.features(frame).select(NAMES).iter_rows()]


def _flat(arrival: Arrival) -> dict[str, Any]:
    event: dict[str, Any] = {"stream": "Payment", "id": arrival.id, "account": arrival.account}
    event["at"] = format_time(arrival.event_time)
    if arrival.revision:
        event |= {"revision": arrival.revision, "op": arrival.op}
    if arrival.op != "delete":
        event["amount"] = f"{arrival.cents // 100}.{arrival.cents % 100:02d}"
    return event
