"""From an aggregate and its windows to features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, overload

from streamgauge.definitions.expressions import Feature, Leaf, S, Windows
from streamgauge.definitions.fields import Category, Entity, Field, Numeric, Payload
from streamgauge.definitions.place import here, refuse, shown
from streamgauge.definitions.specs import HALF_LIVES, QUANTILE_SCALE, AggregateSpec, Tree, WindowSpec
from streamgauge.definitions.terms import Amount, exact, places
from streamgauge.definitions.windows import DAY, Window, parse_duration, parse_window

if TYPE_CHECKING:
    from streamgauge.definitions.schema import StreamSpec

_LIFE: Final = frozenset(
    {"count", "sum", "mean", "std", "min", "max", "first", "last", "time_since_last", "time_since_first", "share"}
)
_LIMITS: Final = {"level_std": 120 * DAY, "level_slope": 365 * DAY}
"""The longest windows whose sums stay within 128 bits."""
_QUANTILE_DECIMALS: Final = 12


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of one stream: what an aggregate is taken of."""

    stream: StreamSpec
    where: Tree | None = None
    prior: bool = False

    def aggregate(self, kind: str, **changes: Any) -> AggregateSpec:  # noqa: ANN401 - attributes of the spec
        """Return the aggregate of these rows, its window still to be set."""
        return AggregateSpec(kind, self.stream.name, WindowSpec("life"), where=self.where, prior=self.prior, **changes)


@overload
def windowed(
    rows: Selection, spec: AggregateSpec, over: str, reach: str | None, levels: tuple[str, ...] | None = None
) -> Feature: ...
@overload
def windowed(
    rows: Selection, spec: AggregateSpec, over: list[S], reach: str | None, levels: tuple[str, ...] | None = None
) -> Windows[S]: ...
def windowed(
    rows: Selection,
    spec: AggregateSpec,
    over: str | list[S],
    reach: str | None,
    levels: tuple[str, ...] | None = None,
) -> Feature | Windows[S]:
    """Return an aggregate's feature, or one for each window of a list.

    Raises:
        DefinitionError: A window is not understood, is declared twice, or does not go with the aggregate.
    """
    if not isinstance(over, list | tuple):
        return _feature(rows, spec, parse_window(over, reach), levels)
    if not over:
        raise refuse("over= is an empty list. Name at least one window.", here(), argument="over")
    features: dict[str, tuple[str, Feature]] = {}
    for text in over:
        window = parse_window(text, reach)
        if text in features:
            raise refuse(f'Window "{text}" is listed twice.', here(), argument="over")
        features[text] = (window.suffix, _feature(rows, spec, window, levels))
    return Windows(features)


def single(rows: Selection, spec: AggregateSpec, *, needs_reach: bool = False) -> Feature:
    """Return the feature of an aggregate whose window is set."""
    return Feature("agg", leaf=Leaf(spec, rows.stream.roles, needs_reach, here()))


def number_of(rows: Selection, value: object, what: str) -> Numeric[Any]:
    """Return a numeric field of the rows' stream.

    Raises:
        DefinitionError: It is none.
    """
    field = payload_of(rows, value, what)
    if not isinstance(field, Numeric):
        raise refuse(
            f"{what} takes a number (Money, Number, Integer, Flag); {field.text} is a {field.label}, which has "
            f"{_has(field)} only."
        )
    return field


def payload_of(rows: Selection, value: object, what: str) -> Payload[Any]:
    """Return a payload field of the rows' stream.

    Raises:
        DefinitionError: It is none.
    """
    if not isinstance(value, Field):
        raise refuse(f"{what} takes a field such as {rows.stream.name}.amount, not {shown(value)}.")
    key = value.as_key() if isinstance(value, Entity) else None
    value = value if key is None else key
    if not isinstance(value, Payload):
        raise refuse(f"{what} takes a field of the payload; {value.text} is the event's {value.label}.")
    if value.stream != rows.stream.name:
        raise refuse(
            f"{what} of {rows.stream.name} takes a field of {rows.stream.name}; {value.text} is of another stream."
        )
    return value


def pick_of(rows: Selection, value: object, what: str) -> Payload[Any]:
    """Return a field with an order or with codes: a number or a category.

    Raises:
        DefinitionError: It is a key or a reference, or an open category where an order is needed.
    """
    field = payload_of(rows, value, what)
    if isinstance(field, Category):
        if field.spec.levels is None and what in {"min", "max"}:
            raise refuse(f"{what} takes a Category with declared levels; {field.text} is open and has no order.")
        return field
    return number_of(rows, field, what)


def quantile_of(q: Amount) -> int:
    """Return a quantile's order in units of 10⁻¹², exactly as it is written.

    Raises:
        DefinitionError: It is not above 0 and at most 1, or has more than 12 decimals.

    >>> quantile_of(0.95)
    950000000000
    """
    number = exact(q, "quantile")
    if not 0 < number <= 1:
        raise refuse(f"quantile takes q above 0 and at most 1, not {q}.")
    scaled = number * QUANTILE_SCALE
    if places(number) > _QUANTILE_DECIMALS:
        raise refuse(f"quantile {q} has more than {_QUANTILE_DECIMALS} decimals. Round it.")
    return int(scaled)


def _feature(rows: Selection, spec: AggregateSpec, window: Window, levels: tuple[str, ...] | None) -> Feature:
    place = here()
    shown = spec.kind.removeprefix("level_")
    if spec.kind == "quantile" and 2 * spec.quantile == QUANTILE_SCALE:
        shown = "median"
    if window.spec.kind == "life" and spec.kind not in _LIFE:
        known = ", ".join(sorted(_LIFE))
        raise refuse(f'{shown} has no "life" window; these have: {known}, level now.', place, argument="over")
    if spec.kind.startswith("level_") and window.spec.kind != "duration":
        raise refuse(f'A level weighs time: its {shown} takes a duration, not "{window.text}".', place, argument="over")
    limit = _LIMITS.get(spec.kind)
    if limit is not None and window.spec.width_us > limit:
        raise refuse(
            f'{shown} of a level over "{window.text}" is longer than {limit // DAY}d, the longest that is exact.',
            place,
            argument="over",
        )
    if spec.half_life_us and window.spec.kind == "duration" and window.spec.width_us > HALF_LIVES * spec.half_life_us:
        raise refuse(
            f'decayed_sum over "{window.text}" looks back more than {HALF_LIVES} half-lives, after which nothing '
            "weighs. Shorten the window, or lengthen the half-life.",
            place,
            argument="over",
        )
    leaf = Leaf(replace(spec, window=window.spec), rows.stream.roles, window.needs_reach, place)
    return Feature("agg", leaf=leaf, levels=levels)


def reach_of(reach: str | None) -> int:
    """Return a reach in µs, 0 where it is left to the ``Features`` class."""
    return 0 if reach is None else parse_duration(reach, "reach", argument="reach")


def levels_of(field: Payload[Any]) -> tuple[str, ...] | None:
    """Return the levels a feature of the field has: None for numbers, empty for an open category."""
    if not isinstance(field, Category):
        return None
    return field.spec.levels or ()


def _has(field: Payload[Any]) -> str:
    if isinstance(field, Category):
        return "==, !=, is_in, distinct, first, last, top_share and share"
    return "==, !=, is_in, distinct and top_share"
