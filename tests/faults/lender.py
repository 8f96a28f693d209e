"""A small lender: a project file, models fitted on drawn rows of its features, and events that are hard on it."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from streamgauge.adapters.mlflow.directory import ServingDirectory
from streamgauge.app.settings import Place, find_place
from streamgauge.definitions.loader import load_project
from streamgauge.definitions.specs import FeatureSpec, ModelSpec, ProjectSpec
from streamgauge.features.predicates import name_expressions
from streamgauge.features.program import FeatureProgram
from streamgauge.models.registry import RegisteredModel
from streamgauge.models.serving import Serving
from streamgauge.scoring.artefact import ModelArtefact
from streamgauge.scoring.calibration import fit_calibrator
from streamgauge.scoring.coding import Coding
from streamgauge.scoring.fitted import from_sklearn
from streamgauge.scoring.onnx_export import export_onnx
from streamgauge.scoring.policy import RegisteredPolicy, rules_of
from streamgauge.scoring.reasons import reason_codes
from streamgauge.scoring.scorer import Scorer

PROJECT: Final = '''"""A small lender."""

import streamgauge as sg


class Movement(sg.Event, feed=True, lateness="10d"):
    """One booked movement."""

    id: sg.EventId
    account: sg.Entity
    booked_at: sg.EventTime
    amount: sg.Money
    balance: sg.Money = sg.field(default=None)
    kind: sg.Category = sg.field(levels=["salary", "card", "loan"])
    payer: sg.Key = sg.field(default=None)


class Application(sg.Event, lateness="10d"):
    """One request for a loan."""

    id: sg.EventId
    account: sg.Entity
    asked_at: sg.EventTime
    amount: sg.Money


class Arrears(sg.Event, lateness="10d"):
    """Days past due of an application's loan."""

    id: sg.EventId
    account: sg.Entity
    at: sg.EventTime
    application: sg.Ref = sg.field(to=Application)
    days: sg.Integer


inflow = Movement.where(Movement.amount > 0)
balance = Movement.all.level(Movement.balance)
steps = Movement.where(Movement.kind != "loan").each("2d", times=3).sum(Movement.amount)


class Flow(sg.Features, entity=Movement.account, reach="20d"):
    """What the account shows."""

    inflow_sum = sg.feature(inflow.sum(Movement.amount, over=["1d", "5d"]), risk="down", code="R01", reason="Income")
    spread = Movement.all.std(Movement.amount, over="5d")
    pace = inflow_sum["1d"] / inflow_sum["5d"]
    payers = inflow.distinct(Movement.payer, over="5d")
    top_payer = inflow.top_share(Movement.payer, of=Movement.amount, over="5d")
    gap = inflow.gap("median", over="5d")
    trend = Movement.all.slope(Movement.amount, over="last 5")
    steady = steps.std()
    balance_mean = balance.mean(over="5d")
    balance_std = balance.std(over="3d")
    overdrawn = sg.feature(balance.time_below(0, over="5d"), risk="up", code="R04", reason="Overdrawn")
    lifetime = Movement.all.sum(Movement.amount, over="life")
    asked_before = Application.prior.count(over="life")
    history = Movement.all.time_since_first(over="life")


