"""Aggregates over rows, as exact integers: a numerator and a denominator each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from streamgauge.definitions.schema import FieldKind
from streamgauge.definitions.specs import HALF_LIVES, QUANTILE_SCALE
from streamgauge.definitions.windows import SECOND
from streamgauge.features.kernels.decay import HALVING, PARTS, SCALE_BITS
from streamgauge.features.sql.terms import columns_of, condition, duration, indented, quoted

if TYPE_CHECKING:
    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.definitions.specs import AggregateSpec

Finish = Literal["ratio", "root", "per_day"]
"""How a value comes of its integers: rn(num) / rn(den); the root of rn(num), over rn(den); rn(num)·86400 / rn(den)."""

ORDER: Final = "event_time, sequence, event_id"
NEWEST_FIRST: Final = "event_time DESC, sequence DESC, event_id DESC"
MICROS: Final = "1000000::HUGEINT"
WEIGHTS: Final = f"""\
-- 2^{SCALE_BITS} halved in {PARTS} steps: an event weighs by how many {PARTS}ths of a half-life it is old.
weights AS (
    SELECT [{", ".join(map(str, HALVING))}]::BIGINT[] AS halving
)"""
_ROOTS: Final = frozenset({"std", "gap_std"})
_HASH_BITS: Final = f"& {2**52 - 1}::BIGINT"


@dataclass(frozen=True, slots=True)
class Integers:
    """An aggregate's part of a query.

    Attributes:
        steps: CTEs, in order.
        grouped: A query of ``moment, num, den``; a moment that it has no row of has no rows of events.
        finish: How the value comes of them.
        empty: The numerator where there are no rows; None for null.
    """

    steps: list[str]
    grouped: str
    finish: Finish = "ratio"
    empty: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where an aggregate's events come from.

    Attributes:
        stream: Their stream, in its present form.
        live: The table of them: those of a moment that are live, up to t.
        moments: The table of the rows that are asked for, one a moment.
    """

    stream: StreamSpec
    live: str
    moments: str


def row_aggregate(name: str, spec: AggregateSpec, source: Source) -> Integers:
    """Return an aggregate over the rows of a window."""
    rows = quoted(f"rows_{name}")
    steps = [selected(rows, spec, source)]
    per_row = spec.field is None or spec.kind in {"count", "time_since_first", "time_since_last"}
    if spec.kind.startswith("gap_"):
        steps.append(_gaps(name, rows))
        return Integers(steps, _of_gaps(name, spec.kind), "root" if spec.kind in _ROOTS else "ratio")
    if spec.kind == "streak":
        return Integers(steps, _streak(rows), empty=0)
    if spec.kind == "decayed_sum":
        steps.append(WEIGHTS)
        return Integers(steps, _decayed_sum(rows, spec), empty=0)
    if spec.kind == "top_share":
        return Integers(steps, _top_share(rows, counts=per_row))
    num, den = _formula(spec, source.stream)
    finish: Finish = "root" if spec.kind in _ROOTS else "per_day" if spec.kind == "slope" else "ratio"
    empty = 0 if spec.kind in {"count", "distinct", "sum"} else None
    return Integers(steps, f"SELECT moment, {num} AS num, {den} AS den FROM {rows} GROUP BY moment", finish, empty)


def observed_field(spec: AggregateSpec, source: Source) -> Integers:
    """Return the observed event's own field."""
    value = _code(quoted(columns_of(source.stream)[spec.field or ""]), spec, source.stream)
    scale = f"{10**spec.decimals}::HUGEINT"
    return Integers([], f"SELECT moment, {value}::HUGEINT AS num, {scale} AS den FROM {source.live} WHERE observed")


def present(spec: AggregateSpec) -> str:
    """Return the condition that leaves the observed event out of a prior aggregate."""
    return "NOT observed" if spec.prior else "TRUE"


def selected(rows: str, spec: AggregateSpec, source: Source) -> str:
    """Return the CTE of the rows that a window and ``where`` keep, null fields dropped."""
    stream, columns = source.stream, columns_of(source.stream)
    kept = [] if spec.where is None else [condition(spec.where, stream)]
    shown = ["moment", "t", ORDER]
    if spec.field is not None:
        shown.append(f"{quoted(columns[spec.field])}::HUGEINT AS x")
        kept.append(f"{quoted(columns[spec.field])} IS NOT NULL")
    if spec.key is not None:
        shown.append(f"{quoted(columns[spec.key])} AS key")
        kept.append(f"{quoted(columns[spec.key])} IS NOT NULL")
    if spec.subset is not None:
        shown.append(f"{condition(spec.subset, stream)} AS part")
    origin, window = _window(spec, source.live)
    where = "\n      AND ".join(one for one in (*window, *kept) if one != "TRUE") or "TRUE"
    return f"{rows} AS (\n    SELECT {', '.join(shown)}\n    FROM {origin}\n    WHERE {where}\n)"


def _window(spec: AggregateSpec, live: str) -> tuple[str, list[str]]:
    """Return the source of a window's rows, and the conditions of what it keeps of them."""
    reach = f"event_time > t - {duration(spec.window.width_us)}"
    if spec.window.kind == "life":
        return live, [present(spec)]
    if spec.window.kind == "duration":
        return live, [present(spec), reach]
    newest = f"""\
(   -- the {spec.window.n} newest are picked before `where` and null fields drop any
        SELECT *, row_number() OVER (PARTITION BY moment ORDER BY {NEWEST_FIRST}) AS newest
        FROM {live} WHERE {present(spec)} AND {reach}
    )"""
    return newest, [f"newest <= {spec.window.n}"]


