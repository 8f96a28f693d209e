from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.definitions.loader import load_source
from streamgauge.errors import TrainingRefused
from streamgauge.events.record import Record
from streamgauge.events.validate import validate_one
from streamgauge.features.bind import BoundProgram
from streamgauge.features.decode import SchemaBook
from streamgauge.features.history import EntityHistory
from streamgauge.features.layout import Layout
from streamgauge.features.program import FeatureProgram
from streamgauge.models.dataset import Dataset, build_dataset, build_datasets
from streamgauge.outcomes.observations import EVERYTHING
from tests.models.conftest import DAY, NOW, SOURCE, Lender, import_frames


@pytest.fixture(scope="module")
def datasets(lender: Lender) -> dict[str, Dataset]:
    log = lender.open()
    built = build_datasets(lender.project, list(lender.project.models.values()), log)
    log.close()
    return {dataset.model.name: dataset for dataset in built}


def history_of(lender: Lender, log: SqliteLog, model: str, entity: str) -> tuple[EntityHistory, BoundProgram]:
    program = FeatureProgram.of(lender.project.models[model].features, lender.project.streams)
    layout = Layout.of([program])
    return EntityHistory(layout, log.read_entity(entity), SchemaBook(log.schema)), BoundProgram.of(program, layout)


def test_a_grid_row_sees_what_was_known_by_its_moment(
    lender: Lender, log: SqliteLog, datasets: dict[str, Dataset]
) -> None:
    rows = datasets["weekly"]
    for entity in rows.entities[:3]:
        own = np.flatnonzero(rows.entity == rows.entities.index(entity))
        history, bound = history_of(lender, log, "weekly", entity)
        everything = np.full(len(own), EVERYTHING, np.int64)
        np.testing.assert_array_equal(rows.X[own], history.at_moments(bound, rows.t[own], rows.t[own], everything))


def test_an_imported_event_is_observed_at_its_knowledge_moment(
    lender: Lender, log: SqliteLog, datasets: dict[str, Dataset]
) -> None:
    rows = datasets["asked"]
    owner = int(rows.entity[0])
    own = np.flatnonzero(rows.entity == owner)
    history, bound = history_of(lender, log, "asked", rows.entities[owner])
    assert rows.event_id is not None
    observed = [("Application", rows.event_id[row]) for row in own.tolist()]
    found = history.at_moments(bound, rows.t[own], rows.known_at[own], rows.position[own], observed)
    np.testing.assert_array_equal(rows.X[own], found)
    assert not np.isnan(rows.X[own, rows.names.index("Application.amount")]).any()


