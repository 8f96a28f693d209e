from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from streamgauge.errors import ModelError
from streamgauge.features.program import FeatureProgram
from streamgauge.models.policies import evaluate_policy, make_policy
from streamgauge.models.run import TrainingRun
from streamgauge.scoring.policy import judge
from streamgauge.scoring.reasons import Baseline
from streamgauge.scoring.scorer import Scorer
from tests.models.conftest import Lender


def test_rates_are_over_all_applications_and_bad_rates_over_observed_ones(
    lender: Lender, runs: dict[str, TrainingRun]
) -> None:
    run, policy = runs["asked"], lender.project.policies["asked"]
    rows = run.rows
    report = evaluate_policy(lender.project, policy, run.artefact, rows)
    assert report.applications == len(rows) > rows["bad"].count() > 0
    assert sum(rate.applications for rate in report.outcomes.values()) == len(rows)
    assert sum(rate.share for rate in report.outcomes.values()) == pytest.approx(1.0)
    few = (rows["Past.payers"] < 2).fill_null(value=True)
    assert report.rules == {"K01": few.sum()}
    approved = rows.filter((pl.col("pd") < 0.1) & ~few)
    rate = report.outcomes["approve"]
    assert (rate.applications, rate.observed, rate.bads) == (
        len(approved),
        approved["bad"].count(),
        approved["bad"].sum(),
    )
    assert [grade.grade for grade in report.grades] == ["A", "B", "C"]
    assert sum(grade.applications for grade in report.grades) == len(rows)
    worst = report.grades[-1]
    assert worst.mean_pd is not None
    assert worst.bad_rate is not None
    assert 0.0 < (worst.jeffreys or 0.0) < 1.0


def test_a_stricter_policy_approves_fewer_without_training(lender: Lender, runs: dict[str, TrainingRun]) -> None:
    run, policy = runs["asked"], lender.project.policies["asked"]
    strict = replace(policy, approve_below=0.03, refer_below=0.03)
    before = evaluate_policy(lender.project, policy, run.artefact, run.rows).outcomes
    after = evaluate_policy(lender.project, strict, run.artefact, run.rows).outcomes
    assert after["approve"].applications < before["approve"].applications
    assert after["decline"].applications > before["decline"].applications


def test_a_version_decides_and_explains_without_the_project_file(lender: Lender, runs: dict[str, TrainingRun]) -> None:
    run, policy = runs["asked"], lender.project.policies["asked"]
    version = make_policy(lender.project, policy, run.artefact, run.rows)
    assert version.model_sha256 == run.artefact.sha256
    assert FeatureProgram.from_canonical(version.program).names == ("Past.payers",)
    assert judge(version, 0.01, {"Past.payers": 1.0}).outcome == "refer"
    assert judge(version, 0.01, {"Past.payers": 5.0}).outcome == "approve"


def test_the_baseline_is_the_rows_nearest_below_the_cutoff(lender: Lender, runs: dict[str, TrainingRun]) -> None:
    run, policy = runs["asked"], lender.project.policies["asked"]
    version = make_policy(lender.project, policy, run.artefact, run.rows)
    labelled = run.rows.filter(pl.col("part") != "unlabelled")
    nearest = labelled.filter(pl.col("pd") < 0.1).sort("pd", descending=True).head(200)
    assert version.baseline["rows"] == len(nearest)
    assert version.baseline["margin"] == pytest.approx(nearest["margin"].mean(), abs=1e-9)
    baseline = Baseline(**{**version.baseline, "contributions": tuple(version.baseline["contributions"])})
    scorer = Scorer(run.artefact)
    X = np.nan_to_num(run.rows.select(run.artefact.features).head(5).cast(pl.Float64).to_numpy())
    scorer.reasons(X, scorer.score_many(X).margin, baseline)


def test_the_same_policy_on_the_same_model_is_the_same_version(lender: Lender, runs: dict[str, TrainingRun]) -> None:
    run, policy = runs["asked"], lender.project.policies["asked"]
    first, second = (make_policy(lender.project, policy, run.artefact, run.rows).sha256 for _ in range(2))
    assert first == second
    other = make_policy(lender.project, replace(policy, refer_below=0.3), run.artefact, run.rows)
    assert other.sha256 != first


def test_a_rule_over_a_feature_that_was_not_kept_says_so(lender: Lender, runs: dict[str, TrainingRun]) -> None:
    run, policy = runs["asked"], lender.project.policies["asked"]
    with pytest.raises(ModelError, match=r"have no column Past\.payers"):
        evaluate_policy(lender.project, policy, run.artefact, run.rows.drop("Past.payers"))


def test_a_cutoff_that_nobody_is_below_has_no_baseline(lender: Lender, runs: dict[str, TrainingRun]) -> None:
    run = runs["asked"]
    policy = replace(lender.project.policies["asked"], approve_below=1e-6)
    with pytest.raises(ModelError, match="below 1e-06"):
        make_policy(lender.project, policy, run.artefact, run.rows)
