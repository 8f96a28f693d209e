"""What a feature means, as one DuckDB query over exported events: ``streamgauge sql FEATURE`` prints it.

It is written from the definition of a value (`docs/explanation/values.md`) and shares nothing with the kernel, so that
each can be held against the other. Everything is selected and summed in integers of up to 128 bits; each aggregate ends
as a numerator and a denominator, which are rounded once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streamgauge.definitions.roles import members
from streamgauge.errors import NeedsEvent
from streamgauge.features.sql.live import live_events, live_name, moments_of_all
from streamgauge.features.sql.rows import Finish, Integers, Source, observed_field, present, row_aggregate
from streamgauge.features.sql.terms import MACROS, indented, meaning, text
from streamgauge.features.sql.times import level_aggregate, step_aggregate

if TYPE_CHECKING:
    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, Tree

_FINISHES: Final[dict[Finish, str]] = {
    "ratio": "rn(num) / rn(den)",
    "root": "sqrt(rn(num)) / rn(den)",
    "per_day": "rn(num) * 86400::DOUBLE / rn(den)",
}
_ONE_A_MOMENT: Final = """\
each_moment AS (
    SELECT DISTINCT moment, t FROM moments -- a moment has a row for each role
)"""
_OPERATORS: Final = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


@dataclass(frozen=True, slots=True)
class FeatureQuery:
    """A feature's query, in parts.

    Attributes:
        steps: Its CTEs in order, ``moments`` first, one named as each aggregate among them (``moment num den value``).
        aggregates: The aggregates by name, and how each one's value comes of its integers.
        value: The expression of the finished value over the aggregates' values.
        asked: The table of the rows that are asked for, one a moment.
    """

    steps: tuple[str, ...]
    aggregates: dict[str, tuple[AggregateSpec, Finish]]
    value: str
    asked: str

    @property
    def text(self) -> str:
        """The query of ``entity, value``; its macros (`MACROS`) have to be there."""
        chosen = f"SELECT moment AS entity, {self.value} AS value\nFROM {self.asked}{self._joins}"
        return f"{self._with}\n{chosen}\nORDER BY 1;\n"

    @property
    def integers(self) -> str:
        """The query of every aggregate's integers: ``moment, a1.num, a1.den, a2.num, …, value``."""
        pairs = "".join(f"{name}.num, {name}.den, " for name in self.aggregates)
        return f"{self._with}\nSELECT moment, {pairs}{self.value} AS value\nFROM {self.asked}{self._joins}\n"

    @property
    def _with(self) -> str:
        return "WITH RECURSIVE\n" + ",\n".join(self.steps)

    @property
    def _joins(self) -> str:
        return "".join(f" JOIN {name} USING (moment)" for name in self.aggregates)


def feature_query(
    feature: FeatureSpec, streams: Mapping[str, StreamSpec], tables: Mapping[str, str] | None, moments: str
) -> FeatureQuery:
    """Return a feature's query.

    Args:
        feature: The feature.
        streams: The present form of the streams, by name.
        tables: What holds each stream's exported records: a table's name, or a file's in quotes. None where the
            ``live_STREAM`` of the moments are tables already.
        moments: The CTE ``moments`` (`streamgauge.features.sql.live.moments_of_all` makes the one of a read):
            ``moment, entity, t, position, known, observed_stream, observed_id``. Where the feature reads several roles
            it has a row for each of them, and a column ``role``.
    """
    specs = list(dict.fromkeys(aggregates_of(feature.expression)))
    roles = {spec: spec.role or streams[spec.stream].entity for spec in specs}
    several = len(set(roles.values())) > 1
    steps = [moments, *([_ONE_A_MOMENT] if several else [])]
    for name, table in {spec.stream: tables[spec.stream] for spec in specs if tables is not None}.items():
        read = sorted({role for spec, role in roles.items() if spec.stream == name}) if several else [""]
        steps += live_events(streams[name], table, read)
    found: dict[str, tuple[AggregateSpec, Finish]] = {}
    asked = "each_moment" if several else "moments"
    for number, spec in enumerate(specs, start=1):
        stream = streams[spec.stream]
        source = Source(stream, live_name(stream, roles[spec] if several else stream.entity), asked)
        part = _aggregate(f"a{number}", spec, source)
        steps += [*part.steps, _finished(f"a{number}", spec, source, part)]
        found[f"a{number}"] = (spec, part.finish)
    names = {spec: name for name, (spec, _) in found.items()}
    return FeatureQuery(tuple(dict.fromkeys(steps)), found, _expression(feature.expression, names), asked)


