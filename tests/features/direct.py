"""Aggregates computed the slow and plain way, with Python's integers, to check the kernel at unit level."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamgauge.definitions.schema import NULL, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, Tree
from streamgauge.features.bind import BoundProgram
from streamgauge.features.kernels.decay import HALVING
from streamgauge.features.kernels.moments import fold_events
from streamgauge.features.layout import Layout, evaluate_conditions
from streamgauge.features.program import FeatureProgram
from tests.features.scanning import StreamArrays, compute_one

SECOND = 1_000_000
DAY = 86_400 * SECOND


@dataclass
class Happening:
    """One live event; the list of them is in the stream's order. An absent field is null."""

    time: int
    values: dict[str, int] = field(default_factory=dict)


def bind_aggregates(stream: StreamSpec, aggregates: list[AggregateSpec]) -> BoundProgram:
    """Bind one feature for each aggregate."""
    features = [FeatureSpec(f"f{number}", ("agg", spec), stream.entity) for number, spec in enumerate(aggregates)]
    program = FeatureProgram.of(features, {stream.name: stream})
    return BoundProgram.of(program, Layout.of([program]))


def kernel_values(
    bound: BoundProgram, events: list[Happening], t: int, observed: int | None = None, folded: int = 0
) -> list[float]:
    """Return the kernel's values, with the oldest ``folded`` events in the accumulators."""
    layout = bound.layout.streams[0]
    names = [spec.name for spec in layout.stream.fields]
    units = np.array([[event.values.get(name, NULL) for name in names] for event in events], np.int64)
    units = units.reshape(len(events), len(names))
    time = np.array([event.time for event in events], np.int64)
    mask, cols, folds = evaluate_conditions(layout, units), layout.columns_of(units), layout.empty_folds()
    fold_events(time, mask, cols, folded, layout.fold_table, folds)
    arrays = StreamArrays(
        time=time[folded:],
        mask=mask[folded:],
        cols=np.ascontiguousarray(cols[:, folded:]),
        count=len(events) - folded,
        folds=folds,
        folded_first=events[0].time if folded else NULL,
    )
    name = layout.stream.name
    seen = None if observed is None else (name, observed - folded)
    return [float(value) for value in compute_one(bound, {name: arrays}, t, seen)]


def holds(tree: Tree | None, event: Happening) -> bool:
    """Return whether a condition is true of an event."""
    return tree is None or judge(tree, event.values) is True


def judge(tree: Tree, values: dict[str, int]) -> Any:
    """Return a condition's integer or truth value; None is null."""
    node, *parts = tree
    if node == "field":
        return values.get(parts[0])
    if node == "int":
        return parts[0]
    if node == "is_null":
        return judge(parts[0], values) is None
    if node == "in":
        value = judge(parts[0], values)
        return None if value is None else value in parts[1]
    results = [judge(part, values) for part in parts]
    if node == "not":
        return None if results[0] is None else not results[0]
    if node in {"and", "or"}:
        decisive = node == "or"
        return decisive if decisive in results else (None if None in results else not decisive)
    if None in results:
        return None
    a, b = results
    return {
        "add": a + b,
        "sub": a - b,
        "mul": a * b,
        "eq": a == b,
        "ne": a != b,
        "lt": a < b,
        "le": a <= b,
        "gt": a > b,
        "ge": a >= b,
    }[node]


def direct(spec: AggregateSpec, feed: bool, events: list[Happening], t: int, observed: int | None) -> float:
    """Return an aggregate's value, NaN for null."""
    value = _direct(spec, feed, events, t, observed)
    return math.nan if value is None else value + 0.0


