"""The same comparison where an event has several entities: every host's values of card, merchant and pair.

::

    engine      scores published of payments, and of merchants      ┐
    decisions   features recorded, rules' too, and {role: position} │
    api         features read of a card, a merchant, a pair         ├  a backfill of each; both oracles of a sample
    replay      the same reads again; verify: every decision        │
    project     features of a frame of cards and merchants          ┘

Payments are read as the law says: of every role what was known up to the payment's own position, and a decision's also
under the positions that it recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from streamgauge.app.live import LiveModel
from streamgauge.app.project import open_project
from streamgauge.decisions.record import DecisionRecord
from streamgauge.definitions.roles import keys_of, keys_within, role_of
from streamgauge.definitions.specs import FeatureSpec
from streamgauge.events.roles import is_primary, role_ids
from streamgauge.features.backfill import Requests, backfill
from streamgauge.features.bind import BoundProgram
from streamgauge.features.layout import Layouts
from streamgauge.features.program import FeatureProgram
from streamgauge.features.sql.query import aggregates_of
from tests.oracles.events import Cut
from tests.oracles.roles import Told, records_by_entity, values_of_roles
from tests.oracles.sql import SqlOracle
from tests.properties.gate import bits
from tests.properties.hosts import (
    Floats,
    Law,
    Progress,
    Run,
    code,
    compare_replay,
    compare_scores,
    few_of_each,
    micros,
    quiet,
)
from tests.properties.streams import Moment
from tests.properties.troubled_payments import TroubledPayments

PAYMENTS: Final = Law(
    Path(__file__).parent / "payments",
    ("payment", "merchant"),
    (("Payment", 2_500), ("Dispute", 300)),
    TroubledPayments,
)
EVERYTHING: Final = 2**62


@dataclass(frozen=True, slots=True)
class Row:
    """A row that a host gave: of which entity of each role, as of when, knowing what, with which event observed."""

    keys: Mapping[str, str]
    t: int
    cut: Cut
    observed: tuple[str, str] | None = None
    positions: Mapping[str, int] | None = None
    """What was known of each role, where that was recorded."""

    def moments(self) -> dict[str, Moment]:
        """Return what is asked for of each role."""
        cuts = {role: Cut(position) for role, position in (self.positions or {}).items()}
        return {role: Moment(key, self.t, cuts.get(role, self.cut), self.observed) for role, key in self.keys.items()}


@dataclass(frozen=True, slots=True)
class Kept:
    """A row for the oracles to judge, the features by name, and which host gave it."""

    host: str
    row: Row
    values: Mapping[str, float]


class RoleHosts:
    """A run whose events have several entities, what its log holds, and how many values were compared."""

    def __init__(self, run: Run, sample: int, progress: Progress = quiet) -> None:
        """Read the log: an event's records lie under each of its entities."""
        self.run, self.sample, self.progress = run, sample, progress
        self.counts: Counter[str] = Counter()
        self._kept: list[Kept] = []
        self._draw = np.random.default_rng([run.seed, 3])
        log = run.owner.log
        self.schemas = {number: spec for number, spec in enumerate([None, *log.schemas()]) if spec is not None}
        project = run.owner.project
        self.streams = dict(project.streams)
        self.features = dict(project.features)
        for model in project.models.values():
            self.features |= {feature.name: feature for feature in model.features}
        self.held = sorted(
            (record for _, records in log.read_by_entity() for record in records), key=lambda one: one.position
        )
        primary = [one for one in self.held if is_primary(one, self.schemas[one.schema])]
        self.told = {one.position: Told(one, role_ids(one, self.schemas[one.schema])) for one in primary}
        self.entities = records_by_entity(list(self.told.values()))
        expected = [record for records in self.entities.values() for record in records]
        assert self.held == sorted(expected, key=lambda one: one.position)

    def compare(self) -> None:
        """Compare all that the run's hosts answered.

        Raises:
            AssertionError: A value differs.
        """
        for model in self.run.owner.live.models.values():
            self._compare_published(model)
        self._compare_decisions(self.run.owner.live.models["payment"])
        self._compare_reads()
        self.counts["replay: features"] += compare_replay(self.run, self.sample)

    def _compare_published(self, model: LiveModel) -> None:
        scores = [one for one in self.run.scores.values() if one.model == model.name]
        rows = []
        for score in scores:
            told = self.told[score.position] if model.observes_events else None
            keys = {model.serving.role: f"{model.serving.role}:{score.entity}"} if told is None else told.keys
            observed = None if told is None else (score.stream, score.event_id)
            assert keys[model.serving.role] == f"{model.serving.role}:{score.entity}"
            rows.append(Row(keys, micros(score.as_of), Cut(score.position), observed))
        found = self._backfilled(model.bound, rows)
        compare_scores(scores, model, found)
        self.counts[f"engine: scores of {model.name}"] += len(scores)
        self._keep("published", model.loaded.program.names, rows, found)

    def _compare_decisions(self, model: LiveModel) -> None:
        assert model.rules is not None
        assert model.loaded.rules is not None
        records = [entry.require() for entry in self.run.owner.ledger.iterate()]
        rows = [self._decided(record) for record in records]
        own, rules = self._backfilled(model.bound, rows), self._backfilled(model.rules, rows)
        names = (*model.loaded.program.names, *model.loaded.rules.names)
        found = np.concatenate((own, rules), axis=1)
        for record, row in zip(records, found.tolist(), strict=True):
            again = dict(zip(names, row, strict=True))
            assert set(record.feature_names) == set(again)
            for name, value in record.feature_values().items():
                assert bits(value) == bits(again[name]), f"decided {value!r}: {name} of {record}, backfilled {row}"
            answer = self.run.ask("GET", f"/v1/decisions/{record.decision_id}?full=true").json()
            assert answer["features"] == record.feature_values(), f"answered {answer}"
            self.counts["decisions: features"] += len(again)
        self._keep("decided", names, rows, found)
        verified = self.run.owner.verify(self.progress)
        assert (verified.mismatch, verified.chain, verified.match) == (0, "intact", verified.checked), verified
        self.counts["verify: decisions"] += verified.checked

    def _decided(self, record: DecisionRecord) -> Row:
        """Return a decision's row under the positions that it recorded, which have to be the last that its log held."""
        told = self.told[record.positions["card"]]
        assert record.entities == told.ids
        assert set(record.positions) == set(told.keys)
        for role, position in record.positions.items():
            known = (one.position for one in self.entities[told.keys[role]] if one.position <= told.record.position)
            assert position == max(known, default=0), f"{role} of {record}"
        observed = (record.stream, record.event_id)
        return Row(told.keys, record.as_of, Cut(told.record.position), observed, record.positions)

    def _compare_reads(self) -> None:
        for role in ("card", "merchant", "card|merchant"):
            read = [one for one in self.run.reads if role_of(one.entity) == role]
            rows = [Row(keys_within(one.entity), one.t, Cut(one.position)) for one in read]
            specs = self._told_by(rows[0].keys, self.run.owner.live.models["payment"]) if rows else []
            names = tuple(spec.name for spec in specs)
            found = self._of_specs(specs, rows)
            for one, row in zip(read, found.tolist(), strict=True):
                assert set(one.values) == set(names)
                for spec, value in zip(specs, row, strict=True):
                    told = code(one.values[spec.name], spec.levels)
                    assert bits(told) == bits(value), f"{spec.name} of {one}: backfilled {value!r}"
            self.counts[f"api: features of {role}"] += len(read) * len(names)
            self._keep("read", names, rows, found)

    def _told_by(self, roles: Mapping[str, str], model: LiveModel) -> list[FeatureSpec]:
        """Return the features of a model that read no other roles than some."""
        specs = [self.features[name] for name in model.loaded.program.names]
        return [spec for spec in specs if self._roles(spec) <= set(roles)]

    def _roles(self, spec: FeatureSpec) -> set[str]:
        return {one.role or self.streams[one.stream].entity for one in aggregates_of(spec.expression)}

    def compare_frame(self) -> None:
        """Read cards and merchants of the log in Python, known by moments of it and just before; no owner may be open.

        Raises:
            AssertionError: A value differs.
        """
        every = list(self.told.values())
        keys = [tuple(one.keys.values()) for one in every]
        told = [every[place] for place in few_of_each(self._draw, keys, self.sample)]
        moments = [max(one.record.known_at, one.record.event_time) - int(self._draw.integers(2)) for one in told]
        frame = pl.DataFrame({role: [one.ids[role] for one in told] for role in ("card", "merchant")}).with_columns(
            pl.Series("as_of", moments, pl.Int64).cast(pl.Datetime("us", "UTC"))
        )
        rows = [Row(keys_of(dict(one.ids)), t, Cut(EVERYTHING, t)) for one, t in zip(told, moments, strict=True)]
        with open_project(self.run.place.root) as project:
            for model in (None, "payment"):
                read = project.features(frame, model=model)
                names = tuple(name for name in read.columns if name in self.features)
                columns = [
                    [code(value, self.features[name].levels) for value in read[name].to_list()] for name in names
                ]
                found = np.array(columns, np.float64).T
                self.counts["project: features"] += found.size
                self._keep("of a frame", names, rows, found)

    def _backfilled(self, bound: BoundProgram, rows: Sequence[Row]) -> Floats:
        """Return a program's features of rows, all under the cuts of their first role."""
        first = next(iter(rows[0].keys)) if rows else ""
        others = [role for role in bound.program.roles if role != first]
        requests = Requests.of(
            [row.keys[first] for row in rows],
            np.array([row.t for row in rows], np.int64),
            np.array([row.cut.position for row in rows], np.int64),
            None,
            [row.observed for row in rows],
            {role: [row.keys[role] for row in rows] for role in others},
        )
        told = lambda done, total: self.progress("backfill", done, total)  # noqa: E731
        return backfill(self.run.owner.log, bound, requests, workers=2, progress=told)

    def _of_specs(self, specs: Sequence[FeatureSpec], rows: Sequence[Row]) -> Floats:
        if not rows:
            return np.empty((0, len(specs)))
        program = FeatureProgram.of(specs, self.streams)
        return self._backfilled(BoundProgram.of(program, Layouts.of([program])), rows)

    def _keep(self, host: str, names: tuple[str, ...], rows: Sequence[Row], found: Floats) -> None:
        """Keep some rows of a host for the oracles."""
        for place in few_of_each(self._draw, [tuple(row.keys.values()) for row in rows], self.sample):
            self._kept.append(Kept(host, rows[place], dict(zip(names, found[place].tolist(), strict=True))))

    def judge(self, *, of: int = 1) -> None:
        """Compare what was kept with the plain oracle, and every so-manieth feature with the SQL oracle.

        Raises:
            AssertionError: A value differs.
        """
        for done, one in enumerate(self._kept):
            specs = [self.features[name] for name in one.values]
            told = values_of_roles(one.row.moments(), self.entities, specs, self.streams, self.schemas)
            for spec, value in zip(specs, told, strict=True):
                self._same("plain", one, spec, value)
            self.progress("plain oracle", done + 1, len(self._kept))
        asked = {key for one in self._kept for key in one.row.keys.values()}
        held = [record for record in self.held if record.entity in asked]
        with SqlOracle(held, self.schemas, self.streams) as oracle:
            for roles in {frozenset(one.row.keys) for one in self._kept}:
                together = [one for one in self._kept if set(one.row.keys) == roles]
                oracle.ask_of_roles([one.row.moments() for one in together])
                names = sorted({name for one in together for name in one.values})[int(self._draw.integers(of)) :: of]
                for done, name in enumerate(names):
                    spec = self.features[name]
                    for one, value in zip(together, oracle.values_of_roles(spec), strict=True):
                        if name in one.values:
                            self._same("SQL", one, spec, value)
                    self.progress("SQL oracle", done + 1, len(names))

    def _same(self, oracle: str, one: Kept, spec: FeatureSpec, value: float | None) -> None:
        actual = one.values[spec.name]
        assert bits(value) == bits(actual), f"{one.host} {actual!r}, {oracle} {value!r}: {spec.name} at {one.row}"
        self.counts[f"{oracle} oracle: features {one.host}"] += 1


def compare_roles(run: Run, sample: int, progress: Progress = quiet) -> Counter[str]:
    """Compare all that a run's hosts answered, with its owner open and closed; return how many values were compared.

    Raises:
        AssertionError: A value differs.
    """
    with run.opened():
        hosts = RoleHosts(run, sample, progress)
        hosts.compare()
    hosts.compare_frame()
    hosts.judge()
    return hosts.counts
