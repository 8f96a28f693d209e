"""Levels, which hold until the next event, and steps of time, as exact integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamgauge.features.sql.rows import MICROS, NEWEST_FIRST, ORDER, Finish, Integers, Source, present
from streamgauge.features.sql.terms import columns_of, condition, duration, quoted

if TYPE_CHECKING:
    from streamgauge.definitions.specs import AggregateSpec

STEP_LIMIT: Final = 2**56
_COUNTED: Final = frozenset({"count", "sum", "distinct"})
_STEPS: Final = {
    "count": "count(e.event_id)::HUGEINT",
    "sum": "coalesce(sum(x), 0)",
    "distinct": "count(DISTINCT x)::HUGEINT",
    "min": "min(x)",
    "max": "max(x)",
    "first": f"first(x ORDER BY {ORDER}) FILTER (WHERE x IS NOT NULL)",
    "last": f"last(x ORDER BY {ORDER}) FILTER (WHERE x IS NOT NULL)",
}
_COVERED: Final = "nullif(sum(a - b), 0)"


def level_aggregate(name: str, spec: AggregateSpec, source: Source) -> Integers:
    """Return an aggregate of a level."""
    steps = [_values_set(name, spec, source)]
    scale = f"{10**spec.decimals}::HUGEINT"
    values = quoted(f"set_{name}")
    if spec.kind == "level_now":
        return Integers(steps, _select('arg_max(x, "from")', scale, values))
    if spec.kind == "level_since_below":
        below = f'max("until") FILTER (WHERE x < {spec.threshold})'
        within = f"{below} > any_value(t) - {duration(spec.window.width_us)}"
        num = f"""\
CASE WHEN arg_max(x, "from") < {spec.threshold} THEN 0::HUGEINT
        WHEN {within} THEN (any_value(t) - {below})::HUGEINT END"""
        return Integers(steps, _select(num, MICROS, values))
    steps.append(_intervals(name, spec))
    num, den, finish = _level_formula(spec, scale)
    return Integers(steps, _select(num, den, quoted(f"held_{name}")), finish)


def _select(num: str, den: str, source: str) -> str:
    return f"SELECT moment,\n    {num} AS num,\n    {den} AS den\nFROM {source} GROUP BY moment"


def _values_set(name: str, spec: AggregateSpec, source: Source) -> str:
    column = quoted(columns_of(source.stream)[spec.field or ""])
    kept = [f"{column} IS NOT NULL", present(spec)]
    kept += [] if spec.where is None else [condition(spec.where, source.stream)]
    return f"""\
-- A value holds from its event until the next one's; of those set at one event_time only the last in order ever held.
{quoted(f"set_{name}")} AS (
    SELECT moment, t, {column}::HUGEINT AS x, event_time AS "from",
        lead(event_time) OVER (PARTITION BY moment ORDER BY event_time) AS "until"
    FROM (
        SELECT * FROM {source.live}
        WHERE {" AND ".join(one for one in kept if one != "TRUE")}
        QUALIFY row_number() OVER (PARTITION BY moment, event_time ORDER BY {NEWEST_FIRST}) = 1
    )
)"""


def _intervals(name: str, spec: AggregateSpec) -> str:
    width = duration(spec.window.width_us)
    return f"""\
