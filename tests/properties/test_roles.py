"""Events of several entities: served, backfilled, replayed and the oracle's values are the same, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.errors import BeyondState
from streamgauge.events.record import DELETE
from streamgauge.events.roles import entities_of, is_primary
from streamgauge.features.backfill import Requests, backfill
from streamgauge.features.bind import BoundProgram
from streamgauge.features.decode import SchemaBook
from streamgauge.features.layout import Layouts
from streamgauge.features.program import FeatureProgram
from streamgauge.features.state import EntityState
from streamgauge.features.vector import timelines, vector_of_records, vector_of_states
from tests.oracles.events import judge
from tests.oracles.roles import Told, observe, records_by_entity
from tests.properties.gate import bits
from tests.properties.role_streams import PROJECT, Attempt, attempts, logged

FEATURES = list(PROJECT.features.values())
PROGRAM = FeatureProgram.of(FEATURES, PROJECT.streams)
LAYOUTS = Layouts.of([PROGRAM])
BOUND = BoundProgram.of(PROGRAM, LAYOUTS)


class Hosts:
    """A log's hosts, and the oracle."""

    def __init__(self, told: list[Told], log: SqliteLog) -> None:
        self.told, self.log = told, log
        self.held = log.read_after(0, 10_000)
        self.book = SchemaBook(log.schema)
        self.schemas = {one.schema: log.schema(one.schema) for one in self.held}
        self.applied = self._verdicts()

    def _verdicts(self) -> dict[int, str]:
        """Return each primary record's verdict, which has to be that of all its event's records."""
        found: dict[int, str] = {}
        for records in records_by_entity(self.told).values():
            found |= {
                one.position: verdict for one, verdict in zip(records, judge(records, self.schemas)[0], strict=True)
            }
        for one in self.told:
            count = len(one.keys)
            assert len({found[one.record.position + number] for number in range(count)}) == 1
        return found

    def expected(self, told: Told) -> list[float | None]:
        return observe(told, self.told, FEATURES, PROJECT.streams, self.schemas)

    def observations(self, *, imported: bool) -> list[Told]:
        return [
            one
            for one in self.told
            if one.record.imported == imported
            and one.record.stream == "Payment"
            and self.applied[one.record.position] == "applied"
            and one.record.op != DELETE
        ]

    def backfilled(self, observed: list[Told]) -> NDArray[np.float64]:
        records = [one.record for one in observed]
        known = np.array([record.known_at for record in records], np.int64)
        requests = Requests.of(
            [one.keys["card"] for one in observed],
            np.array([max(record.known_at, record.event_time) for record in records], np.int64),
            np.array([record.position for record in records], np.int64),
            known if records[0].imported else None,
            [(record.stream, record.event_id) for record in records],
            {role: [one.keys[role] for one in observed] for role in ("merchant", "card|merchant")},
        )
        return backfill(self.log, BOUND, requests, workers=1)

    def replayed(self, told: Told) -> NDArray[np.float64]:
        record = told.record
        keys = entities_of(record, self.schemas[record.schema])
        t, cuts = max(record.known_at, record.event_time), dict.fromkeys(keys, record.position)
        read = timelines(self.log.read_entity, self.book)
        return vector_of_records(BOUND, read, keys, t, cuts, (record.stream, record.event_id))

    def served(self, restart_every: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Yield each live payment's row as it is applied, and compare the positions it was read at with its own."""
        states: dict[str, EntityState] = {}
        for number, record in enumerate(self.held):
            state = states.setdefault(record.entity, EntityState(LAYOUTS.of_entity(record.entity), 0))
            try:
                verdict = state.apply(record, self.book)
            except BeyondState:
                earlier = [one for one in self.held[:number] if one.entity == record.entity]
                state = states[record.entity] = EntityState.rebuild(state.layout, [*earlier, record], self.book, 0)
                continue
            if number % restart_every == 0:
                states = {key: EntityState.decode(one.layout, one.encode()) for key, one in states.items()}
            spec = self.schemas[record.schema]
            if verdict != "applied" or record.imported or not is_primary(record, spec) or record.op == DELETE:
                continue
            if record.stream == "Payment" and states[record.entity].holds(record.stream, record.event_id):
                keys = entities_of(record, spec)
                own = {role: states.get(key) or EntityState(LAYOUTS.of_entity(key)) for role, key in keys.items()}
                assert max(one.last_position for one in own.values()) == record.position
                t = max(record.known_at, record.event_time)
                yield record.position, vector_of_states(BOUND, own, t, (record.stream, record.event_id), "card")


def same(host: str, row: NDArray[np.float64], expected: list[float | None]) -> None:
    differing = [
        f"{host} gives {actual!r}, the oracle {value!r} for {name}"
        for name, value, actual in zip(PROGRAM.names, expected, row.tolist(), strict=True)
        if bits(value) != bits(actual)
    ]
    assert not differing, "\n".join(differing)


@given(attempts(), st.integers(1, 5))
def test_every_host_gives_the_oracles_values_of_events_of_several_entities(tried: list[Attempt], every: int) -> None:
    with logged(tried) as (told, log):
        check(Hosts(told, log), every)


def check(hosts: Hosts, every: int) -> None:
    live = hosts.observations(imported=False)
    by_position = {one.record.position: one for one in live}
    for position, row in hosts.served(every):
        same("served", row, hosts.expected(by_position[position]))
    for one in live:
        same("replayed", hosts.replayed(one), hosts.expected(one))
    for together in (live, hosts.observations(imported=True)):
        if together:
            for one, row in zip(together, hosts.backfilled(together), strict=True):
                same("backfilled", row, hosts.expected(one))


@given(attempts())
def test_the_log_holds_each_accepted_event_under_every_entity(tried: list[Attempt]) -> None:
    with logged(tried) as (told, log):
        held = log.read_after(0, 10_000)
    expected = [record for records in records_by_entity(told).values() for record in records]
    assert held == sorted(expected, key=lambda one: one.position)


@given(attempts())
def test_an_id_stands_for_the_same_entities_under_each_of_them(tried: list[Attempt]) -> None:
    with logged(tried) as (told, _):
        pass
    known: dict[tuple[str, str, str], dict[str, str]] = {}
    for one in told:
        for role in one.ids:
            key = (one.record.stream, one.keys[role], one.record.event_id)
            assert known.setdefault(key, dict(one.ids)) == one.ids
