"""Policies: what they become, and what is refused with its line."""

from __future__ import annotations

import pytest

from streamgauge.definitions.loader import load_source
from tests.definitions.conftest import MODEL, STREAMS, Refusal

DEFINED = "m = sg.Model(**parts)\n"


def test_a_policy_carries_its_bounds_grades_and_rules() -> None:
    source = STREAMS + MODEL + DEFINED
    source += "sg.Policy(m, approve_below=0.04, refer_below=0.08, grades={'A': 0.01, 'B': 1},\n"
    source += "    rules=[sg.refer((Cash.n < 9) | (Cash.n > 99), code='K1', reason='Few'),\n"
    source += "           sg.decline(Cash.spend['7d'] > 5, code='K2', reason='Much')])\n"

    policy = load_source(source).policies["risk"]

    assert (policy.approve_below, policy.refer_below) == (0.04, 0.08)
    assert policy.grades == (("A", 0.01), ("B", 1.0))
    assert [(rule.outcome, rule.code) for rule in policy.rules] == [("refer", "K1"), ("decline", "K2")]
    assert [feature.name for feature in policy.rules[0].features] == ["Cash.n"]
    assert policy.rules[1].predicate[0] == "gt"


MISTAKES = {
    "no model": ("'risk', approve_below=0.1, refer_below=0.2", "A policy belongs to a model, not to 'risk'"),
    "bound": ("m, approve_below=4, refer_below=8", "approve_below=4 is no probability"),
    "nan": ("m, approve_below=float('nan'), refer_below=0.2", "approve_below=nan is no probability"),
    "order": ("m, approve_below=0.2, refer_below=0.1", "refer_below=0.1 is under approve_below=0.2"),
    "grades": (
        "m, approve_below=0.1, refer_below=0.2, grades={'A': 0.2, 'B': 0.1}",
        'Grade "B" ends at 0.1, not above 0.2, where "A" ends',
    ),
    "grade": ("m, approve_below=0.1, refer_below=0.2, grades={'A': 2}", "grades=2 is no probability"),
    "rules": ("m, approve_below=0.1, refer_below=0.2, rules=[Cash.n > 3]", "rules= takes sg.refer"),
    "rule over fields": (
        "m, approve_below=0.1, refer_below=0.2, rules=[sg.refer(Application.amount > 3, code='K', reason='x')]",
        "refer takes a comparison of features",
    ),
    "rule of another entity": (
        "m, approve_below=0.1, refer_below=0.2, rules=[sg.refer(Shop.n > 3, code='K', reason='x')]",
        "Rule K reads Shop.n of shop; the model observes account",
    ),
    "rule over an aggregate": (
        (
            "m, approve_below=0.1, refer_below=0.2, "
            "rules=[sg.decline(Movement.all.count(over='7d') > 3, code='K', reason='x')]"
        ),
        "reads an aggregate that is no feature",
    ),
    "rule's code": (
        "m, approve_below=0.1, refer_below=0.2, rules=[sg.refer(Cash.n > 3, code='', reason='x')]",
        "code='' is no code",
    ),
    "a feature's code": (
        "m, approve_below=0.1, refer_below=0.2, rules=[sg.refer(Cash.n > 3, code='R01', reason='x')]",
        'The code R01 has another reason already: "Many movements"',
    ),
    "comparison of a category": (
        "m, approve_below=0.1, refer_below=0.2, rules=[sg.refer(Cash.kind > 3, code='K', reason='x')]",
        "Cash.kind is a category and cannot be put in order",
    ),
    "unknown level": (
        "m, approve_below=0.1, refer_below=0.2, rules=[sg.refer(Cash.kind == 'rnt', code='K', reason='x')]",
        'Did you mean "rent"?',
    ),
    "chained": (
        "m, approve_below=0.1, refer_below=0.2, rules=[sg.refer(1 < Cash.n < 3, code='K', reason='x')]",
        "split 0 < x < 5 into",
    ),
    "unknown keyword": ("m, approve_bellow=0.1, refer_below=0.2", 'Did you mean "approve_below"?'),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistaken_policy_is_named_with_its_line(arguments: str, message: str, model_refusal: Refusal) -> None:
    assert message in model_refusal(f"{DEFINED}sg.Policy({arguments})  # <-\n").message


def test_a_model_has_one_policy(model_refusal: Refusal) -> None:
    error = model_refusal(
        DEFINED
        + "sg.Policy(m, approve_below=0.1, refer_below=0.2)\nsg.Policy(m, approve_below=0.1, refer_below=0.2)  # <-\n"
    )

    assert 'A second policy for the model "risk"' in error.message
