"""The gate: every host gives the oracle's values, bit for bit."""

from __future__ import annotations

import contextlib
import json
import math
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import StreamSpec
from streamgauge.definitions.specs import FeatureSpec
from streamgauge.errors import BeyondState
from streamgauge.events.batch import RecordBatch
from streamgauge.events.record import Record
from streamgauge.features.backfill import Requests, backfill
from streamgauge.features.bind import BoundProgram
from streamgauge.features.decode import SchemaBook
from streamgauge.features.history import EntityHistory
from streamgauge.features.layout import Layout
from streamgauge.features.program import FeatureProgram
from streamgauge.features.state import EntityState
from tests.oracles.events import Cut, judge
from tests.oracles.plain import values
from tests.properties.streams import Moment, Scenario, observation

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScenarioLog:
    """A scenario's log, as a backfill reads it."""

    scenario: Scenario

    def read_by_entity(
        self, entities: Sequence[str] | None = None, up_to: int | None = None
    ) -> Iterator[tuple[str, list[Record]]]:
        """Yield (entity, its records) for the named entities."""
        found = self.scenario.by_entity
        for entity in sorted(found) if entities is None else entities:
            records = [item for item in found.get(entity, []) if up_to is None or item.position <= up_to]
            if records:
                yield entity, records

    def read_columns(self, entities: Collection[str] | None = None, up_to: int | None = None) -> Iterator[RecordBatch]:
        """Yield whole entities as columns, one a batch."""
        for group in self.read_by_entity(None if entities is None else sorted(entities), up_to):
            yield RecordBatch.of([group])

    def schema(self, number: int) -> StreamSpec:
        """Return the form of that number."""
        return self.scenario.schemas[number]


@dataclass(frozen=True, slots=True)
class Part:
    """Features served by one program."""

    features: Sequence[FeatureSpec]
    bound: BoundProgram


