"""What the demo shows."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from streamgauge.app.answers import DecisionAnswer, ReasonAnswer
from streamgauge.app.demo.figures import Figures, LiveScore
from streamgauge.app.demo.screen import Phases, Screen


def decision() -> DecisionAnswer:
    return DecisionAnswer(
        decision_id="d-1",
        outcome="decline",
        stage="score",
        pd=0.1234,
        points=540.0,
        grade="E",
        reasons=[
            ReasonAnswer(code="R01", text="Income is low", contribution=0.5, features=["CashFlow.inflow_sum_30d"])
        ],
        rules=[],
        model={"name": "application-risk", "version": "1", "sha256": ""},
        policy={"name": "application-risk", "version": "1", "sha256": ""},
        entity="acc-1",
        event_id="a-1",
        as_of="",
        positions={},
        decided_at="",
        digest="",
        seq=1,
        repeated=False,
    )


def test_the_picture_shows_figures_movers_and_decisions_with_reasons() -> None:
    figures = Figures(time.monotonic())
    figures.streaming_since = time.monotonic()
    figures.sent(1_234, 3, 2)
    for pd in (0.02, 0.09):
        figures.scored(LiveScore("acc-7", "account-risk", pd), 0.0123)
    figures.decided(decision(), 0.004)
    screen = Screen(figures, {"account-risk": 0.857}, "account-risk", draws=False)
    console = Console(width=160, color_system=None)
    with console.capture() as captured:
        console.print(screen.picture())
    text = captured.get()
    for shown in ("1,234", "12.3 ms", "4.0 ms", "acc-7", "+7.00%", "decline", "12.34%", "R01 Income is low", "0.857"):
        assert shown in text


def test_phases_are_measured() -> None:
    phases = Phases(draws=False)
    with phases.phase("import"):
        phases.tell("appending", 1, 2)
    assert set(phases.seconds) == {"import"}
    assert phases.seconds["import"] >= 0


def test_the_picture_is_kept_as_an_svg_that_needs_no_other_host(tmp_path: Path) -> None:
    figures = Figures(time.monotonic())
    figures.decided(decision(), 0.004)
    Screen(figures, {"account-risk": 0.857}, "account-risk", draws=False).save(tmp_path / "demo.svg")
    svg = (tmp_path / "demo.svg").read_text()
    assert svg.startswith("<svg")
    assert "Income" in svg
    assert "url(http" not in svg
