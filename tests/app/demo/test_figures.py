"""What the demo counts."""

from __future__ import annotations

import time

from streamgauge.app.demo.figures import Figures, LiveScore, Mover, Percentiles


def test_percentiles_are_measured_values() -> None:
    assert Percentiles.of([number / 1000 for number in range(1, 101)]) == Percentiles(51.0, 100.0)
    assert Percentiles.of([]) == Percentiles(None, None)


def test_movers_are_the_largest_changes_of_one_model() -> None:
    figures = Figures(time.monotonic())
    for entity, model, pd in [
        ("a", "m", 0.02),
        ("b", "m", 0.10),
        ("a", "m", 0.01),
        ("b", "m", 0.30),
        ("c", "m", 0.50),
        ("a", "other", 0.90),
        ("b", "m", 0.05),
    ]:
        figures.scored(LiveScore(entity, model, pd), 0.004)
    assert figures.movers(5, "m") == [Mover("b", 0.10, 0.05), Mover("a", 0.02, 0.01)]
    assert figures.movers(1, "m") == [Mover("b", 0.10, 0.05)]
    assert figures.scores == 7
    assert figures.percentiles()[0] == Percentiles(4.0, 4.0)


def test_the_first_score_is_timed_once() -> None:
    figures = Figures(time.monotonic() - 5)
    figures.scored(LiveScore("a", "m", 0.1), 0.001)
    first = figures.first_score_s
    figures.scored(LiveScore("a", "m", 0.1), 0.001)
    assert first is not None
    assert figures.first_score_s == first >= 5


def test_what_became_of_events_is_counted() -> None:
    figures = Figures(time.monotonic())
    figures.sent(10, 1, 2)
    figures.sent(5, 0, 0)
    assert (figures.events, figures.quarantined, figures.duplicates) == (15, 1, 2)
    assert figures.rate() >= 0
