"""The feature catalogue: what each feature reads, over which window, in what unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.definitions.schema import FieldKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, ProjectSpec, Tree, WindowSpec

_LONG_UNITS: Final = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"))
_SECONDS: Final = frozenset({"time_since_last", "time_since_first", "level_time_below", "level_since_below"})
_SHARES: Final = frozenset({"share", "top_share"})
_COUNTS: Final = {"count": "events", "distinct": "values"}
_KINDS: Final = {
    FieldKind.MONEY: "money",
    FieldKind.NUMBER: "number",
    FieldKind.INTEGER: "number",
    FieldKind.FLAG: "0 or 1",
    FieldKind.CATEGORY: "category",
}


class FeatureEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the catalogue.

    Attributes:
        name: The feature's full name.
        stream: The streams it reads.
        window: The windows it looks through.
        unit: ``money``, ``seconds``, ``events``, ``ratio`` …; empty where an expression mixes units.
        code: Its adverse action reason code, or an empty string.
        risk: ``up`` or ``down`` where it must move risk one way, or an empty string.
        reason: The reason's text, or an empty string.
        models: The models that use it.
    """

    name: str
    stream: str
    window: str
    unit: str
    code: str
    risk: str
    reason: str
    models: list[str]


def catalogue(project: ProjectSpec) -> list[FeatureEntry]:
    """Return every feature of a project, those of its ``Features`` classes first, then observed fields."""
    used: dict[str, list[str]] = {}
    features: dict[str, FeatureSpec] = dict(project.features)
    for model in project.models.values():
        for feature in model.features:
            features.setdefault(feature.name, feature)
            used.setdefault(feature.name, []).append(model.name)
    return [_entry(feature, project, used.get(feature.name, [])) for feature in features.values()]


def duration_text(width_us: int) -> str:
    """Write a duration as a user does.

    >>> duration_text(30 * 86_400_000_000), duration_text(90_000_000)
    ('30d', '90s')
    """
    for unit, letter in _LONG_UNITS:
        if width_us % unit == 0:
            return f"{width_us // unit}{letter}"
    return f"{width_us / 1_000_000}s"


def _entry(feature: FeatureSpec, project: ProjectSpec, models: list[str]) -> FeatureEntry:
    aggregates = list(_aggregates(feature.expression))
    return FeatureEntry(
        name=feature.name,
        stream=", ".join(dict.fromkeys(one.stream for one in aggregates)),
        window=", ".join(dict.fromkeys(_window(one) for one in aggregates)),
        unit=_unit(feature.expression, project) or "",
        code=feature.code or "",
        risk=feature.risk or "",
        reason=feature.reason or "",
        models=models,
    )


def _aggregates(tree: Tree) -> Iterator[AggregateSpec]:
    if tree[0] == "agg":
        yield tree[1]
        return
    for part in tree[1:]:
        if isinstance(part, tuple):
            yield from _aggregates(part)


def _window(aggregate: AggregateSpec) -> str:
    window: WindowSpec = aggregate.window
    if aggregate.kind == "observed":
        return "the event"
    if aggregate.kind == "each":
        return f"{aggregate.times} × {duration_text(window.width_us)}"
    if aggregate.kind == "level_now" or window.kind == "life":
        return "life"
    if window.kind == "last":
        return f"last {window.n}"
    return duration_text(window.width_us)


def _unit(tree: Tree, project: ProjectSpec) -> str | None:
    """Return the unit of an expression: an empty string for a bare number, None where units do not agree."""
    kind = tree[0]
    if kind == "agg":
        return _aggregate_unit(tree[1], project.streams[tree[1].stream])
    if kind == "const":
        return ""
    units = [_unit(part, project) for part in tree[1:]]
    if kind == "neg":
        return units[0]
    left, right = units
    if kind == "mul":
        return left or right if "" in units else None
    if kind == "div":
        if right == "":
            return left
        if left is None or right is None:
            return None
        return "ratio" + left.removeprefix(right) if left == right or left.startswith(f"{right} per ") else None
    return left if right in {left, ""} else (right if left == "" else None)


def _aggregate_unit(aggregate: AggregateSpec, stream: StreamSpec) -> str:
    kind = aggregate.kind
    if kind in _SECONDS or kind.startswith("gap_"):
        return "seconds"
    if kind in _SHARES:
        return "share"
    if kind in _COUNTS:
        return _COUNTS[kind]
    field = None if aggregate.field is None else _KINDS.get(stream.field(aggregate.field).kind, "text")
    unit = field or "events"
    if kind == "each":
        if aggregate.summary == "below":
            return "steps"
        return f"{unit} per step" if aggregate.summary == "slope" else unit
    return f"{unit} per day" if kind.endswith("slope") else unit
