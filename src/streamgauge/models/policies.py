"""Policies of a trained model: a version to decide with, and what it would have done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl

from streamgauge.definitions.canonical import digest
from streamgauge.features.program import FeatureProgram
from streamgauge.models.gathering import Gatherer
from streamgauge.models.rows import UNLABELLED, matrix
from streamgauge.scoring.policy import RegisteredPolicy, Verdict, grade_of, judge, rules_of
from streamgauge.scoring.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streamgauge.definitions.specs import FeatureSpec, PolicySpec, ProjectSpec
    from streamgauge.scoring.artefact import ModelArtefact


class OutcomeRate(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of applications under a policy.

    Attributes:
        applications: How many get this outcome.
        share: Of all applications.
        observed: How many of them have an outcome that is known.
        bads: How many of these are bad.
        bad_rate: Of the observed ones; None without any.
    """

    applications: int
    share: float
    observed: int
    bads: int
    bad_rate: float | None


class GradeRate(msgspec.Struct, frozen=True, kw_only=True):
    """One grade under a policy.

    Attributes:
        grade: Its name.
        below: PDs strictly below belong to it; the last takes the rest.
        applications: How many applications.
        mean_pd: Their mean PD; None without any.
        observed: How many of them have an outcome that is known.
        bads: How many of these are bad.
        bad_rate: Of the observed ones; None without any.
        jeffreys: P(true rate ≤ mean PD) under Jeffreys' prior: small means that the PD is too low; None without
            outcomes.
    """

    grade: str
    below: float
    applications: int
    mean_pd: float | None
    observed: int
    bads: int
    bad_rate: float | None
    jeffreys: float | None


class PolicyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy would have done with the applications of the calibration and test spans.

    Attributes:
        model: The model's name.
        model_sha256: The artefact that gave the PDs.
        applications: How many applications, those without an outcome included.
        outcomes: By ``approve``, ``refer`` and ``decline``. Bad rates are of observed outcomes only: of applications
            that were paid out, under whatever policy was in force then.
        rules: How many applications fire each rule, by code.
        grades: The grades, the best first.
    """

    model: str
    model_sha256: str
    applications: int
    outcomes: dict[str, OutcomeRate]
    rules: dict[str, int]
    grades: tuple[GradeRate, ...]


def rule_features(project: ProjectSpec, policy: PolicySpec) -> list[FeatureSpec]:
    """Return the features that a policy's rules read, the model's own included."""
    model = project.models[policy.model]
    return rules_of(policy, model.features, model.observe.role)[1]


def serving_programs(project: ProjectSpec, model: str) -> list[FeatureProgram]:
    """Return the programs that a model and its policy will be served with once the model is trained."""
    spec = project.models[model]
    programs = [Gatherer.program_of(project, spec).serving]
    policy = project.policies.get(model)
    needed = [] if policy is None else rule_features(project, policy)
    return [*programs, FeatureProgram.of(needed, project.streams)] if needed else programs


def make_policy(
    project: ProjectSpec, policy: PolicySpec, artefact: ModelArtefact, rows: pl.DataFrame
) -> RegisteredPolicy:
    """Return a policy version for a model, its number still 0.

    Args:
        project: The project that declares the policy.
        policy: The policy.
        artefact: The model it decides with.
        rows: The rows kept beside the model.

    Raises:
        ModelError: No row of calibration and test has a PD below ``approve_below``: reasons would have no baseline.
    """
    rules, needed = _rules(project, policy)
    labelled = rows.filter(pl.col("part") != UNLABELLED)
    baseline = Scorer(artefact).baseline(matrix(labelled, artefact.features), policy.approve_below)
    return RegisteredPolicy(
        model=policy.model,
        model_sha256=artefact.sha256,
        version=0,
        approve_below=policy.approve_below,
        refer_below=policy.refer_below,
        grades=policy.grades,
        rules=rules,
        program=FeatureProgram.of(needed, project.streams).canonical() if needed else None,
        baseline=msgspec.to_builtins(baseline),
        definition_sha256=digest(policy),
    )


def evaluate_policy(
    project: ProjectSpec, policy: PolicySpec, artefact: ModelArtefact, rows: pl.DataFrame
) -> PolicyReport:
    """Return what a policy would have done: rates over all applications, bad rates over observed ones only.

    Args:
        project: The project that declares the policy.
        policy: The policy; it need not be registered.
        artefact: The model it decides with.
        rows: The rows kept beside the model.

    Raises:
        ModelError: A rule reads a feature that was not kept with the model.
    """
    rules, _ = _rules(project, policy)
    pd, bad = rows["pd"].to_numpy(), rows["bad"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    verdicts = verdicts_of(project, policy, artefact, rows)
    outcome = np.array([verdict.outcome for verdict in verdicts], dtype="<U7")
    fired = [rule.code for verdict in verdicts for rule in verdict.fired]
    return PolicyReport(
        model=policy.model,
        model_sha256=artefact.sha256,
        applications=len(verdicts),
        outcomes={name: _outcome(outcome == name, bad) for name in ("approve", "refer", "decline")},
        rules={rule.code: fired.count(rule.code) for rule in rules},
        grades=_grades(policy.grades, pd, bad),
    )


def verdicts_of(project: ProjectSpec, policy: PolicySpec, artefact: ModelArtefact, rows: pl.DataFrame) -> list[Verdict]:
    """Return what a policy would have said of each row that is kept beside a model.

    Raises:
        ModelError: A rule reads a feature that was not kept with the model.
    """
    rules, needed = _rules(project, policy)
    version = _trial(policy, artefact, rules)
    names = [feature.name for feature in needed]
    values = matrix(rows, names)
    return [
        judge(version, one, dict(zip(names, row, strict=True)))
        for one, row in zip(rows["pd"].to_list(), values.tolist(), strict=True)
    ]


def _rules(project: ProjectSpec, policy: PolicySpec) -> tuple[tuple[Any, ...], list[FeatureSpec]]:
    model = project.models[policy.model]
    return rules_of(policy, model.features, model.observe.role)


def _trial(policy: PolicySpec, artefact: ModelArtefact, rules: tuple[Any, ...]) -> RegisteredPolicy:
    return RegisteredPolicy(
        model=policy.model,
        model_sha256=artefact.sha256,
        version=0,
        approve_below=policy.approve_below,
        refer_below=policy.refer_below,
        grades=policy.grades,
        rules=rules,
        program=None,
        baseline=None,
        definition_sha256=digest(policy),
    )


def _outcome(chosen: NDArray[np.bool_], bad: NDArray[np.float64]) -> OutcomeRate:
    known = bad[chosen & ~np.isnan(bad)]
    bads = int(known.sum())
    return OutcomeRate(
        applications=int(chosen.sum()),
        share=float(chosen.mean()) if len(chosen) else 0.0,
        observed=len(known),
        bads=bads,
        bad_rate=bads / len(known) if len(known) else None,
    )


def _grades(
    grades: Sequence[tuple[str, float]], pd: NDArray[np.float64], bad: NDArray[np.float64]
) -> tuple[GradeRate, ...]:
    from scipy.stats import beta

    place = np.array([grade_of(grades, one) or "" for one in pd.tolist()], dtype=object)
    found = []
    for name, below in grades:
        chosen = place == name
        rate = _outcome(chosen, bad)
        mean = float(pd[chosen].mean()) if rate.applications else None
        jeffreys = None
        if mean is not None and rate.observed:
            jeffreys = float(beta.cdf(mean, rate.bads + 0.5, rate.observed - rate.bads + 0.5))
        found.append(
            GradeRate(
                grade=name,
                below=below,
                applications=rate.applications,
                mean_pd=mean,
                observed=rate.observed,
                bads=rate.bads,
                bad_rate=rate.bad_rate,
                jeffreys=jeffreys,
            )
        )
    return tuple(found)
