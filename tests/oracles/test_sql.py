"""Two oracles written apart agree: the query that DuckDB runs, and plain Python."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles.plain import values
from tests.oracles.sql import SqlOracle
from tests.properties.gate import bits
from tests.properties.streams import Scenario, observation, scenarios

AT_ONCE = 12
"""Features of a scenario that are compared: a query takes milliseconds to plan."""


@settings(max_examples=40)
@given(
    scenario=st.booleans().flatmap(lambda catalogued: scenarios(from_catalogue=catalogued)), first=st.integers(0, 99)
)
def test_the_oracles_agree_on_every_value(scenario: Scenario, first: int) -> None:
    arrivals = (moment for item in scenario.records if (moment := observation(item)) is not None)
    moments = [*scenario.moments, *arrivals]
    step = max(len(scenario.features) // AT_ONCE, 1)
    with SqlOracle(scenario.records, scenario.schemas, scenario.streams) as oracle:
        oracle.ask(moments)
        for feature in scenario.features[first % step :: step]:
            for moment, found in zip(moments, oracle.values(feature), strict=True):
                told = scenario.by_entity[moment.entity]
                (exact,) = values(
                    told, [feature], scenario.streams, scenario.schemas, moment.t, moment.cut, moment.observed
                )
                assert bits(found) == bits(exact), f"{feature.expression} at {moment}"
