"""Aggregates over rows and over steps of time, formula by formula.

``rn`` is round to nearest, ties to even, from an integer to float64: what ``float(int)`` does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise, takewhile

from streamgauge.definitions.schema import FieldKind, FieldSpec
from streamgauge.definitions.specs import AggregateSpec
from tests.oracles.conditions import keeps
from tests.oracles.events import Event, Seen

SECOND = 1_000_000
DAY_SECONDS = 86_400.0
STEP_LIMIT = 2**56
NOTHING_IS_ZERO = {"count", "distinct", "sum", "streak", "decayed_sum"}
rn = float


def over(part: int, whole: int) -> float:
    """Return rn(part) / rn(whole)."""
    return rn(part) / rn(whole)


def deviation(n: int, s1: int, s2: int, scale: int) -> float:
    """Return √rn(n·S2 − S1²) / rn(n·scale), the population standard deviation."""
    return math.sqrt(rn(n * s2 - s1 * s1)) / rn(n * scale)


def observed(spec: AggregateSpec, seen: Seen) -> float | None:
    """Return the observed event's own field."""
    assert spec.field is not None
    if seen.observed is None or seen.observed[0] != spec.stream:
        return None
    return _picked(seen.observed[1].values[spec.field], seen.streams[spec.stream].field(spec.field), spec.decimals)


def rows_aggregate(spec: AggregateSpec, seen: Seen) -> float | None:
    """Return an aggregate of rows."""
    events = seen.up_to_now(spec.stream, prior=spec.prior)
    if not events and spec.kind in NOTHING_IS_ZERO and seen.streams[spec.stream].feed:
        return None
    rows = [event for event in _window(spec, events, seen.t) if keeps(spec.where, event.values)]
    if spec.kind == "count":
        return rn(len(rows))
    if spec.kind.startswith(("time_since_", "gap_")):
        return _of_times(spec.kind, rows, seen.t)
    if spec.kind == "share":
        return _share(spec, rows)
    if spec.kind == "top_share":
        return _top_share(spec, rows)
    if spec.kind == "streak":
        matches = [keeps(spec.subset, row.values) for row in rows]
        return rn(len(list(takewhile(bool, reversed(matches)))))
    return _of_values(spec, rows, seen)


def _window(spec: AggregateSpec, events: Sequence[Event], t: int) -> Sequence[Event]:
    if spec.window.kind == "life":
        return events
    within = [event for event in events if event.time > t - spec.window.width_us]
    return within[-spec.window.n :] if spec.window.kind == "last" else within


def _of_values(spec: AggregateSpec, rows: Sequence[Event], seen: Seen) -> float | None:
    assert spec.field is not None
    if spec.kind in {"slope", "decayed_sum"}:
        return (_slope if spec.kind == "slope" else _decayed_sum)(spec, rows, seen.t)
    field = seen.streams[spec.stream].field(spec.field)
    values = [value for row in rows if (value := row.values[spec.field]) is not None]
    n, scale = len(values), 10**spec.decimals
    if spec.kind == "distinct":
        return rn(len(set(values)))
    if spec.kind == "sum":
        return over(sum(values), scale)
    if not values:
        return None
    if spec.kind == "mean":
        return over(sum(values), n * scale)
    if spec.kind == "std":
        return deviation(n, sum(values), sum(value * value for value in values), scale)
    if spec.kind == "quantile":
        rank = max(1, math.ceil(Fraction(spec.quantile, 10**12) * n))
        return over(sorted(values)[rank - 1], scale)
    picked = {"min": min(values), "max": max(values), "first": values[0], "last": values[-1]}[spec.kind]
    return _picked(picked, field, spec.decimals)


def _picked(value: int | None, field: FieldSpec, decimals: int) -> float | None:
    if value is None:
        return None
    if field.kind is FieldKind.CATEGORY and field.levels is None:
        return rn((value >> 12) & (2**52 - 1))
    return over(value, 10**decimals)


def weight(part: int) -> int:
    """Return W: 2^62 halved every 64 parts, 0 after 40 halvings; in between the nearest integer to 2^(62 − part/64)."""
    halvings, rest = divmod(part, 64)
    if halvings >= 40:
        return 0
    nearest = (_root(2 ** (64 * 63 - rest)) + 1) // 2
    return nearest >> halvings


@cache
def _root(x: int) -> int:
    """Return the 64th root of an integer, rounded down."""
    low, high = 0, 2**64
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**64 <= x else (low, middle)
    return low