def _direct(  # noqa: C901, PLR0911, PLR0912 - the law's table, an aggregate at a time
    spec: AggregateSpec,
    feed: bool,
    events: list[Happening],
    t: int,
    observed: int | None,
) -> float | None:
    scale = 10**spec.decimals
    if spec.kind == "observed":
        seen = None if observed is None else events[observed].values.get(spec.field or "")
        return None if seen is None else float(seen) / scale
    live = [event for row, event in enumerate(events) if event.time <= t and not (spec.prior and row == observed)]
    silent = feed and not live
    if spec.kind.startswith("level_"):
        return _level(spec, [event for event in live if holds(spec.where, event) and spec.field in event.values], t)
    if spec.kind == "each":
        return _each(spec, live, t, feed)
    rows = live
    if spec.window.kind != "life":
        rows = [event for event in live if event.time > t - spec.window.width_us]
    if spec.window.kind == "last":
        rows = rows[-spec.window.n :]
    rows = [event for event in rows if holds(spec.where, event) and (spec.field is None or spec.field in event.values)]
    x = [event.values[spec.field] for event in rows] if spec.field else []
    n = len(rows)
    if spec.kind == "count":
        return None if silent else float(n)
    if spec.kind == "sum":
        return None if silent else float(sum(x)) / scale
    if spec.kind == "distinct":
        return None if silent else float(len(set(x)))
    if spec.kind == "streak":
        matched = [holds(spec.subset, event) for event in rows]
        return None if silent else float(next((i for i, kept in enumerate(matched[::-1]) if not kept), n))
    if spec.kind == "decayed_sum":
        parts = [(t - event.time) // SECOND * 64 // (spec.half_life_us // SECOND) for event in rows]
        weighed = [
            value * (HALVING[part % 64] >> (part // 64)) for value, part in zip(x, parts, strict=True) if part < 2560
        ]
        return None if silent else float(sum(weighed)) / float(scale * 2**62)
    if spec.kind == "share":
        part = [event for event in rows if holds(spec.subset, event)]
        weigh = len if spec.field is None else (lambda some: sum(event.values[spec.field] for event in some))
        return float(weigh(part)) / float(weigh(rows)) if weigh(rows) else None
    if spec.kind == "top_share":
        weights: dict[int, int] = defaultdict(int)
        for event in rows:
            if spec.key in event.values:
                weights[event.values[spec.key]] += event.values[spec.field] if spec.field else 1
        whole = sum(weights.values())
        return float(max(weights.values())) / float(whole) if whole else None
    if spec.kind.startswith("gap_"):
        gaps = [after.time - before.time for before, after in itertools.pairwise(rows)]
        if spec.kind == "gap_median" and gaps:
            return float(sorted(gaps)[math.ceil(0.5 * len(gaps)) - 1]) / 1e6
        return moment(spec.kind.removeprefix("gap_"), gaps, SECOND)
    if spec.kind == "slope":
        ages = [-((t - event.time) // SECOND) for event in rows]
        over = n * sum(a * a for a in ages) - sum(ages) ** 2
        if n < 2 or over == 0:
            return None
        cross = n * sum(a * y for a, y in zip(ages, x, strict=True)) - sum(ages) * sum(x)
        return float(cross) * 86400.0 / float(over * scale)
    if n == 0:
        return None
    if spec.kind == "quantile":
        return float(sorted(x)[max(1, -(-spec.quantile * n // 10**12)) - 1]) / float(scale)
    if spec.kind.startswith("time_since"):
        return float(t - rows[0 if spec.kind.endswith("first") else -1].time) / 1e6
    return moment(spec.kind, x, scale)


def moment(kind: str, x: list[int], scale: int) -> float | None:
    n = len(x)
    if n == 0:
        return None
    if kind == "mean":
        return float(sum(x)) / float(n * scale)
    if kind == "std":
        return math.sqrt(float(n * sum(v * v for v in x) - sum(x) ** 2)) / float(n * scale)
    chosen = {"min": min(x), "max": max(x), "first": x[0], "last": x[-1]}[kind]
    return float(chosen) / float(scale)


def _each(spec: AggregateSpec, live: list[Happening], t: int, feed: bool) -> float | None:
    width, scale = spec.window.width_us, int(10**spec.decimals)
    steps, x = [], []
    for number in range(spec.times):
        end = t - number * width
        if feed and (not live or end < live[0].time):
            continue
        rows = [event for event in live if end - width < event.time <= end and holds(spec.where, event)]
        values = [event.values[spec.field] for event in rows if spec.field in event.values] if spec.field else []
        if spec.step in {"min", "max", "first", "last"}:
            if not values:
                continue
            picked = {"min": min(values), "max": max(values), "first": values[0], "last": values[-1]}
            steps.append(picked[spec.step])
        else:
            steps.append({"count": len(rows), "sum": sum(values), "distinct": len(set(values))}[spec.step])
        x.append(-number)
    n = len(steps)
    if n == 0 or any(abs(value) > 2**56 for value in steps):
        return None
    if spec.summary == "sum":
        return float(sum(steps)) / scale
    if spec.summary == "below":
        return float(sum(value < spec.threshold for value in steps))
    if spec.summary == "slope":
        over = n * sum(v * v for v in x) - sum(x) ** 2
        cross = n * sum(a * b for a, b in zip(x, steps, strict=True)) - sum(x) * sum(steps)
        return float(cross) / float(over * scale) if n > 1 else None
    return moment(spec.summary, steps, scale)


def _level(spec: AggregateSpec, rows: list[Happening], t: int) -> float | None:  # noqa: PLR0911 - the same
    scale, width = int(10**spec.decimals), spec.window.width_us
    last_at = {event.time: event.values[spec.field or ""] for event in rows}
    if not last_at:
        return None
    times = sorted(last_at)
    now = last_at[times[-1]]
    if spec.kind == "level_now":
        return float(now) / scale
    held = []  # (value, from, to)
    for begin, end in zip(times, [*times[1:], None], strict=True):
        if end is None or end > t - width:
            held.append((last_at[begin], max(begin, t - width), t if end is None else end))
    parts = [(v, (t - a) // SECOND, (t - b) // SECOND) for v, a, b in held]
    if spec.kind == "level_time_below":
        return float(sum(a - b for v, a, b in parts if v < spec.threshold))
    if spec.kind == "level_since_below":
        if now < spec.threshold:
            return 0.0
        ends = [end for v, _, end in held[:-1] if v < spec.threshold]
        return float(t - max(ends)) / 1e6 if ends else None
    if spec.kind in {"level_min", "level_max"}:
        return moment(spec.kind.removeprefix("level_"), [v for v, _, _ in held], scale)
    covered = sum(a - b for _, a, b in parts)
    total = sum(v * (a - b) for v, a, b in parts)
    if covered == 0:
        return None
    if spec.kind == "level_mean":
        return float(total) / float(covered * scale)
    if spec.kind == "level_std":
        squares = sum(v * v * (a - b) for v, a, b in parts)
        return math.sqrt(float(covered * squares - total**2)) / float(covered * scale)
    cross = sum(v * (a * a - b * b) for v, a, b in parts)
    return float(6 * (covered * total - cross)) * 86400.0 / float(covered**3 * scale)
