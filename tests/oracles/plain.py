"""The oracle: what a feature's value is, in plain Python, written from the law and from nothing else.

Integers are unbounded, every float64 operation stands alone, and nothing is clever: select the visible records, the
live revisions, the window, and aggregate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from streamgauge.definitions.schema import StreamSpec
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, Tree
from streamgauge.events.record import Record
from tests.oracles.aggregates import each, observed, rows_aggregate
from tests.oracles.events import Cut, Schemas, Seen, see
from tests.oracles.levels import level


def values(
    records: Sequence[Record],
    features: Sequence[FeatureSpec],
    streams: Mapping[str, StreamSpec],
    schemas: Schemas,
    t: int,
    cut: Cut,
    event: tuple[str, str] | None = None,
) -> list[float | None]:
    """Return the features of an entity, None for null.

    Args:
        records: All records of the entity in order of position, those beyond the cut included.
        features: The features.
        streams: The present form of the streams, by name.
        schemas: The forms that records were written under, by number.
        t: As of when, µs.
        cut: Knowing what.
        event: The observed event's stream and id, or None.
    """
    seen = see(records, schemas, streams, t, cut, event)
    return [evaluate(feature.expression, seen) for feature in features]


def evaluate(tree: Tree, seen: Seen) -> float | None:
    """Return an expression's value: one operation at a time, each result finite and never −0, or null."""
    match tree:
        case ("agg", spec):
            return finite(aggregate(spec, seen))
        case ("const", value):
            return finite(value)
        case ("neg", a):
            value = evaluate(a, seen)
            return None if value is None else finite(-value)
        case (op, a, b):
            return operate(op, evaluate(a, seen), evaluate(b, seen))
    raise AssertionError(tree)


def aggregate(spec: AggregateSpec, seen: Seen) -> float | None:
    """Return an aggregate's value."""
    if spec.kind == "observed":
        return observed(spec, seen)
    if spec.kind == "each":
        return each(spec, seen)
    if spec.kind.startswith("level_"):
        return level(spec, seen)
    return rows_aggregate(spec, seen)


def operate(op: str, a: float | None, b: float | None) -> float | None:
    """Return the result of a binary operation."""
    if op == "coalesce":
        return b if a is None else a
    if a is None or b is None or (op == "div" and b == 0):
        return None
    match op:
        case "add":
            return finite(a + b)
        case "sub":
            return finite(a - b)
        case "mul":
            return finite(a * b)
        case "div":
            return finite(a / b)
        case "min":
            return min(a, b)
        case "max":
            return max(a, b)
    raise AssertionError(op)


def finite(value: float | None) -> float | None:
    """Return the value, None where it is not finite, +0 for −0."""
    if value is None or not math.isfinite(value):
        return None
    return value + 0.0