bad_soon = sg.Label(bad=Arrears.where(Arrears.days >= 30), within="30d")
account_risk = sg.Model(
    name="account-risk",
    observe=sg.every("7d", anchor="Mon 00:00 UTC", entity=Movement.account, active=Flow.asked_before >= 0),
    features=[Flow],
    label=bad_soon,
    estimator=sg.Boosting(max_iter=20),
    split=sg.TimeSplit(calibrate="30d", test="30d"),
)
default = sg.Label(bad=Arrears.where(Arrears.days >= 30), match=Arrears.application, within="30d")
application_risk = sg.Model(
    name="application-risk",
    observe=Application,
    features=[Flow, Application.amount],
    label=default,
    estimator=sg.Boosting(max_iter=20),
    split=sg.TimeSplit(calibrate="30d", test="30d"),
)
policy = sg.Policy(
    application_risk,
    approve_below=0.3,
    refer_below=0.6,
    grades={"A": 0.1, "B": 0.3, "C": 1.0},
    rules=[sg.refer(Flow.history < 3_600, code="K01", reason="Account history is shorter than an hour")],
)
'''

ACCOUNT_RISK, APPLICATION_RISK = "account-risk", "application-risk"
_SETTINGS: Final = '[project]\nfile = "lender.py"\n[api]\nkeys = false\nport = 0\n[engine]\nworkers = 1\n'
_ROWS: Final = 400


def make_project(root: Path, text: str = PROJECT, *, engine: str = "") -> Place:
    """Write the project with both models registered, and return its place."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "lender.py").write_text(text, encoding="utf-8")
    (root / "streamgauge.toml").write_text(_SETTINGS + engine, encoding="utf-8")
    place = find_place(root)
    project = load_project(place.project_file)
    for model in project.models.values():
        register(place, project, model)
    return place


def register(place: Place, project: ProjectSpec, model: ModelSpec, *, seed: int = 1) -> ModelArtefact:
    """Fit a model on drawn rows, register it and its policy, and make it champion."""
    files = ServingDirectory(place.models)
    artefact = fit(project, model, seed)
    entry = RegisteredModel(
        name=model.name,
        version=0,
        sha256=artefact.sha256,
        path="",
        alias_champion=False,
        created_at=1,
        metrics={},
        known="recorded",
        label=model.label.name,
        label_sha256="",
        program_sha256=artefact.program_sha256,
        data_from=0,
        data_to=1,
    )
    (place.models / model.name / "champion.json").unlink(missing_ok=True)
    files.add(entry, artefact, {})
    policy = project.policies.get(model.name)
    if policy is not None:
        rules, needed = rules_of(policy, model.features, model.observe.role)
        files.add_policy(
            RegisteredPolicy(
                model=model.name,
                model_sha256=artefact.sha256,
                version=0,
                approve_below=policy.approve_below,
                refer_below=policy.refer_below,
                grades=policy.grades,
                rules=rules,
                program=FeatureProgram.of(needed, project.streams).canonical() if needed else None,
                baseline=msgspec.to_builtins(artefact.baseline),
                definition_sha256="",
            )
        )
    return artefact


def fit(project: ProjectSpec, model: ModelSpec, seed: int) -> ModelArtefact:
    """Return a model of its features that depends on all of them; its quality does not matter here."""
    names = [feature.name for feature in model.features]
    extra: list[FeatureSpec] = []
    active = None
    if model.observe.active is not None:
        active, needed = name_expressions(model.observe.active, model.features, "active", model.observe.role)
        extra = [feature for feature in needed if feature.name not in names]
    program = FeatureProgram.of([*model.features, *extra], project.streams)
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(_ROWS, len(names))) * 300.0
    X[generator.random(X.shape) < 0.2] = np.nan
    bad = (np.nan_to_num(X).sum(axis=1) + generator.normal(size=_ROWS) * 100.0 > 0).astype(np.int64)
    coding = Coding.fit(names, [False] * len(names), X, "codes")
    rows = coding.encode(X)
    estimator = HistGradientBoostingClassifier(max_iter=10, early_stopping=False, random_state=seed).fit(rows, bad)
    ensemble = from_sklearn(estimator, rows)
    codes = {feature.name: (feature.code, feature.reason or "") for feature in model.features if feature.code}
    serving = Serving(observe=model.observe.kind, stream=model.observe.stream, role=model.observe.role, active=active)
    artefact = ModelArtefact(
        name=model.name,
        ensemble=ensemble,
        onnx=export_onnx(ensemble),
        coding=coding,
        calibrator=fit_calibrator("sigmoid", ensemble.margin(rows), bad == 1),
        program=program.canonical(),
        program_sha256=program.digest,
        label=model.label.name,
        label_sha256="",
        known="recorded",
        reasons=reason_codes(names, codes),
        metadata=serving.to_metadata(),
    )
    return replace(artefact, baseline=Scorer(artefact).baseline(X, None))


class Sender:
    """Draws events of a few hot accounts: corrections, deletes, repeats, contradictions and late ones among them.

    Attributes:
        sent: Every event of revision 0 so far, from which later ones are drawn.
    """

    def __init__(self, seed: int, accounts: int = 40, prefix: str = "e") -> None:
        """Draw from a seed; the prefix keeps ids of several senders apart."""
        self._draw = random.Random(seed)  # noqa: S311 - a test's draw
        self._accounts = [f"A-{number:02d}" for number in range(accounts)]
        self._prefix = prefix
        self._number = 0
        self.sent: list[dict[str, Any]] = []

    def event(self, now: datetime) -> dict[str, Any]:
        """Return the next event."""
        draw = self._draw
        if self.sent and draw.random() < 0.25:
            return self._again(draw.choice(self.sent[-60:]))
        if draw.random() < 0.15:
            return self.application(now)
        self._number += 1
        event = {
            "stream": "Movement",
            "id": f"{self._prefix}-{self._number}",
            "account": self._account(),
            "booked_at": _text(now - timedelta(seconds=draw.choice([0, 0, 0, 30, 3_600, 86_400, 8 * 86_400]))),
            "amount": f"{draw.randint(-90_000, 90_000) / 100:.2f}",
            "balance": draw.choice([None, f"{draw.randint(-50_000, 90_000) / 100:.2f}"]),
            "kind": draw.choice(["salary", "card", "loan"]),
            "payer": draw.choice([None, "acme", "zeta", "Ω"]),
        }
        self.sent.append(event)
        return event

    def application(self, now: datetime) -> dict[str, Any]:
        """Return the next application."""
        self._number += 1
        return {
            "stream": "Application",
            "id": f"{self._prefix}-{self._number}",
            "account": self._account(),
            "asked_at": _text(now),
            "amount": f"{self._draw.randint(100, 9_000)}.00",
        }

    def history(self, count: int, now: datetime) -> list[dict[str, Any]]:
        """Return movements of the weeks before, to be imported; a few repeat or contradict events sent."""
        rows = []
        for _ in range(count):
            self._number += 1
            if self.sent and self._draw.random() < 0.1:
                row = dict(self._draw.choice(self.sent))
                if self._draw.random() < 0.5:
                    row["amount"] = "77.77"
            else:
                row = {
                    "stream": "Movement",
                    "id": f"{self._prefix}-{self._number}",
                    "account": self._account(),
                    "booked_at": _text(now - timedelta(seconds=self._draw.randint(0, 40 * 86_400))),
                    "amount": f"{self._draw.randint(-90_000, 90_000) / 100:.2f}",
                    "balance": None,
                    "kind": "card",
                    "payer": "acme",
                }
            rows.append({name: value for name, value in row.items() if name != "stream"})
        return rows

    def _account(self) -> str:
        # A tenth of all events are the first account's.
        return self._accounts[0] if self._draw.random() < 0.1 else self._draw.choice(self._accounts)

    def _again(self, event: dict[str, Any]) -> dict[str, Any]:
        kind = self._draw.choice(["same", "conflict", "moved", "replace", "replace", "delete"])
        if kind == "conflict":
            return {**event, "amount": "66.66"}
        if kind == "moved":
            moved = datetime.fromisoformat(event["booked_at"]) - timedelta(seconds=1)
            return {**event, "booked_at": _text(moved)}
        if kind == "replace":
            return {**event, "op": "replace", "revision": self._draw.randint(1, 3), "amount": "12.34"}
        if kind == "delete":
            kept = {name: event[name] for name in ("stream", "id", "account", "booked_at")}
            return {**kept, "op": "delete", "revision": self._draw.randint(2, 4)}
        return event


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
