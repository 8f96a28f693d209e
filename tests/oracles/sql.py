"""The second oracle: the query of a feature, run by DuckDB, its integers finished in exact arithmetic.

The query ends in an integer numerator and denominator for each aggregate, and in a value that its own macros round.
Here the same integers are finished as fractions, and both have to agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple, Self

import duckdb
import pyarrow as pa

from streamgauge.app.exporting import record_table
from streamgauge.definitions.schema import StreamSpec
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, Tree
from streamgauge.events.record import Record
from streamgauge.features.decode import SchemaBook
from streamgauge.features.sql.live import live_events
from streamgauge.features.sql.query import FeatureQuery, aggregates_of, feature_query
from streamgauge.features.sql.rows import Finish
from streamgauge.features.sql.terms import MACROS, quoted, text
from tests.oracles.events import Asked, Schemas
from tests.oracles.plain import finite, operate

DAY_SECONDS = 86_400.0
MOMENTS = "moments AS (SELECT * FROM asked)"


class Pair(NamedTuple):
    """An aggregate's integers; None for null."""

    num: int | None
    den: int | None


class SqlOracle:
    """A log in DuckDB, and the rows that are asked of it."""

    def __init__(self, records: Sequence[Record], schemas: Schemas, streams: Mapping[str, StreamSpec]) -> None:
        """Write every stream's records into a table."""
        self.streams = streams
        self.tables = {name: f"log_{number}" for number, name in enumerate(streams)}
        self.base = duckdb.connect(config={"threads": 1})
        self.base.execute("SET enable_progress_bar = false")
        for statement in self.base.extract_statements(MACROS):
            self.base.execute(statement)
        book = SchemaBook(schemas.__getitem__)
        for name, spec in streams.items():
            self._load(self.tables[name], record_table([one for one in records if one.stream == name], spec, book))

    def ask(self, moments: Iterable[Asked]) -> None:
        """Set the rows that `values` is of, each about one entity."""
        self._ask([{"": moment} for moment in moments])
        for name, spec in self.streams.items():
            steps = ",\n".join([MOMENTS, *live_events(spec, self.tables[name])])
            live = quoted(f"live_{name}")
            self.base.execute(f"CREATE OR REPLACE TABLE {live} AS WITH RECURSIVE {steps} SELECT * FROM {live}")

    def ask_of_roles(self, rows: Iterable[Mapping[str, Asked]]) -> None:
        """Set the rows that `values_of_roles` is of, each with an entity and a cut for each role."""
        self._ask(list(rows))

    def _ask(self, rows: Sequence[Mapping[str, Asked]]) -> None:
        flat = [(number, role, moment) for number, row in enumerate(rows) for role, moment in row.items()]
        observed = [moment.observed or (None, None) for *_, moment in flat]
        columns = {
            "moment": pa.array([number for number, *_ in flat], pa.int64()),
            "role": pa.array([role for _, role, _ in flat], pa.string()),
            "entity": pa.array([moment.entity for *_, moment in flat], pa.string()),
            "t": pa.array([moment.t for *_, moment in flat], pa.int64()),
            "position": pa.array([moment.cut.position for *_, moment in flat], pa.int64()),
            "known": pa.array([moment.cut.known for *_, moment in flat], pa.int64()),
            "observed_stream": pa.array([stream for stream, _ in observed], pa.string()),
            "observed_id": pa.array([event_id for _, event_id in observed], pa.string()),
        }
        self._load("asked", pa.table(columns))

    def values(self, feature: FeatureSpec) -> list[float | None]:
        """Return a feature at every row that was asked for, None for null."""
        return self._values(feature, feature_query(feature, self.streams, None, MOMENTS))

    def values_of_roles(self, feature: FeatureSpec) -> list[float | None]:
        """Return a feature at every row that was asked for under its roles, None for null."""
        roles = {spec.role or self.streams[spec.stream].entity for spec in aggregates_of(feature.expression)}
        only = f" WHERE role = {text(*roles)}" if len(roles) == 1 else ""
        moments = f"moments AS (SELECT * FROM asked{only})"
        return self._values(feature, feature_query(feature, self.streams, self.tables, moments))

    def _values(self, feature: FeatureSpec, query: FeatureQuery) -> list[float | None]:
        rows = self.base.execute(f"{query.integers} ORDER BY moment").fetchall()
        names = {spec: place for place, (spec, _) in enumerate(query.aggregates.values())}
        finishes = [finish for _, finish in query.aggregates.values()]
        found: list[float | None] = []
        for _, *integers, value in rows:
            pairs = [Pair(*integers[place : place + 2]) for place in range(0, len(integers), 2)]
            finished = [finish(pair, how) for pair, how in zip(pairs, finishes, strict=True)]
            exact = _evaluate(feature.expression, names, finished)
            assert value == exact, f"SQL finishes {pairs} as {value!r}, fractions as {exact!r}: {feature.expression}"
            found.append(exact)
        return found

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let DuckDB go."""
        self.base.close()

    def _load(self, name: str, table: pa.Table) -> None:
        self.base.register("arriving", table)
        self.base.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM arriving")
        self.base.unregister("arriving")


def nearest(number: int) -> float:
    """Return the double nearest to an integer, ties to even."""
    return float(Fraction(number))


def finish(pair: Pair, how: Finish) -> float | None:
    """Return the value of an aggregate's integers, each operation rounded once."""
    if pair.num is None or pair.den is None:
        return None
    num, den = nearest(pair.num), nearest(pair.den)
    match how:
        case "ratio":
            return finite(num / den)
        case "root":
            return finite(math.sqrt(num) / den)
        case "per_day":
            return finite(num * DAY_SECONDS / den)


def _evaluate(tree: Tree, names: Mapping[AggregateSpec, int], finished: Sequence[float | None]) -> float | None:
    match tree:
        case ("agg", spec):
            return finished[names[spec]]
        case ("const", value):
            return finite(value)
        case ("neg", a):
            value = _evaluate(a, names, finished)
            return None if value is None else finite(-value)
        case (op, a, b):
            return operate(op, _evaluate(a, names, finished), _evaluate(b, names, finished))
    raise AssertionError(tree)
