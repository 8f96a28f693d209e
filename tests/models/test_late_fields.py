"""A field that arrives late and is dated back: what it adds when knowledge is ignored, and that by default it does not.

The truth is known here: which notes the lender had when it decided, and which were written after the default and dated
before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.definitions.loader import load_source
from streamgauge.errors import UnknownName
from streamgauge.models.dataset import Dataset, build_dataset
from streamgauge.models.metrics import auc_of
from streamgauge.models.run import TrainingRun
from streamgauge.models.train import fit_run
from tests.models.conftest import DAY, NOW, Lender, import_frames, new_lender

CLIENTS = 4_000
SOURCE = """
import streamgauge as sg
class Application(sg.Event):
    id: sg.EventId
    client: sg.Entity
    at: sg.EventTime
    income: sg.Money
class Note(sg.Event, lateness="400d"):
    id: sg.EventId
    client: sg.Entity
    at: sg.EventTime
    weight: sg.Integer
class Default(sg.Event):
    id: sg.EventId
    client: sg.Entity
    at: sg.EventTime
class File(sg.Features, entity=Application.client):
    notes = Note.all.sum(Note.weight, over="90d")
bad = sg.Label(bad=Default, within="90d", settle="5d")
for known in ("recorded", "final"):
    sg.Model(
        name=known, observe=Application, features=[File, Application.income], label=bad, known=known,
        estimator=sg.Boosting(max_iter=60), split=sg.TimeSplit(calibrate="60d", test="60d"),
    )
