"""The policy: thresholds, grades and rules."""

import math

import pytest

from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, PolicySpec, RuleSpec, WindowSpec
from streamgauge.scoring.policy import RegisteredPolicy, Rule, grade_of, judge, rules_of

GRADES = (("A", 0.01), ("B", 0.02), ("E", 1.0))
HISTORY = ("agg", AggregateSpec(kind="time_since_first", stream="Movement", window=WindowSpec("life")))
SPENDING = ("agg", AggregateSpec(kind="sum", stream="Movement", window=WindowSpec("life"), field="amount"))


def policy(*rules: Rule) -> RegisteredPolicy:
    return RegisteredPolicy(
        model="m",
        model_sha256="0" * 64,
        version=1,
        approve_below=0.04,
        refer_below=0.08,
        grades=GRADES,
        rules=rules,
        program=None,
        baseline=None,
        definition_sha256="1" * 64,
    )


def short(outcome: str = "refer") -> Rule:
    predicate = ["lt", ["column", "F.history"], ["const", 90.0]]
    return Rule(outcome=outcome, predicate=predicate, code="K01", reason="Short")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pd", "outcome", "grade"),
    [
        (0.0099, "approve", "A"),
        (0.01, "approve", "B"),
        (0.04, "refer", "E"),
        (0.08, "decline", "E"),
        (1.0, "decline", "E"),
    ],
)
def test_thresholds_are_strict_and_the_last_grade_takes_the_rest(pd: float, outcome: str, grade: str) -> None:
    verdict = judge(policy(), pd, {})
    assert (verdict.outcome, verdict.grade, verdict.stage) == (outcome, grade, "score")


def test_a_rule_decides_where_it_is_more_severe_than_the_score() -> None:
    verdict = judge(policy(short()), 0.001, {"F.history": 10.0})
    assert (verdict.outcome, verdict.stage, [rule.code for rule in verdict.fired]) == ("refer", "rule", ["K01"])


def test_the_score_decides_where_it_is_as_severe_as_the_rule() -> None:
    verdict = judge(policy(short()), 0.05, {"F.history": 10.0})
    assert (verdict.outcome, verdict.stage) == ("refer", "score")
    assert [rule.code for rule in verdict.fired] == ["K01"]


def test_a_rule_over_null_fires_and_says_that_it_knows_nothing() -> None:
    verdict = judge(policy(short("decline")), 0.001, {"F.history": math.nan})
    assert verdict.outcome == "decline"
    assert verdict.unknown == verdict.fired
    assert judge(policy(short("decline")), 0.001, {"F.history": 10.0}).unknown == ()


def test_a_rule_that_is_false_does_not_fire() -> None:
    assert judge(policy(short()), 0.001, {"F.history": 90.0}).fired == ()


def test_no_grades_give_no_grade() -> None:
    assert grade_of((), 0.5) is None


def test_rules_take_the_names_of_the_models_features_and_name_the_others() -> None:
    known = [FeatureSpec(name="F.history", expression=HISTORY, role="account")]
    spec = PolicySpec(
        model="m",
        approve_below=0.04,
        refer_below=0.08,
        rules=(
            RuleSpec("refer", ("lt", HISTORY, ("const", 90.0)), "K01", "Short"),
            RuleSpec("decline", ("and", ("gt", SPENDING, ("const", 1.0)), ("is_null", HISTORY)), "K02", "Spending"),
        ),
    )
    rules, needed = rules_of(spec, known, "account")
    assert rules[0].predicate == ["lt", ["column", "F.history"], ["const", 90.0]]
    assert rules[1].predicate == [
        "and",
        ["gt", ["column", "rule.1.0"], ["const", 1.0]],
        ["is_null", ["column", "F.history"]],
    ]
    assert [feature.name for feature in needed] == ["F.history", "rule.1.0"]


def test_the_versions_number_is_no_part_of_its_hash_but_its_thresholds_are() -> None:
    import msgspec

    first = policy(short())
    assert msgspec.structs.replace(first, version=7).sha256 == first.sha256
    assert msgspec.structs.replace(first, approve_below=0.05).sha256 != first.sha256
