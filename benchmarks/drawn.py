"""The credit template served with a model fitted on drawn rows: throughput needs a model, not its training."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.lender import command
from streamgauge.adapters.mlflow.directory import ServingDirectory
from streamgauge.app.settings import Place, find_place
from streamgauge.definitions.loader import load_project
from streamgauge.features.predicates import name_expressions
from streamgauge.features.program import FeatureProgram
from streamgauge.models.registry import RegisteredModel
from streamgauge.models.serving import Serving
from streamgauge.scoring.artefact import ModelArtefact
from streamgauge.scoring.calibration import fit_calibrator
from streamgauge.scoring.coding import Coding
from streamgauge.scoring.fitted import from_sklearn
from streamgauge.scoring.onnx_export import export_onnx
from streamgauge.scoring.reasons import reason_codes
from streamgauge.scoring.scorer import Scorer

MODEL = "account-risk"
KINDS = ("salary", "sales", "rent", "card", "cash", "loan", "fee", "returned", "own", "other")
DAY_US = 86_400_000_000
_ROWS = 2_000
_TREES = 200


def make_drawn_lender(
    directory: Path, *, trees: int = _TREES, settings: str = "", features: Sequence[str] = ()
) -> Place:
    """Begin a project from the credit template in which every account is scored at each of its movements.

    Args:
        directory: Where; emptied first.
        trees: The trees of its model.
        settings: More of ``streamgauge.toml``.
        features: The model's; empty for those of the template.
    """
    shutil.rmtree(directory, ignore_errors=True)
    command("init", str(directory), "--template", "credit")
    source = directory / "credit.py"
    source.write_text(source.read_text("utf-8").replace("active=CashFlow.loans > 0", "active=CashFlow.loans >= 0"))
    (directory / "streamgauge.toml").write_text(
        f'[project]\nfile = "credit.py"\n[api]\nkeys = false\nport = 0\n{settings}'
    )
    place = find_place(directory)
    register_drawn(place, trees, features)
    return place


def register_drawn(place: Place, trees: int, features: Sequence[str] = ()) -> None:
    """Fit the account model on drawn rows of its features, or of some, and make it champion."""
    project = load_project(place.project_file)
    model = project.models[MODEL]
    if features:
        model = replace(model, features=tuple(project.features[name] for name in features))
    names = [feature.name for feature in model.features]
    active, needed = None, list(model.features[:0])
    if model.observe.active is not None:
        active, needed = name_expressions(model.observe.active, model.features, "active", model.observe.role)
    program = FeatureProgram.of(
        [*model.features, *(feature for feature in needed if feature.name not in names)], project.streams
    )
    X, bad = _drawn(len(names))
    coding = Coding.fit(names, [False] * len(names), X, "codes")
    rows = coding.encode(X)
    estimator = fit_estimator(len(names), trees)
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
    artefact = replace(artefact, baseline=Scorer(artefact).baseline(X, None))
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
    ServingDirectory(place.models).add(entry, artefact, {})


def fit_estimator(features: int, trees: int = _TREES) -> HistGradientBoostingClassifier:
    """Return scikit-learn's form of the registered model of so many features: the same each time."""
    X, bad = _drawn(features)
    return HistGradientBoostingClassifier(max_iter=trees, early_stopping=False, random_state=1).fit(X, bad)


def movements(
    count: int, accounts: int, first_us: int, last_us: int, *, seed: int, prefix: str, hot: float = 0.0
) -> pl.DataFrame:
    """Return movements in order of time, spread over a span and over accounts.

    Args:
        count: How many.
        accounts: Over how many accounts.
        first_us: When the first may be.
        last_us: When the last may be.
        seed: The seed.
        prefix: What their ids begin with.
        hot: The share of them that are the first account's.
    """
    generator = np.random.default_rng(seed)
    account = generator.integers(0, accounts, count)
    account[generator.random(count) < hot] = 0
    at = np.sort(generator.integers(first_us, last_us, count))
    amount = generator.integers(-90_000, 90_000, count)
    return pl.DataFrame(
        {
            "id": _numbered(prefix, np.arange(count)),
            "account": _numbered("acc-", account),
            "booked_at": pl.Series(at).cast(pl.Datetime("us", "UTC")),
            "amount": _money(amount),
            "balance": _money(generator.integers(-50_000, 500_000, count)),
            "kind": pl.Series(np.array(KINDS)[generator.integers(0, len(KINDS), count)]),
            "counterparty": _numbered("cp-", generator.integers(0, 2_000, count)),
        }
    )


def _drawn(features: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return rows of features, a fifth of them null, and whose outcome is bad."""
    generator = np.random.default_rng(1)
    X = generator.normal(size=(_ROWS, features)) * 300.0
    X[generator.random(X.shape) < 0.2] = np.nan
    bad = (np.nan_to_num(X).sum(axis=1) + generator.normal(size=_ROWS) * 100.0 > 0).astype(np.int64)
    return X, bad


def _numbered(prefix: str, numbers: NDArray[np.int64]) -> pl.Series:
    return pl.Series([f"{prefix}{number}" for number in numbers.tolist()])


def _money(cents: NDArray[np.int64]) -> pl.Series:
    return pl.Series(cents / 100)
