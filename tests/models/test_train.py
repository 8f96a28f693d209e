import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from streamgauge.adapters.mlflow.directory import ServingDirectory
from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.definitions.canonical import digest
from streamgauge.definitions.loader import load_source
from streamgauge.definitions.specs import SplitSpec
from streamgauge.errors import SpanTooShort, TrainingRefused, UnknownName
from streamgauge.features.program import FeatureProgram
from streamgauge.models.dataset import build_dataset
from streamgauge.models.rows import matrix
from streamgauge.models.run import TrainingRun
from streamgauge.models.serving import serving_of
from streamgauge.models.train import fit_run, split_rows, train_model
from streamgauge.scoring.scorer import Scorer
from tests.models.conftest import DAY, NOW, SOURCE, Lender, import_frames, new_lender


def test_two_trainings_from_the_same_log_give_the_same_artefact(
    lender: Lender, log: SqliteLog, runs: dict[str, TrainingRun]
) -> None:
    dataset = build_dataset(lender.project, lender.project.models["weekly"], log, workers=1)
    again = fit_run(lender.project, dataset, log)
    assert again.artefact.sha256 == runs["weekly"].artefact.sha256
    assert again.report == runs["weekly"].report


def test_what_is_reported_is_what_the_artefact_gives(runs: dict[str, TrainingRun]) -> None:
    run = runs["weekly"]
    test = run.rows.filter(pl.col("part") == "test")
    scores = Scorer(run.artefact).score_many(matrix(test, run.artefact.features))
    np.testing.assert_array_equal(scores.margin, test["margin"].to_numpy())
    np.testing.assert_array_equal(scores.pd, test["pd"].to_numpy())
    metrics = run.report.metrics
    assert (metrics.rows, metrics.bads) == (len(test), test["bad"].sum())
    assert metrics.auc == pytest.approx(roc_auc_score(test["bad"], scores.margin), abs=1e-12)
    assert metrics.mean_pd == pytest.approx(scores.pd.mean())
    assert metrics.auc > 0.7
    assert metrics.auc_method == "bootstrap"
    assert run.report.measured_on == "test"


def test_the_calibrator_saw_the_calibration_part_only(runs: dict[str, TrainingRun]) -> None:
    run = runs["weekly"]
    part = run.report.parts["calibrate"]
    assert (run.artefact.calibrator.rows, run.artefact.calibrator.bads) == (part.rows, part.bads)
    calibrated = run.rows.filter(pl.col("part") == "calibrate")
    assert calibrated["pd"].mean() == pytest.approx(part.bad_rate, abs=0.002)


def test_parts_keep_their_distance(runs: dict[str, TrainingRun]) -> None:
    parts = runs["weekly"].report.parts
    for before, after in (("train", "calibrate"), ("calibrate", "test")):
        assert (parts[after].begins or 0) - (parts[before].ends or 0) >= 65 * DAY
    assert runs["weekly"].report.purged > 0


def test_the_artefact_carries_what_a_server_needs(lender: Lender, runs: dict[str, TrainingRun]) -> None:
    artefact = runs["weekly"].artefact
    program = FeatureProgram.from_canonical(artefact.program)
    assert program.digest == artefact.program_sha256
    assert set(artefact.features) <= set(program.names)
    serving = serving_of(artefact)
    assert (serving.observe, serving.role) == ("every", "account")
    assert serving.active == ["gt", ["column", "CashFlow.loans"], ["const", 0.0]]
    assert artefact.label_sha256 == digest(lender.project.labels["missed"])
    assert artefact.known == "declared"
    codes = dict(zip(artefact.features, artefact.reasons, strict=True))
    assert (codes["CashFlow.overdrawn"].code, codes["CashFlow.overdrawn"].text) == ("R02", "Often overdrawn")
    assert runs["asked"].artefact.metadata["card"]["owner"] == "Risk"
    assert artefact.baseline is not None
    assert runs["asked"].artefact.metadata["data"]["moment"] == NOW


def test_declared_directions_hold_on_the_fitted_model(runs: dict[str, TrainingRun]) -> None:
    directions = {direction.feature: direction.risk for direction in runs["weekly"].report.directions}
    assert directions == {"CashFlow.balance_mean": "down", "CashFlow.overdrawn": "up"}
    assert all(direction.steps > 1_000 for direction in runs["weekly"].report.directions)


