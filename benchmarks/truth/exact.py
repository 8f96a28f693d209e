"""The exact answers: fractions of what had arrived by the moment, each number rounded once."""

from __future__ import annotations

from fractions import Fraction

from benchmarks.truth.scenario import WINDOW, Arrival, Question, Scenario

Answer = tuple[float | None, float | None, float | None]


def exact(scenario: Scenario) -> list[Answer]:
    """Return count, sum and mean for each question."""
    return [_at(scenario.arrivals, question) for question in scenario.questions]


def _at(arrivals: tuple[Arrival, ...], question: Question) -> Answer:
    newest: dict[str, Arrival] = {}
    for one in arrivals:
        known = one.account == question.account and one.known_at <= question.t
        if known and (one.id not in newest or one.revision > newest[one.id].revision):
            newest[one.id] = one
    cents = [
        one.cents
        for one in newest.values()
        if one.op != "delete" and question.t - WINDOW < one.event_time <= question.t
    ]
    mean = float(Fraction(sum(cents), 100 * len(cents))) if cents else None
    return float(len(cents)), float(Fraction(sum(cents), 100)), mean
