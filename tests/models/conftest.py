"""A small lender, its log, and a project that learns from it quickly."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.definitions.loader import load_source
from streamgauge.definitions.specs import ProjectSpec
from streamgauge.events.frames import validate_import
from streamgauge.models.dataset import build_datasets
from streamgauge.models.policies import rule_features
from streamgauge.models.run import TrainingRun
from streamgauge.models.train import fit_run
from streamgauge.testing.portfolio import DEFAULT_END, simulate_history

NOW = int(DEFAULT_END.timestamp() * 1_000_000)
DAY = 86_400_000_000

EVENTS = """
import streamgauge as sg

class Movement(sg.Event, feed=True):
    id: sg.EventId
    account: sg.Entity
    booked_at: sg.EventTime
    amount: sg.Money
    balance: sg.Money = sg.field(default=None)
    kind: sg.Category = sg.field(
        levels=["salary", "sales", "rent", "card", "cash", "loan", "fee", "returned", "own", "other"]
    )
    counterparty: sg.Key = sg.field(default=None)

class Application(sg.Event):
    id: sg.EventId
    account: sg.Entity
    asked_at: sg.EventTime
    amount: sg.Money
    term_months: sg.Integer

class Loan(sg.Event):
    id: sg.EventId
    account: sg.Entity
    paid_at: sg.EventTime
    application: sg.Ref = sg.field(to=Application)

class Arrears(sg.Event):
    id: sg.EventId
    account: sg.Entity
    at: sg.EventTime
    application: sg.Ref = sg.field(to=Application)
    days_past_due: sg.Integer

class Mark(sg.Event, lateness="1000d"):
    id: sg.EventId
    account: sg.Entity
    at: sg.EventTime
    weight: sg.Integer
"""
FEATURES = """
inflow = Movement.where(Movement.amount > 0)
balance = Movement.all.level(Movement.balance)

class CashFlow(sg.Features, entity=Movement.account, reach="365d"):
    inflow_sum = inflow.sum(Movement.amount, over=["30d", "90d"])
    balance_mean = sg.feature(balance.mean(over="30d"), risk="down", code="R01", reason="The balance is low")
    overdrawn = sg.feature(balance.time_below(0, over="90d"), risk="up", code="R02", reason="Often overdrawn")
    returned = Movement.where(Movement.kind == "returned").count(over="90d")
    kind = Movement.all.last(Movement.kind, over="90d")
    loans = Loan.all.count(over="365d")
    history = Movement.all.time_since_first(over="life")

class Past(sg.Features, entity=Movement.account):
    payers = inflow.distinct(Movement.counterparty, over="90d")
"""
LABELS = """
missed = sg.Label(bad=Arrears.where(Arrears.days_past_due >= 15), within="60d", settle="5d")
default = sg.Label(
    bad=Arrears.where(Arrears.days_past_due >= 30), indeterminate=Arrears.where(Arrears.days_past_due >= 15),
    match=Arrears.application, starts=Loan.application, within="90d", settle="5d",
)
"""
MODELS = """
weekly = sg.Model(
    name="weekly", observe=sg.every("7d", anchor="Mon 00:00 UTC", entity=Movement.account, active=CashFlow.loans > 0),
    features=[CashFlow], label=missed, estimator=sg.Boosting(max_iter=30),
    split=sg.TimeSplit(calibrate="60d", test="60d"),
)
asked = sg.Model(
    name="asked", observe=Application, features=[CashFlow, Application.amount, Application.term_months], label=default,
    estimator=sg.Boosting(max_iter=30, min_samples_leaf=10), split=sg.TimeSplit(calibrate="60d", test="60d"),
    owner="Risk", purpose="Tests",
)
policy = sg.Policy(
    asked, approve_below=0.1, refer_below=0.2, grades={"A": 0.05, "B": 0.1, "C": 1.0},
    rules=[sg.refer(Past.payers < 2, code="K01", reason="Few payers")],
)
"""
SOURCE = EVENTS + FEATURES + LABELS + MODELS


@dataclass(frozen=True)
class Lender:
    """A project and the folder of its log."""

    project: ProjectSpec
    path: Path
    frames: dict[str, pl.DataFrame]

    def open(self) -> SqliteLog:
        """Open the log."""
        log = SqliteLog(self.path)
        for stream in self.project.streams.values():
            log.register_schema(stream)
        return log


def import_frames(log: SqliteLog, project: ProjectSpec, frames: dict[str, pl.DataFrame], now: int = NOW) -> None:
    """Import frames whose arrival is in the column known_at."""
    for name, frame in frames.items():
        if name in project.streams:
            found = validate_import(frame, project.streams[name], known_at="known_at")
            assert not found.rejected
            log.append(list(found.records), now)


def new_lender(path: Path, source: str, frames: dict[str, pl.DataFrame]) -> Lender:
    """Write a log of a project."""
    lender = Lender(load_source(source), path, frames)
    log = lender.open()
    import_frames(log, lender.project, frames)
    log.close()
    return lender


@pytest.fixture(scope="session")
def history() -> dict[str, pl.DataFrame]:
    return simulate_history(borrowers=700, days=640)


@pytest.fixture(scope="session")
def lender(tmp_path_factory: pytest.TempPathFactory, history: dict[str, pl.DataFrame]) -> Lender:
    return new_lender(tmp_path_factory.mktemp("lender") / "events.sqlite", SOURCE, history)


@pytest.fixture
def log(lender: Lender) -> Iterator[SqliteLog]:
    opened = lender.open()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def runs(lender: Lender) -> dict[str, TrainingRun]:
    """Both models, trained and not registered."""
    log = lender.open()
    extra = {name: rule_features(lender.project, policy) for name, policy in lender.project.policies.items()}
    datasets = build_datasets(lender.project, list(lender.project.models.values()), log, extra=extra)
    found = {dataset.model.name: fit_run(lender.project, dataset, log) for dataset in datasets}
    log.close()
    return found