"""


def simulate() -> tuple[dict[str, pl.DataFrame], dict[str, int]]:
    """Return the frames, and the sum of notes that were there when each client applied: the truth."""
    rng = np.random.Generator(np.random.PCG64(5))
    asked = NOW - rng.integers(2 * DAY, 640 * DAY, CLIENTS)
    income = rng.normal(size=CLIENTS)
    honest = rng.integers(0, 4, CLIENTS)
    bad = rng.random(CLIENTS) < 1 / (1 + np.exp(2.6 + 0.6 * income - 0.35 * honest))
    failed = asked + rng.integers(20 * DAY, 80 * DAY, CLIENTS)
    late = bad & (rng.random(CLIENTS) < 0.7)
    names = np.array([f"c{number:05d}" for number in range(CLIENTS)])
    early_at, late_at = asked - rng.integers(DAY, 60 * DAY, CLIENTS), asked - rng.integers(DAY, 30 * DAY, CLIENTS)
    notes = {
        "id": [*(f"n-{name}" for name in names), *(f"late-{name}" for name in names[late])],
        "client": [*names, *names[late]],
        "at": np.concatenate([early_at, late_at[late]]),
        "weight": np.concatenate([honest, np.full(int(late.sum()), 3)]),
        "known_at": np.concatenate([early_at, failed[late] + DAY]),
    }
    frames: dict[str, dict[str, Any]] = {
        "Application": {"id": names, "client": names, "at": asked, "income": np.round(income, 2), "known_at": asked},
        "Note": notes,
        "Default": {"id": names[bad], "client": names[bad], "at": failed[bad], "known_at": failed[bad]},
    }
    moments = [pl.col(name).cast(pl.Datetime("us", "UTC")) for name in ("at", "known_at")]
    told = {name: pl.DataFrame(columns).with_columns(moments).sort("known_at") for name, columns in frames.items()}
    return {name: frame.filter(pl.col("known_at").dt.timestamp("us") <= NOW) for name, frame in told.items()}, dict(
        zip(names.tolist(), honest.tolist(), strict=True)
    )


@pytest.fixture(scope="module")
def simulated() -> tuple[dict[str, pl.DataFrame], dict[str, int]]:
    return simulate()


@pytest.fixture(scope="module")
def lender(
    tmp_path_factory: pytest.TempPathFactory, simulated: tuple[dict[str, pl.DataFrame], dict[str, int]]
) -> Lender:
    return new_lender(tmp_path_factory.mktemp("late") / "events.sqlite", SOURCE, simulated[0])


@pytest.fixture
def log(lender: Lender) -> Iterator[SqliteLog]:
    opened = lender.open()
    yield opened
    opened.close()


def trained(lender: Lender, log: SqliteLog, name: str) -> tuple[Dataset, TrainingRun]:
    dataset = build_dataset(lender.project, lender.project.models[name], log)
    return dataset, fit_run(lender.project, dataset, log)


def test_a_late_field_adds_to_the_report_only_where_knowledge_is_ignored(
    lender: Lender, log: SqliteLog, simulated: tuple[dict[str, pl.DataFrame], dict[str, int]]
) -> None:
    truth = simulated[1]
    recorded, honest_run = trained(lender, log, "recorded")
    hindsight, false_run = trained(lender, log, "final")
    assert recorded.event_id == hindsight.event_id
    assert recorded.event_id is not None
    usable, bad = recorded.usable, recorded.bad[recorded.usable]
    notes, false = (rows.X[:, rows.names.index("File.notes")] for rows in (recorded, hindsight))

    # The default sees what the lender saw, on every row.
    np.testing.assert_array_equal(notes, [truth[one] for one in recorded.event_id])
    # Hindsight sees notes that were not written yet, and only of those who defaulted.
    assert ((false - notes)[usable][bad == 1] == 3).mean() > 0.6
    assert ((false - notes)[usable][bad == 0] == 0).all()

    false_gain = auc_of(false[usable], bad) - auc_of(notes[usable], bad)
    assert false_gain > 0.15
    # The default's report says what hindsight would add, and its own figures are without it.
    told = {leak.feature: leak.hindsight_auc for leak in honest_run.report.leaks}
    assert told["File.notes"] == pytest.approx(false_gain, abs=0.03)
    assert told["Application.income"] == pytest.approx(0.0, abs=1e-9)
    assert honest_run.report.metrics.auc < false_run.report.metrics.auc - 0.1
    assert any("hindsight" in warning for warning in false_run.report.warnings)
    assert (honest_run.report.known, false_run.report.known) == ("declared", "final")


def test_the_default_promises_what_it_keeps_and_hindsight_does_not(lender: Lender, log: SqliteLog) -> None:
    recorded, honest_run = trained(lender, log, "recorded")
    _, false_run = trained(lender, log, "final")
    test = recorded.t > recorded.t[recorded.usable].max() - 60 * DAY
    rows = test & recorded.usable
    # What each model would have ranked on the day: with the features that were there.
    reached = {
        run.report.known: auc_of(
            run.artefact.ensemble.margin(run.artefact.coding.encode(recorded.X[rows])), recorded.bad[rows]
        )
        for run in (honest_run, false_run)
    }
    assert reached["declared"] == pytest.approx(honest_run.report.metrics.auc, abs=1e-9)
    assert reached["final"] < false_run.report.metrics.auc - 0.1


def test_a_dataset_of_an_earlier_position_is_the_one_that_was_built_then(
    tmp_path: Path, simulated: tuple[dict[str, pl.DataFrame], dict[str, int]]
) -> None:
    frames, _ = simulated
    then = NOW - 100 * DAY
    old = {name: frame.filter(pl.col("known_at").dt.timestamp("us") <= then) for name, frame in frames.items()}
    new = {name: frame.filter(pl.col("known_at").dt.timestamp("us") > then) for name, frame in frames.items()}
    lender = Lender(load_source(SOURCE), tmp_path / "log.sqlite", old)
    log = lender.open()
    import_frames(log, lender.project, old, then)
    model, position = lender.project.models["recorded"], log.last_position()
    built_then = build_dataset(lender.project, model, log)
    run_then = fit_run(lender.project, built_then, log)

    import_frames(log, lender.project, new, NOW)
    # A default of then turns out to be none: today's labels know, those of then did not.
    withdrawn = _withdraw(log, lender, frames["Default"].head(1))
    built_now = build_dataset(lender.project, model, log)
    again = build_dataset(lender.project, model, log, position=position)

    assert len(built_now) > len(built_then) > 1_000
    first = built_then.frame.filter(pl.col("event_id") == withdrawn)["label"][0]
    assert (first, built_now.frame.filter(pl.col("event_id") == withdrawn)["label"][0]) == ("bad", "good")
    assert again.frame.equals(built_then.frame)
    assert (again.moment, again.last_position) == (then, position)
    assert fit_run(lender.project, again, log).artefact.sha256 == run_then.artefact.sha256
    with pytest.raises(UnknownName, match="no record at position"):
        build_dataset(lender.project, model, log, position=log.last_position() + 1)
    log.close()


def _withdraw(log: SqliteLog, lender: Lender, default: pl.DataFrame) -> str:
    """Delete a default by a later revision; return whose it was, which is its application's id too."""
    deletion = default.with_columns(
        (pl.col("at") + pl.duration(days=20)).alias("known_at"),
        pl.lit(1).alias("revision"),
        pl.lit("delete").alias("op"),
    )
    import_frames(log, lender.project, {"Default": deletion})
    return str(default["client"][0])
