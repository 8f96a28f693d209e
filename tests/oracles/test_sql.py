"""Two oracles written apart agree: the query that DuckDB runs, and plain Python."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.events.record import DELETE
from tests.oracles.events import Cut, judge
from tests.oracles.plain import values
from tests.oracles.roles import Told, observe, records_by_entity
from tests.oracles.sql import SqlOracle
from tests.properties.gate import bits
from tests.properties.role_streams import PROJECT, Attempt, attempts, logged
from tests.properties.streams import Moment, Scenario, observation, scenarios

AT_ONCE = 12
"""Features of a scenario that are compared: a query takes milliseconds to plan."""


@settings(max_examples=30)
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


@settings(max_examples=15)
@given(attempts())
def test_the_oracles_agree_on_events_of_several_entities(tried: list[Attempt]) -> None:
    with logged(tried) as (told, log):
        held = log.read_after(0, 10_000)
        schemas = {one.schema: log.schema(one.schema) for one in held}
    verdicts: dict[int, str] = {}
    for records in records_by_entity(told).values():
        verdicts |= dict(zip((one.position for one in records), judge(records, schemas)[0], strict=True))
    asked = [
        one
        for one in told
        if one.record.stream == "Payment" and one.record.op != DELETE and verdicts[one.record.position] == "applied"
    ]
    with SqlOracle(held, schemas, PROJECT.streams) as oracle:
        oracle.ask_of_roles([of_roles(one) for one in asked])
        for feature in PROJECT.features.values():
            for one, found in zip(asked, oracle.values_of_roles(feature), strict=True):
                (exact,) = observe(one, told, [feature], PROJECT.streams, schemas)
                assert bits(found) == bits(exact), f"{feature.expression} at {one}"


def of_roles(told: Told) -> dict[str, Moment]:
    """Return what an observation sees of each role: of others than the primary strictly earlier, if it is imported."""
    record = told.record
    t, observed = max(record.known_at, record.event_time), (record.stream, record.event_id)
    found: dict[str, Moment] = {}
    for role, key in told.keys.items():
        cut = Cut(record.position)
        if record.imported:
            cut = Cut(record.position, record.known_at) if not found else Cut(2**62, record.known_at - 1)
        found[role] = Moment(key, t, cut, observed)
    return found