class Gate:
    """A scenario's hosts, to be compared with the oracle."""

    def __init__(self, scenario: Scenario) -> None:
        """Bind the features: two programs on one layout, the second from its canonical form."""
        self.scenario = scenario
        self.known: dict[tuple[int, Moment], list[float | None]] = {}
        self.book = SchemaBook(scenario.schemas.__getitem__)
        halves = [half for half in (scenario.features[: scenario.split], scenario.features[scenario.split :]) if half]
        programs = [FeatureProgram.of(half, scenario.streams) for half in halves]
        programs[-1] = FeatureProgram.from_canonical(json.loads(json.dumps(programs[-1].canonical())))
        self.layout = Layout.of(programs)
        self.parts = [
            Part(half, BoundProgram.of(program, self.layout)) for half, program in zip(halves, programs, strict=True)
        ]

    def check(self) -> None:
        """Compare every host."""
        for entity, records in self.scenario.by_entity.items():
            verdicts, _ = judge(records, self.scenario.schemas)
            history = EntityHistory(self.layout, records, self.book)
            assert history.verdicts == verdicts
            self._check_history(history, records, [m for m in self.scenario.moments if m.entity == entity])
            self._check_states(records, verdicts)
        self._check_backfill()

    def _check_history(self, history: EntityHistory, records: list[Record], drawn: list[Moment]) -> None:
        """Ask at once for every arrival's observation and every drawn moment."""
        moments = [*drawn, *(moment for item in records if (moment := observation(item)) is not None)]
        at = [moment for moment in moments if moment.cut.known is None]
        by = [(moment, moment.cut.known) for moment in moments if moment.cut.known is not None]
        for part in self.parts:
            t, k = _ints(m.t for m in at), _ints(m.cut.position for m in at)
            rows = history.at_positions(part.bound, t, k, [m.observed for m in at])
            for moment, row in zip(at, rows, strict=True):
                self.compare("history at a position", part, records, moment, row)
            t, known = _ints(m.t for m, _ in by), _ints(known for _, known in by)
            position = _ints(m.cut.position for m, _ in by)
            rows = history.at_moments(part.bound, t, known, position, [m.observed for m, _ in by])
            for (moment, _), row in zip(by, rows, strict=True):
                self.compare("history at a knowledge moment", part, records, moment, row)

    def _check_states(self, records: list[Record], verdicts: list[str]) -> None:
        """Apply record by record, restart now and then, and ask after each: its observation, and a read."""
        scenario = self.scenario
        state = EntityState(self.layout, scenario.fold_after)
        for number, item in enumerate(records):
            try:
                assert state.apply(item, self.book) == verdicts[number]
            except BeyondState:
                assert item.imported
                state = EntityState.rebuild(self.layout, records[: number + 1], self.book, scenario.fold_after)
            if number % scenario.restart_every == 0:
                state = EntityState.decode(self.layout, state.encode())
                self._check_earlier(state, records, item)
            read = Moment(
                item.entity,
                state.clock_floor + scenario.waits[number % len(scenario.waits)],
                Cut(item.position),
            )
            arrival = observation(item) if verdicts[number] == "applied" else None
            self._check_state("state", state, records, [read] if arrival is None else [arrival, read])
            rebuilt = EntityState.rebuild(self.layout, records[: number + 1], self.book, scenario.fold_after)
            assert rebuilt.clock_floor == state.clock_floor == self._floor(records[: number + 1], verdicts)
            self._check_state("rebuilt state", rebuilt, records, [read])

    def _check_state(self, host: str, state: EntityState, records: list[Record], moments: list[Moment]) -> None:
        for part in self.parts:
            for moment in moments:
                self.compare(host, part, records, moment, state.compute(part.bound, moment.t, moment.observed))

    def _check_earlier(self, state: EntityState, records: list[Record], newest: Record) -> None:
        """Ask for drawn moments under the newest cut: what the state still answers has to be right."""
        for moment in self.scenario.moments:
            if moment.entity == newest.entity:
                now = replace(moment, cut=Cut(newest.position))
                with contextlib.suppress(BeyondState):
                    self._check_state("state, asked about the past,", state, records, [now])

    def _check_backfill(self) -> None:
        """Read all entities' drawn moments in one matrix; one cut kind a time."""
        for known in (False, True):
            moments = [moment for moment in self.scenario.moments if (moment.cut.known is not None) == known]
            requests = Requests.of(
                [moment.entity for moment in moments],
                _ints(moment.t for moment in moments),
                _ints(moment.cut.position for moment in moments),
                _ints(moment.cut.known or 0 for moment in moments) if known else None,
                [moment.observed for moment in moments],
            )
            for part in self.parts:
                rows = backfill(ScenarioLog(self.scenario), part.bound, requests, workers=1)
                for moment, row in zip(moments, rows, strict=True):
                    self.compare("backfill", part, self.scenario.by_entity[moment.entity], moment, row)

    def compare(self, host: str, part: Part, records: list[Record], moment: Moment, row: Floats) -> None:
        """Compare one row with the oracle's."""
        expected = self._expected(part, records, moment)
        differing = [
            f"{host} gives {actual!r}, the oracle {value!r}, at {moment} for {feature.expression}"
            for feature, value, actual in zip(part.features, expected, row.tolist(), strict=True)
            if bits(value) != bits(actual)
        ]
        assert not differing, "\n".join(differing)

    def _expected(self, part: Part, records: list[Record], moment: Moment) -> list[float | None]:
        found = self.known.get((id(part), moment))
        if found is None:
            s = self.scenario
            found = values(records, part.features, s.streams, s.schemas, moment.t, moment.cut, moment.observed)
            self.known[id(part), moment] = found
        return found

    @staticmethod
    def _floor(records: list[Record], verdicts: list[str]) -> int:
        applied = [item for item, verdict in zip(records, verdicts, strict=False) if verdict == "applied"]
        return max(max(item.known_at, item.event_time) for item in applied)


def bits(value: float | None) -> bytes:
    """Return a value's eight bytes; null is the one quiet NaN."""
    return struct.pack("<d", math.nan if value is None else value)


def _ints(items: Iterator[int]) -> NDArray[np.int64]:
    return np.fromiter(items, np.int64)