def _decayed_sum(spec: AggregateSpec, rows: Sequence[Event], t: int) -> float:
    assert spec.field is not None
    half_life = spec.half_life_us // SECOND
    total = sum(
        value * weight((t - row.time) // SECOND * 64 // half_life)
        for row in rows
        if (value := row.values[spec.field]) is not None
    )
    return over(total, 10**spec.decimals * 2**62)


def _of_times(kind: str, rows: Sequence[Event], t: int) -> float | None:
    if kind.startswith("gap_"):
        return _gap(kind, [b.time - a.time for a, b in pairwise(rows)])
    return over(t - rows[0 if kind == "time_since_first" else -1].time, SECOND) if rows else None


def _gap(kind: str, gaps: list[int]) -> float | None:
    if not gaps:
        return None
    n = len(gaps)
    match kind:
        case "gap_mean":
            return over(sum(gaps), n * SECOND)
        case "gap_median":
            return over(sorted(gaps)[(n + 1) // 2 - 1], SECOND)
        case "gap_max":
            return over(max(gaps), SECOND)
        case "gap_std":
            return deviation(n, sum(gaps), sum(gap * gap for gap in gaps), SECOND)
    raise AssertionError(kind)


def _weights(spec: AggregateSpec, rows: Sequence[Event]) -> list[tuple[Event, int]]:
    if spec.field is None:
        return [(row, 1) for row in rows]
    return [(row, weight) for row in rows if (weight := row.values[spec.field]) is not None]


def _share(spec: AggregateSpec, rows: Sequence[Event]) -> float | None:
    weighed = _weights(spec, rows)
    whole = sum(weight for _, weight in weighed)
    part = sum(weight for row, weight in weighed if keeps(spec.subset, row.values))
    return over(part, whole) if whole else None


def _top_share(spec: AggregateSpec, rows: Sequence[Event]) -> float | None:
    assert spec.key is not None
    sums: Counter[int] = Counter()
    for row, weight in _weights(spec, rows):
        key = row.values[spec.key]
        if key is not None:
            sums[key] += weight
    whole = sum(sums.values())
    return over(max(sums.values()), whole) if whole else None


def _slope(spec: AggregateSpec, rows: Sequence[Event], t: int) -> float | None:
    assert spec.field is not None
    points = [(-((t - row.time) // SECOND), y) for row in rows if (y := row.values[spec.field]) is not None]
    rise, run = _least_squares(points)
    return rn(rise) * DAY_SECONDS / rn(run * 10**spec.decimals) if run else None


def _least_squares(points: Sequence[tuple[int, int]]) -> tuple[int, int]:
    n, sx, sy = len(points), sum(x for x, _ in points), sum(y for _, y in points)
    return n * sum(x * y for x, y in points) - sx * sy, n * sum(x * x for x, _ in points) - sx * sx


def each(spec: AggregateSpec, seen: Seen) -> float | None:
    """Return the summary of the newest steps of time."""
    events = seen.up_to_now(spec.stream, prior=spec.prior)
    rows = [event for event in events if keeps(spec.where, event.values)]
    steps: list[tuple[int, int]] = []
    for i in range(spec.times):
        end = seen.t - i * spec.window.width_us
        if seen.streams[spec.stream].feed and (not events or end < events[0].time):
            break
        value = _step(spec, [row for row in rows if end - spec.window.width_us < row.time <= end])
        if value is not None:
            steps.append((-i, value))
    return _summary(spec, steps)


def _summary(spec: AggregateSpec, points: Sequence[tuple[int, int]]) -> float | None:
    steps = [value for _, value in points]
    if not steps or any(abs(step) > STEP_LIMIT for step in steps):
        return None
    n, scale = len(steps), 10**spec.decimals
    match spec.summary:
        case "sum":
            return over(sum(steps), scale)
        case "mean":
            return over(sum(steps), n * scale)
        case "std":
            return deviation(n, sum(steps), sum(step * step for step in steps), scale)
        case "min":
            return over(min(steps), scale)
        case "max":
            return over(max(steps), scale)
        case "below":
            return rn(sum(step < spec.threshold for step in steps))
        case "slope":
            rise, run = _least_squares(points)
            return over(rise, run * scale) if run else None
    raise AssertionError(spec.summary)


def _step(spec: AggregateSpec, rows: Sequence[Event]) -> int | None:
    if spec.step == "count":
        return len(rows)
    assert spec.field is not None
    values = [value for row in rows if (value := row.values[spec.field]) is not None]
    match spec.step:
        case "sum":
            return sum(values)
        case "distinct":
            return len(set(values))
    if not values:
        return None
    return {"min": min(values), "max": max(values), "first": values[0], "last": values[-1]}[spec.step]
