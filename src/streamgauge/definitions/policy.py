"""Policies: from a probability of default and rules to a decision."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Literal

from streamgauge.definitions.collect import collect
from streamgauge.definitions.expressions import FeaturePredicate
from streamgauge.definitions.features import check_code
from streamgauge.definitions.model import Model
from streamgauge.definitions.place import Place, here, refuse, shown
from streamgauge.definitions.specs import PolicySpec, RuleSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Rule:
    """A knock-out rule."""

    def __init__(self, spec: RuleSpec, place: Place) -> None:
        """Keep the rule."""
        self.spec = spec
        self.place = place


def refer(when: FeaturePredicate, *, code: str, reason: str) -> Rule:
    """Refer to a person where a predicate over features is true, or null.

    Raises:
        DefinitionError: It is no predicate over named features, or the code is none.

    >>> import streamgauge as sg
    >>> class Visit(sg.Event):
    ...     id: sg.EventId
    ...     shop: sg.Entity
    ...     at: sg.EventTime
    >>> class Shop(sg.Features, entity=Visit.shop):
    ...     visits = Visit.all.count(over="7d")
    >>> sg.refer(Shop.visits < 3, code="K01", reason="Few visits").spec.outcome
    'refer'
    """
    return _rule("refer", when, code, reason)


def decline(when: FeaturePredicate, *, code: str, reason: str) -> Rule:
    """Decline where a predicate over features is true, or null.

    Raises:
        DefinitionError: It is no predicate over named features, or the code is none.

    >>> import streamgauge as sg
    >>> class Visit(sg.Event):
    ...     id: sg.EventId
    ...     shop: sg.Entity
    ...     at: sg.EventTime
    >>> class Shop(sg.Features, entity=Visit.shop):
    ...     visits = Visit.all.count(over="7d")
    >>> sg.decline(Shop.visits > 99, code="K02", reason="Too many visits").spec.outcome
    'decline'
    """
    return _rule("decline", when, code, reason)


class Policy:
    """How a model's probability of default (PD) and rules become approve, refer or decline; the severest wins.

    Args:
        model: The model whose PD it compares.
        approve_below: PDs strictly below are approved.
        refer_below: PDs strictly below, and not approved, are referred; others are declined.
        grades: Each grade's upper bound, ascending; the last takes the rest.
        rules: The knock-out rules.

    Raises:
        DefinitionError: A bound is no probability or out of order, or a rule is of another entity.

    >>> import streamgauge as sg
    >>> class Visit(sg.Event):
    ...     id: sg.EventId
    ...     shop: sg.Entity
    ...     at: sg.EventTime
    >>> class Shop(sg.Features, entity=Visit.shop):
    ...     visits = Visit.all.count(over="7d")
    >>> closed = sg.Label(bad=Visit, within="30d")
    >>> model = sg.Model(
    ...     name="closing",
    ...     observe=sg.every("7d", anchor="Mon 00:00 UTC", entity=Visit.shop),
    ...     features=[Shop],
    ...     label=closed,
    ...     estimator=sg.Boosting(),
    ...     split=sg.TimeSplit(calibrate="30d", test="30d"),
    ... )
    >>> sg.Policy(model, approve_below=0.04, refer_below=0.08, grades={"A": 0.02, "B": 1.0}).spec.grades
    (('A', 0.02), ('B', 1.0))
    """

    def __init__(
        self,
        model: Model,
        *,
        approve_below: float,
        refer_below: float,
        grades: Mapping[str, float] | None = None,
        rules: Sequence[Rule] = (),
    ) -> None:
        """Check and keep the policy."""
        place = self.place = here()
        if not isinstance(model, Model):
            raise refuse(f"A policy belongs to a model, not to {shown(model)}.", place)
        approve = _probability(approve_below, "approve_below", place)
        refer_to = _probability(refer_below, "refer_below", place)
        if refer_to < approve:
            raise refuse(
                f"refer_below={refer_below} is under approve_below={approve_below}. Raise it to that at least.",
                place,
                argument="refer_below",
            )
        self.spec = PolicySpec(
            model=model.spec.name,
            approve_below=approve,
            refer_below=refer_to,
            grades=_grades(grades or {}, place),
            rules=_rules(rules, model, place),
        )
        collect("policies", model.spec.name, self, place)


def _rule(outcome: Literal["refer", "decline"], when: object, code: str, reason: str) -> Rule:
    place = here()
    if not isinstance(when, FeaturePredicate):
        raise refuse(
            f"{outcome} takes a comparison of features, such as CashFlow.history < 7_776_000, not of an event's "
            "fields.",
            place,
        )
    check_code(code, reason, place)
    return Rule(RuleSpec(outcome, when.tree(), code, reason, when.features()), place)


def _probability(value: object, argument: str, place: Place) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and 0 < value <= 1):
        raise refuse(f"{argument}={value!r} is no probability above 0 and up to 1.", place, argument=argument)
    return float(value)


def _grades(grades: Mapping[str, float], place: Place) -> tuple[tuple[str, float], ...]:
    bounds = tuple((str(name), _probability(bound, "grades", place)) for name, bound in grades.items())
    for (lower, low), (upper, high) in itertools.pairwise(bounds):
        if high <= low:
            raise refuse(
                f'Grade "{upper}" ends at {high}, not above {low}, where "{lower}" ends. Write them ascending.',
                place,
                argument="grades",
            )
    return bounds


def _rules(rules: Sequence[Rule], model: Model, place: Place) -> tuple[RuleSpec, ...]:
    reasons = {feature.code: feature.reason for feature in model.spec.features if feature.code is not None}
    found: list[RuleSpec] = []
    for rule in rules:
        if not isinstance(rule, Rule):
            raise refuse("rules= takes sg.refer(…) and sg.decline(…).", place, argument="rules")
        for feature in rule.spec.features:
            if feature.role not in model.readable:
                raise refuse(
                    f"Rule {rule.spec.code} reads {feature.name} of {feature.role}; the model observes "
                    f"{' and '.join(model.readable)}.",
                    rule.place,
                )
        if reasons.setdefault(rule.spec.code, rule.spec.reason) != rule.spec.reason:
            raise refuse(
                f'The code {rule.spec.code} has another reason already: "{reasons[rule.spec.code]}".', rule.place
            )
        found.append(rule.spec)
    return tuple(found)