def _code(value: str, spec: AggregateSpec, stream: StreamSpec) -> str:
    """Return a picked value: of an open category's 64-bit hash the upper 52 bits, which a double holds."""
    field = stream.field(spec.field or "")
    if field.kind is FieldKind.CATEGORY and field.levels is None:
        return f"(({value})::BIGINT >> 12 {_HASH_BITS})"
    return value


def _formula(spec: AggregateSpec, stream: StreamSpec) -> tuple[str, str]:
    """Return numerator and denominator over the grouped rows."""
    scale = f"{10**spec.decimals}::HUGEINT"
    age = "(t - event_time) // 1000000"
    x = f"(-({age}))::HUGEINT"
    match spec.kind:
        case "count":
            return "count(*)::HUGEINT", "1::HUGEINT"
        case "distinct":
            return "count(DISTINCT x)::HUGEINT", "1::HUGEINT"
        case "sum":
            return "sum(x)", scale
        case "mean":
            return "sum(x)", f"count(*) * {scale}"
        case "std":
            return "count(*) * sum(x * x) - sum(x) * sum(x)", f"count(*) * {scale}"
        case "min" | "max":
            return f"{spec.kind}(x)", scale
        case "quantile":
            return nearest_rank("x", spec.quantile, QUANTILE_SCALE), scale
        case "first" | "last":
            picked = _code(f"{spec.kind}(x ORDER BY {ORDER})", spec, stream)
            return f"{picked}::HUGEINT", scale
        case "time_since_first":
            return "(any_value(t) - min(event_time))::HUGEINT", MICROS
        case "time_since_last":
            return "(any_value(t) - max(event_time))::HUGEINT", MICROS
        case "share":
            weight = "1::HUGEINT" if spec.field is None else "x"
            return f"coalesce(sum({weight}) FILTER (WHERE part), 0)", f"nullif(sum({weight}), 0)"
        case "slope":
            run = f"count(*) * sum({x} * {x}) - sum({x}) * sum({x})"
            return f"count(*) * sum({x} * x) - sum({x}) * sum(x)", f"nullif({run}, 0) * {scale}"
    raise AssertionError(spec.kind)


def _gaps(name: str, rows: str) -> str:
    return f"""\
{quoted(f"gaps_{name}")} AS (
    SELECT moment, gap::HUGEINT AS gap FROM (
        SELECT moment, event_time - lag(event_time) OVER (PARTITION BY moment ORDER BY {ORDER}) AS gap FROM {rows}
    ) WHERE gap IS NOT NULL
)"""


def _of_gaps(name: str, kind: str) -> str:
    each = {
        "gap_mean": ("sum(gap)", f"count(*) * {MICROS}"),
        "gap_median": (nearest_rank("gap", 1, 2), MICROS),
        "gap_max": ("max(gap)", MICROS),
        "gap_std": ("count(*) * sum(gap * gap) - sum(gap) * sum(gap)", f"count(*) * {MICROS}"),
    }
    num, den = each[kind]
    return f"SELECT moment, {num} AS num, {den} AS den FROM {quoted(f'gaps_{name}')} GROUP BY moment"


def nearest_rank(values: str, part: int, whole: int) -> str:
    """Return the value of rank ⌈n · part / whole⌉, at least 1, in integers.

    >>> nearest_rank("x", 1, 2)
    'list_sort(list(x))[greatest((count(*) * 1 + 1) // 2, 1)]'
    """
    return f"list_sort(list({values}))[greatest((count(*) * {part} + {whole - 1}) // {whole}, 1)]"


def _streak(rows: str) -> str:
    return f"""\
-- the rows newer than the newest that does not match
SELECT moment, (count(*) FILTER (WHERE unmatched = 0))::HUGEINT AS num, 1::HUGEINT AS den
FROM (
    SELECT moment, count(*) FILTER (WHERE part IS NOT TRUE) OVER (PARTITION BY moment ORDER BY {NEWEST_FIRST}
        ROWS UNBOUNDED PRECEDING) AS unmatched
    FROM {rows}
) GROUP BY moment"""


def _decayed_sum(rows: str, spec: AggregateSpec) -> str:
    scale = f"{10**spec.decimals}::HUGEINT * (1::HUGEINT << {SCALE_BITS})"
    part = f"(t - event_time) // 1000000 * {PARTS} // {spec.half_life_us // SECOND}"
    return f"""\
SELECT moment, sum(x * (halving[part % {PARTS} + 1] >> (part // {PARTS}))) AS num, {scale} AS den
FROM (SELECT *, {part} AS part FROM {rows}) CROSS JOIN weights
WHERE part < {HALF_LIVES * PARTS} -- after {HALF_LIVES} half-lives nothing weighs
GROUP BY moment"""


def _top_share(rows: str, *, counts: bool) -> str:
    weight = "count(*)::HUGEINT" if counts else "sum(x)"
    by_key = f"SELECT moment, key, {weight} AS weight FROM {rows} GROUP BY moment, key"
    return (
        "SELECT moment, max(weight) AS num, nullif(sum(weight), 0) AS den\nFROM (\n"
        f"{indented(by_key)}\n) GROUP BY moment"
    )
