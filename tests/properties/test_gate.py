"""Backfilled, streamed, restarted, rebuilt and replayed values are the oracle's, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.definitions.loader import load_project
from tests.properties.gate import Gate
from tests.properties.streams import Scenario, project_scenarios, scenarios

EXAMPLES = Path(__file__).parents[2] / "examples"
PROJECTS = {name: load_project(EXAMPLES / name / f"{name}.py") for name in ("credit", "churn", "taiwan")}


@given(scenarios(from_catalogue=False))
def test_every_host_gives_the_oracles_values_of_features_drawn_at_random(scenario: Scenario) -> None:
    Gate(scenario).check()


@given(scenarios(from_catalogue=True))
def test_every_host_gives_the_oracles_values_of_every_aggregate(scenario: Scenario) -> None:
    Gate(scenario).check()


@pytest.mark.parametrize("name", PROJECTS)
@given(data=st.data())
def test_every_host_gives_the_oracles_values_of_an_example(name: str, data: st.DataObject) -> None:
    Gate(data.draw(project_scenarios(PROJECTS[name]))).check()
