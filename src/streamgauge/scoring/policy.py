"""A registered policy: how a PD and finished features become an outcome.

A policy version carries all it needs to decide without the project file: thresholds, grades, rules rewritten over named
features, the program of those features, and the explainer's baseline, which belongs to the version (credit rule 6).
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from streamgauge.features.predicates import holds, name_expressions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamgauge.definitions.specs import FeatureSpec, PolicySpec

Outcome = Literal["approve", "refer", "decline"]

_SEVERITY: Final[dict[Outcome, int]] = {"approve": 0, "refer": 1, "decline": 2}


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A knock-out rule over named features."""

    outcome: Literal["refer", "decline"]
    predicate: list[Any]
    code: str
    reason: str


class RegisteredPolicy(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One version of a policy.

    Attributes:
        model: The model it belongs to.
        model_sha256: The artefact its baseline was measured on.
        version: Counts up per model, from 1.
        approve_below: PDs strictly below are approved.
        refer_below: PDs strictly below, and not approved, are referred.
        grades: (name, upper bound), ascending.
        rules: The knock-out rules.
        program: Canonical form of the program whose columns the rules read; None without rules.
        baseline: What reasons are measured against, as the explainer wrote it.
        definition_sha256: Of the policy's definition in the project file.
    """

    model: str
    model_sha256: str
    version: int
    approve_below: float
    refer_below: float
    grades: tuple[tuple[str, float], ...]
    rules: tuple[Rule, ...]
    program: Any
    baseline: Any
    definition_sha256: str

    @cached_property
    def sha256(self) -> str:
        """The version's hash: over everything but its number."""
        body = msgspec.json.encode(msgspec.structs.replace(self, version=0), order="deterministic")
        return hashlib.sha256(body).hexdigest()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy says.

    Attributes:
        outcome: The severest of score and rules.
        stage: ``score`` or ``rule``: what decided; ``score`` where both are equally severe.
        score_outcome: What the PD alone would give.
        fired: The rules that fired, in the policy's order.
        unknown: Those of them that fired because what they read is null.
        grade: The PD's grade, or None without grades.
    """

    outcome: Outcome
    stage: Literal["score", "rule"]
    score_outcome: Outcome
    fired: tuple[Rule, ...]
    unknown: tuple[Rule, ...]
    grade: str | None


def rules_of(policy: PolicySpec, known: Sequence[FeatureSpec], role: str) -> tuple[tuple[Rule, ...], list[FeatureSpec]]:
    """Rewrite a policy's rules over named features.

    Args:
        policy: The declared policy.
        known: The model's features, whose names are taken where an expression is the same.
        role: The model's role.

    Returns:
        The rules and the features they read.
    """
    rules: list[Rule] = []
    needed: dict[str, FeatureSpec] = {}
    for number, rule in enumerate(policy.rules):
        named = [*known, *rule.features, *needed.values()]
        predicate, features = name_expressions(rule.predicate, named, f"rule.{number}", role)
        needed.update((feature.name, feature) for feature in features)
        rules.append(Rule(outcome=rule.outcome, predicate=predicate, code=rule.code, reason=rule.reason))
    return tuple(rules), list(needed.values())


def judge(policy: RegisteredPolicy, pd: float, values: Mapping[str, float]) -> Verdict:
    """Apply a policy to a recorded PD and finished features.

    Args:
        policy: The version in force.
        pd: The floored, rounded PD that is stored.
        values: Finished features by name, NaN for null; at least those its rules read.
    """
    score_outcome = score_outcome_of(policy, pd)
    # A rule over null fires: what cannot be checked is not waved through.
    truths = [(rule, holds(rule.predicate, values)) for rule in policy.rules]
    fired = tuple(rule for rule, truth in truths if truth is not False)
    outcome, stage = score_outcome, "score"
    for rule in fired:
        if _SEVERITY[rule.outcome] > _SEVERITY[outcome]:
            outcome, stage = rule.outcome, "rule"
    return Verdict(
        outcome=outcome,
        stage="rule" if stage == "rule" else "score",
        score_outcome=score_outcome,
        fired=fired,
        unknown=tuple(rule for rule, truth in truths if truth is None),
        grade=grade_of(policy.grades, pd),
    )


def score_outcome_of(policy: RegisteredPolicy, pd: float) -> Outcome:
    """Return what the PD alone gives: strictly below a threshold, or declined."""
    if pd < policy.approve_below:
        return "approve"
    return "refer" if pd < policy.refer_below else "decline"


def grade_of(grades: Sequence[tuple[str, float]], pd: float) -> str | None:
    """Return the first grade whose bound lies strictly above the PD; the last takes the rest; None without grades.

    >>> grade_of([("A", 0.01), ("B", 0.05)], 0.01)
    'B'
    >>> grade_of([("A", 0.01), ("B", 0.05)], 0.9)
    'B'
    """
    for name, bound in grades:
        if pd < bound:
            return name
    return grades[-1][0] if grades else None