def test_the_population_is_who_is_active_from_the_first_knowledge_on(
    history: dict[str, pl.DataFrame], datasets: dict[str, Dataset]
) -> None:
    paid = defaultdict(list)
    for account, at, known in history["Loan"].select("account", "paid_at", "known_at").iter_rows():
        paid[account].append((at.timestamp() * 1e6, known.timestamp() * 1e6))
    monday = 4 * DAY
    grid = np.arange(monday + (NOW - 640 * DAY - monday) // (7 * DAY) * 7 * DAY, NOW + 1, 7 * DAY)
    expected = {
        (f"account:{account}", int(t))
        for account, loans in paid.items()
        for t in grid
        if any(t - 365 * DAY < at <= t and known <= t for at, known in loans)
    }
    rows = datasets["weekly"]
    found = {(rows.entities[owner], t) for owner, t in zip(rows.entity.tolist(), rows.t.tolist(), strict=True)}
    assert found == expected


def test_labels_are_those_of_a_plain_reading(history: dict[str, pl.DataFrame], datasets: dict[str, Dataset]) -> None:
    paid, late = {}, defaultdict(list)
    for application, at in history["Loan"].select("application", "paid_at").iter_rows():
        paid[application] = at.timestamp() * 1e6
    for application, at, dpd in history["Arrears"].select("application", "at", "days_past_due").iter_rows():
        late[application].append((at.timestamp() * 1e6, dpd))

    def label(application: str, t: int) -> str:
        start = paid.get(application)
        if (t if start is None else start) + 95 * DAY > NOW:
            return "open"
        if start is None:
            return "unexposed"
        worst = max((dpd for at, dpd in late[application] if start < at <= start + 90 * DAY), default=0)
        return "bad" if worst >= 30 else "indeterminate" if worst >= 15 else "good"

    rows = datasets["asked"]
    expected = [label(str(event_id), t) for event_id, t in zip(rows.frame["event_id"], rows.t.tolist(), strict=True)]
    assert rows.frame["label"].to_list() == expected
    assert set(expected) == {"good", "bad", "indeterminate", "unexposed", "open"}
    assert rows.frame["bad"].to_list() == [{"good": 0, "bad": 1}.get(one) for one in expected]


def test_an_absence_is_judged_with_all_knowledge_as_a_plain_reading_does(
    log: SqliteLog, history: dict[str, pl.DataFrame]
) -> None:
    label = 'missed = sg.Label(bad_without=Movement.where(Movement.kind == "salary"), within="20d", settle="2d")'
    project = load_source(SOURCE.replace(SOURCE[SOURCE.index("missed = ") : SOURCE.index("default = ")], label + "\n"))
    rows = build_dataset(project, project.models["weekly"], log)
    paid = defaultdict(list)
    salaries = history["Movement"].filter(pl.col("kind") == "salary")
    for account, at in salaries.select("account", "booked_at").iter_rows():
        paid[f"account:{account}"].append(int(at.timestamp() * 1_000_000))

    def plain(entity: str, t: int) -> str:
        if t + 22 * DAY > NOW:
            return "open"
        return "good" if any(t < at <= t + 20 * DAY for at in paid[entity]) else "bad"

    expected = [plain(rows.entities[owner], t) for owner, t in zip(rows.entity.tolist(), rows.t.tolist(), strict=True)]
    assert rows.frame["label"].to_list() == expected
    assert set(expected) == {"good", "bad", "open"}


def test_the_frame_shows_whom_when_what_and_the_features(datasets: dict[str, Dataset]) -> None:
    frame = datasets["weekly"].frame
    head = ["entity", "as_of", "known_at", "position", "event_id", "label", "bad", "closes_at", "imported"]
    assert frame.columns == head + list(datasets["weekly"].names)
    assert frame["entity"][0].startswith("acc-")
    assert (
        frame["CashFlow.kind"].drop_nulls().is_in(["salary", "card", "rent", "cash", "sales", "fee", "returned"]).any()
    )
    assert frame["position"].null_count() == len(frame)
    assert datasets["asked"].frame["closes_at"].null_count() > 0


def test_reading_the_log_once_for_several_models_changes_none(
    lender: Lender, log: SqliteLog, datasets: dict[str, Dataset]
) -> None:
    alone = build_dataset(lender.project, lender.project.models["asked"], log, workers=1)
    assert alone.frame.equals(datasets["asked"].frame)
    assert alone.program.digest == datasets["asked"].program.digest


def test_the_dataset_ends_at_the_position_it_began_with(lender: Lender, datasets: dict[str, Dataset]) -> None:
    log = lender.open()
    last = log.last_position()
    log.close()
    assert datasets["asked"].last_position == last
    assert datasets["asked"].moment == NOW
    assert datasets["asked"].known == "declared"


def test_hindsight_knows_late_events_and_marks_the_dataset(lender: Lender, log: SqliteLog) -> None:
    model = replace(lender.project.models["asked"], known="final")
    found = build_dataset(lender.project, model, log)
    assert found.known == "final"
    recorded = build_dataset(lender.project, lender.project.models["asked"], log)
    assert not np.array_equal(found.X, recorded.X, equal_nan=True)


Event = Callable[..., Record]
START = 1_700_000_000_000_000


@pytest.fixture
def live(tmp_path: Path) -> tuple[SqliteLog, Event]:
    project = load_source(SOURCE)
    log = SqliteLog(tmp_path / "events.sqlite")
    for stream in project.streams.values():
        log.register_schema(stream)

    def append(stream: str, now: int, **fields: Any) -> Record:
        event = {"stream": stream, "account": "A", **fields}
        (record,) = log.append([validate_one(event, project.streams)], now)
        assert isinstance(record, Record), record
        return record

    return log, append


def iso(moment: int) -> str:
    return str(np.datetime64(moment, "us")) + "Z"


def test_a_live_event_is_cut_at_its_own_position(live: tuple[SqliteLog, Event]) -> None:
    log, append = live
    append("Movement", START, id="m1", booked_at=iso(START), amount="10", kind="salary")
    asked = append("Application", START + 5, id="a1", asked_at=iso(START), amount="100", term_months=3)
    append("Movement", START + 5, id="m2", booked_at=iso(START), amount="20", kind="salary")
    project = load_source(SOURCE)
    rows = build_dataset(project, project.models["asked"], log)
    assert rows.known == "recorded"
    assert (rows.t.tolist(), rows.position.tolist()) == ([START + 5], [asked.position])
    assert rows.X[0, rows.names.index("CashFlow.inflow_sum_30d")] == 10.0
    hindsight = build_dataset(project, replace(project.models["asked"], known="final"), log)
    assert hindsight.X[0, rows.names.index("CashFlow.inflow_sum_30d")] == 30.0


def test_a_late_correction_changes_the_label_and_not_the_features(live: tuple[SqliteLog, Event]) -> None:
    log, append = live
    append("Application", START, id="a1", asked_at=iso(START), amount="100", term_months=3)
    append("Loan", START + 1, id="l1", paid_at=iso(START), application="a1")
    due = START + 85 * DAY
    append("Arrears", due, id="d1", at=iso(due), application="a1", days_past_due=30)
    end = START + 100 * DAY
    append("Movement", end, id="m", booked_at=iso(end), amount="1", kind="card")
    project = load_source(SOURCE)
    before = build_dataset(project, project.models["asked"], log)
    corrected = {"id": "d1", "at": iso(due), "application": "a1", "days_past_due": 3, "revision": 1, "op": "replace"}
    append("Arrears", end + 1, **corrected)
    after = build_dataset(project, project.models["asked"], log)
    assert (before.frame["label"].to_list(), after.frame["label"].to_list()) == (["bad"], ["good"])
    np.testing.assert_array_equal(before.X, after.X)


def test_an_observation_deleted_by_the_end_gives_no_row(live: tuple[SqliteLog, Event]) -> None:
    log, append = live
    append("Application", START, id="a1", asked_at=iso(START), amount="100", term_months=3)
    append("Application", START + 9, id="a1", asked_at=iso(START), revision=1, op="delete")
    project = load_source(SOURCE)
    assert len(build_dataset(project, project.models["asked"], log)) == 0


def test_imported_and_live_observations_stand_side_by_side(
    live: tuple[SqliteLog, Event], history: dict[str, pl.DataFrame]
) -> None:
    log, append = live
    project = load_source(SOURCE)
    import_frames(log, project, {"Application": history["Application"].head(5)})
    append("Application", NOW + 5, id="a1", asked_at=iso(NOW), amount="100", term_months=3)
    rows = build_dataset(project, project.models["asked"], log)
    assert rows.known == "declared"
    assert sorted(rows.imported.tolist()) == [False] + [True] * 5


def test_a_log_without_entities_is_refused(live: tuple[SqliteLog, Event]) -> None:
    project = load_source(SOURCE)
    with pytest.raises(TrainingRefused, match="observes account, and the log holds none"):
        build_dataset(project, project.models["asked"], live[0])