def test_the_report_counts_labels_and_warns(runs: dict[str, TrainingRun]) -> None:
    report = runs["asked"].report
    assert sum(report.labels.values()) > sum(part.rows for part in report.parts.values()) + report.purged
    assert report.parity > report.parts["train"].rows
    assert report.recomputed == 40
    text = "\n".join(report.warnings)
    assert "known=declared" in text
    assert "bads: AUC" in text
    assert f"{report.labels['unexposed']} observations were never exposed" in text
    assert all(png.startswith(b"\x89PNG") for png in runs["asked"].plots.values())
    assert set(runs["asked"].plots) == {"roc.png", "calibration.png", "scores.png"}


def test_folds_are_reported_out_of_fold_and_the_model_is_fitted_on_all(lender: Lender, log: SqliteLog) -> None:
    spec = replace(lender.project.models["weekly"], split=SplitSpec("fold", folds=3, by="account"))
    dataset = build_dataset(lender.project, spec, log)
    run = fit_run(lender.project, dataset, log)
    assert run.report.measured_on == "out of fold"
    assert run.report.metrics.rows == int(dataset.usable.sum()) == run.report.parts["train"].rows
    split = split_rows(dataset)
    own = run.artefact.ensemble.margin(run.artefact.coding.encode(dataset.X[split.test]))
    fitted_on = roc_auc_score(dataset.bad[split.test], own)
    assert run.report.metrics.auc < fitted_on - 0.005
    assert run.artefact.calibrator.rows == int(dataset.usable.sum())
    assert run.report.metrics.slope == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("estimator", ["sg.Forest(n_estimators=20)", "sg.Logistic()"])
def test_every_estimator_trains_and_exports(tmp_path: Path, history: dict[str, pl.DataFrame], estimator: str) -> None:
    source = SOURCE.replace("sg.Boosting(max_iter=30)", estimator)
    if "Forest" in estimator:
        source = source.replace('risk="down", ', "").replace('risk="up", ', "")
    lender = new_lender(tmp_path / "events.sqlite", source, history)
    log = lender.open()
    run = fit_run(lender.project, build_dataset(lender.project, lender.project.models["weekly"], log), log)
    log.close()
    assert run.report.metrics.auc > 0.7
    assert math.isfinite(run.report.metrics.slope)


def test_a_span_too_short_is_refused_before_anything_is_fitted(lender: Lender, log: SqliteLog) -> None:
    long = SplitSpec("time", calibrate_us=300 * DAY, test_us=300 * DAY)
    spec = replace(lender.project.models["weekly"], split=long)
    with pytest.raises(SpanTooShort, match="span more than 730 days"):
        fit_run(lender.project, build_dataset(lender.project, spec, log), log)


def test_an_unknown_model_is_refused_with_the_close_match(lender: Lender, log: SqliteLog, tmp_path: Path) -> None:
    from streamgauge.adapters.mlflow.registry import MlflowRegistry

    with pytest.raises(UnknownName, match='Did you mean "weekly"'):
        train_model(lender.project, "weakly", log, MlflowRegistry(tmp_path))
    assert ServingDirectory(tmp_path).models() == []


def test_a_population_of_nobody_is_refused(log: SqliteLog) -> None:
    source = SOURCE.replace("active=CashFlow.loans > 0", "active=CashFlow.loans > 99")
    project = load_source(source)
    with pytest.raises(TrainingRefused, match="no observation"):
        fit_run(project, build_dataset(project, project.models["weekly"], log), log)


def test_an_absence_is_not_learnt_from_where_the_log_fell_silent(
    tmp_path: Path, history: dict[str, pl.DataFrame]
) -> None:
    label = 'missed = sg.Label(bad_without=Movement.where(Movement.kind == "salary"), within="20d", settle="2d")\n'
    source = SOURCE.replace(SOURCE[SOURCE.index("missed = ") : SOURCE.index("default = ")], label)
    silent = Lender(load_source(source), tmp_path / "events.sqlite", history)
    log = silent.open()
    import_frames(log, silent.project, history, NOW + 120 * DAY)
    dataset = build_dataset(silent.project, silent.project.models["weekly"], log)
    with pytest.raises(TrainingRefused, match=r"absence of Movement rows, and none is known since 2025-12-\d\d: all"):
        fit_run(silent.project, dataset, log)
    log.close()