-- What of that lies in (t - window, t], in whole seconds of age: from a down to b. The value set at or before the
-- window's start is carried in; the newest holds until now.
{quoted(f"held_{name}")} AS (
    SELECT moment, x, (least(t - "from", {width}) // 1000000)::HUGEINT AS a,
        coalesce((t - "until") // 1000000, 0)::HUGEINT AS b
    FROM {quoted(f"set_{name}")}
    WHERE "until" IS NULL OR "until" > t - {width}
)"""


def _level_formula(spec: AggregateSpec, scale: str) -> tuple[str, str, Finish]:
    match spec.kind:
        case "level_min" | "level_max":
            return f"{spec.kind.removeprefix('level_')}(x)", scale, "ratio"
        case "level_time_below":
            return f"coalesce(sum(a - b) FILTER (WHERE x < {spec.threshold}), 0)", "1::HUGEINT", "ratio"
        case "level_mean":
            return "sum(x * (a - b))", f"{_COVERED} * {scale}", "ratio"
        case "level_std":
            spread = "sum(a - b) * sum(x * x * (a - b)) - sum(x * (a - b)) * sum(x * (a - b))"
            return spread, f"{_COVERED} * {scale}", "root"
        case "level_slope":
            rise = "6 * (sum(a - b) * sum(x * (a - b)) - sum(x * (a * a - b * b)))"
            return rise, f"{_COVERED} * sum(a - b) * sum(a - b) * {scale}", "per_day"
    raise AssertionError(spec.kind)


def step_aggregate(name: str, spec: AggregateSpec, source: Source) -> Integers:
    """Return the summary of an aggregate's newest steps of time."""
    steps = [_steps(name, spec, source), _step_values(name, spec, source)]
    scale = f"{10**spec.decimals}::HUGEINT"
    num, den, finish = _summary(spec, scale)
    grouped = f"""\
SELECT moment,
    CASE WHEN max(abs(s)) <= {STEP_LIMIT}::HUGEINT THEN {num} END AS num,
    {den} AS den
FROM {quoted(f"each_{name}")} GROUP BY moment"""
    return Integers(steps, grouped, finish)


def _steps(name: str, spec: AggregateSpec, source: Source) -> str:
    width = duration(spec.window.width_us)
    made = f"SELECT moment, i, t - i * {width} AS until FROM {source.moments}, range({spec.times}) s(i)"
    if not source.stream.feed:
        return f"-- Step i is (until - window, until].\n{quoted(f'steps_{name}')} AS (\n    {made}\n)"
    return f"""\
-- Step i is (until - window, until]; a feed has none that ends before its first live record.
{quoted(f"steps_{name}")} AS (
    SELECT * FROM ({made})
        JOIN (SELECT moment, min(event_time) AS first FROM {source.live}
              WHERE {present(spec)} GROUP BY moment) USING (moment)
    WHERE until >= first
)"""


def _step_values(name: str, spec: AggregateSpec, source: Source) -> str:
    column = "NULL" if spec.field is None else quoted(columns_of(source.stream)[spec.field])
    kept = [present(spec), *([] if spec.where is None else [condition(spec.where, source.stream)])]
    width = duration(spec.window.width_us)
    picked = "" if spec.step in _COUNTED else "\n    HAVING count(x) > 0 -- without a value there is no step"
    return f"""\
{quoted(f"each_{name}")} AS (
    SELECT s.moment, s.i, {_STEPS[spec.step]} AS s
    FROM {quoted(f"steps_{name}")} s LEFT JOIN (
        SELECT moment, {ORDER}, {column}::HUGEINT AS x FROM {source.live}
        WHERE {" AND ".join(one for one in kept if one != "TRUE") or "TRUE"}
    ) e ON e.moment = s.moment AND e.event_time > s.until - {width} AND e.event_time <= s.until
    GROUP BY s.moment, s.i{picked}
)"""


def _summary(spec: AggregateSpec, scale: str) -> tuple[str, str, Finish]:
    match spec.summary:
        case "sum":
            return "sum(s)", scale, "ratio"
        case "mean":
            return "sum(s)", f"count(*) * {scale}", "ratio"
        case "std":
            return "count(*) * sum(s * s) - sum(s) * sum(s)", f"count(*) * {scale}", "root"
        case "min" | "max":
            return f"{spec.summary}(s)", scale, "ratio"
        case "below":
            return f"count(*) FILTER (WHERE s < {spec.threshold})::HUGEINT", "1::HUGEINT", "ratio"
        case "slope":
            run = "count(*) * sum((i * i)::HUGEINT) - sum(i::HUGEINT) * sum(i::HUGEINT)"
            rise = "sum(i::HUGEINT) * sum(s) - count(*) * sum(i * s)"
            return rise, f"nullif({run}, 0) * {scale}", "ratio"
    raise AssertionError(spec.summary)