def feature_sql(
    feature: FeatureSpec, streams: Mapping[str, StreamSpec], as_of_us: int, as_of: str, entity: str | None = None
) -> str:
    """Return a feature's meaning as a text that DuckDB runs beside the exported files.

    Args:
        feature: The feature.
        streams: The present form of the streams, by name.
        as_of_us: As of when, µs.
        as_of: The same moment for a reader.
        entity: The one entity's id; None for all.

    Raises:
        NeedsEvent: The feature reads several roles, and its own is no pair of them.
    """
    specs = list(aggregates_of(feature.expression))
    used = list(dict.fromkeys(spec.stream for spec in specs))
    roles = sorted({spec.role or streams[spec.stream].entity for spec in specs})
    role = roles[0] if len(roles) == 1 else feature.role
    if not set(roles) <= {role, *members(role)}:
        raise NeedsEvent(
            f"{feature.name} reads {', '.join(roles)} at once: it has a value for an event, not for an entity. "
            "Ask for features of one role, or of a pair."
        )
    tables = {name: text(f"{name}.parquet") for name in used}
    query = feature_query(
        feature, streams, tables, moments_of_all(list(tables.values()), role, roles, as_of_us, entity)
    )
    exports = "\n".join(f"--   streamgauge export --stream {name} --out {name}.parquet" for name in used)
    units = "\n".join(f"--   {name}: {_units(streams[name])}" for name in used)
    whom = f"every {role}" if entity is None else f"{role} {' '.join(entity.split())}"
    return f"""\
-- {feature.name} of {whom}, as of {as_of}, knowing all that was exported.
-- Run it with DuckDB where these files are, one row a record of the log:
{exports}
-- Times are µs since 1970 in UTC. Payload columns are integers: numbers times 10^decimals, closed categories the index
-- of their level, texts a 64-bit hash (the text itself is in COLUMN_text):
{units}
-- The value is {query.value}

{MACROS}
{query.text}"""


def aggregates_of(tree: Tree) -> Iterator[AggregateSpec]:
    """Yield the aggregates of a feature's expression, in order."""
    if tree[0] == "agg":
        yield tree[1]
        return
    for part in tree[1:]:
        if isinstance(part, tuple):
            yield from aggregates_of(part)


def _units(stream: StreamSpec) -> str:
    return ", ".join(f"{field.name} {field.decimals}" for field in stream.fields if field.decimals) or "no decimals"


def _aggregate(name: str, spec: AggregateSpec, source: Source) -> Integers:
    if spec.kind == "observed":
        return observed_field(spec, source)
    if spec.kind == "each":
        return step_aggregate(name, spec, source)
    if spec.kind.startswith("level_"):
        return level_aggregate(name, spec, source)
    return row_aggregate(name, spec, source)


def _finished(name: str, spec: AggregateSpec, source: Source, part: Integers) -> str:
    """Return the CTE of an aggregate's integers and value at every moment."""
    num, den, fed = "num", "den", ""
    if part.empty is not None:
        num, den = f"coalesce(num, {part.empty})", "coalesce(den, 1)"
        if source.stream.feed:
            num = f"CASE WHEN fed.moment IS NOT NULL THEN {num} END"
            live = f"SELECT DISTINCT moment FROM {source.live} WHERE {present(spec)}"
            fed = f"\n        LEFT JOIN ({live}) fed USING (moment) -- without any live event: no data, not nothing"
    return f"""\
-- {name}: {meaning(spec)}; exact, then rounded once
{name} AS (
    SELECT moment, num, den, finite({_FINISHES[part.finish]}) AS value
    FROM (
        SELECT moment, {num} AS num, {den} AS den
        FROM {source.moments} LEFT JOIN (
{indented(part.grouped, 12)}
        ) USING (moment){fed}
    )
)"""


def _expression(tree: Tree, names: Mapping[AggregateSpec, str]) -> str:
    """Return a feature's expression over the aggregates' values, one operation at a time."""
    match tree:
        case ("agg", spec):
            return f"{names[spec]}.value"
        case ("const", value):
            return f"finite({text(repr(value))}::DOUBLE)"
        case ("neg", a):
            return f"finite(-{_expression(a, names)})"
        case ("min" | "max" as op, a, b):
            return f"{'lesser' if op == 'min' else 'larger'}({_expression(a, names)}, {_expression(b, names)})"
        case ("coalesce", a, b):
            return f"coalesce({_expression(a, names)}, {_expression(b, names)})"
        case (op, a, b):
            return f"finite({_expression(a, names)} {_OPERATORS[op]} {_expression(b, names)})"
    raise AssertionError(tree)
