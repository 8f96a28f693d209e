"""Rows of a stream and their aggregates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args, overload

from streamgauge.definitions.aggregates import (
    Selection,
    levels_of,
    number_of,
    payload_of,
    pick_of,
    quantile_of,
    windowed,
)
from streamgauge.definitions.conditions import Condition, condition_on
from streamgauge.definitions.fields import Category, Entity, Field, Key, Numeric, Payload, Ref
from streamgauge.definitions.level import Level
from streamgauge.definitions.place import refuse
from streamgauge.definitions.steps import Each
from streamgauge.definitions.windows import parse_duration
from streamgauge.errors import close_match

if TYPE_CHECKING:
    from streamgauge.definitions.expressions import Feature, S, Windows
    from streamgauge.definitions.terms import Amount

Gap: TypeAlias = Literal["mean", "median", "max", "std"]
"""How `Rows.gap` summarizes the spacing of events."""

_GAPS: Final = get_args(Gap)


class Rows:
    """The live events of one stream that its conditions keep.

    Every aggregate takes ``over=``: one window (``"30d"``; s, m, h, d, w), ``"last 3"`` (the newest 3 events of the
    stream within ``reach``) or ``"life"``, and gives a feature; or a list of windows, and gives one feature for each.
    """

    def __init__(self, selection: Selection) -> None:
        """Keep the stream and the condition."""
        self.selection = selection

    def where(self, condition: Condition) -> Rows:
        """Keep the rows in which a condition is true, too.

        Raises:
            DefinitionError: It is no condition on this stream.
        """
        rows = self.selection
        tree = condition_on(condition, rows.stream.name, "where")
        both = tree if rows.where is None else ("and", rows.where, tree)
        return Rows(Selection(rows.stream, both, rows.prior))

    def level(self, field: Numeric[Any]) -> Level:
        """Return a field as a step function of time: its value holds until the next row's."""
        return Level(self.selection, number_of(self.selection, field, "level"))

    def each(self, step: str, *, times: int) -> Each:
        """Return the newest `times` steps of time, each as long as `step`, to be counted, summed and so on."""
        return Each(self.selection, step, times)

    @overload
    def count(self, *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def count(self, *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def count(self, *, over: str | list[S], reach: str | None = None) -> Feature | Windows[S]:
        """Count the rows; 0 when there is none."""
        return windowed(self.selection, self.selection.aggregate("count"), over, reach)

    @overload
    def sum(self, field: Numeric[Any], *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def sum(self, field: Numeric[Any], *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def sum(self, field: Numeric[Any], *, over: str | list[S], reach: str | None = None) -> Feature | Windows[S]:
        """Sum a number; 0 when there is no row."""
        return self._number("sum", field, over, reach)

    @overload
    def mean(self, field: Numeric[Any], *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def mean(self, field: Numeric[Any], *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def mean(self, field: Numeric[Any], *, over: str | list[S], reach: str | None = None) -> Feature | Windows[S]:
        """Average a number; null when there is no row."""
        return self._number("mean", field, over, reach)

    @overload
    def std(self, field: Numeric[Any], *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def std(self, field: Numeric[Any], *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def std(self, field: Numeric[Any], *, over: str | list[S], reach: str | None = None) -> Feature | Windows[S]:
        """Return a number's population standard deviation; null when there is no row."""
        return self._number("std", field, over, reach)

    @overload
    def slope(self, field: Numeric[Any], *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def slope(self, field: Numeric[Any], *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def slope(self, field: Numeric[Any], *, over: str | list[S], reach: str | None = None) -> Feature | Windows[S]:
        """Return a number's least-squares slope per day; null under two rows."""
        return self._number("slope", field, over, reach)

    @overload
    def min(self, field: Numeric[Any] | Category, *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def min(self, field: Numeric[Any] | Category, *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def min(
        self, field: Numeric[Any] | Category, *, over: str | list[S], reach: str | None = None
    ) -> Feature | Windows[S]:
        """Return the smallest value; null when there is no row."""
        return self._pick("min", field, over, reach)

    @overload
    def max(self, field: Numeric[Any] | Category, *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def max(self, field: Numeric[Any] | Category, *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def max(
        self, field: Numeric[Any] | Category, *, over: str | list[S], reach: str | None = None
    ) -> Feature | Windows[S]:
        """Return the largest value; null when there is no row."""
        return self._pick("max", field, over, reach)

    @overload
    def first(self, field: Numeric[Any] | Category, *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def first(self, field: Numeric[Any] | Category, *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def first(
        self, field: Numeric[Any] | Category, *, over: str | list[S], reach: str | None = None
    ) -> Feature | Windows[S]:
        """Return the oldest row's value; null when there is no row."""
        return self._pick("first", field, over, reach)

    @overload
    def last(self, field: Numeric[Any] | Category, *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def last(self, field: Numeric[Any] | Category, *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def last(
        self, field: Numeric[Any] | Category, *, over: str | list[S], reach: str | None = None
    ) -> Feature | Windows[S]:
        """Return the newest row's value; null when there is no row."""
        return self._pick("last", field, over, reach)

    @overload
    def time_since_last(self, *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def time_since_last(self, *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def time_since_last(self, *, over: str | list[S], reach: str | None = None) -> Feature | Windows[S]:
        """Return the seconds since the newest row; null when there is none."""
        return windowed(self.selection, self.selection.aggregate("time_since_last"), over, reach)

    @overload
    def time_since_first(self, *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def time_since_first(self, *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def time_since_first(self, *, over: str | list[S], reach: str | None = None) -> Feature | Windows[S]:
        """Return the seconds since the oldest row; null when there is none."""
        return windowed(self.selection, self.selection.aggregate("time_since_first"), over, reach)

    @overload
    def distinct(self, field: Payload[Any] | Entity, *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def distinct(self, field: Payload[Any] | Entity, *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def distinct(
        self, field: Payload[Any] | Entity, *, over: str | list[S], reach: str | None = None
    ) -> Feature | Windows[S]:
        """Count the different values of a field; 0 when there is none."""
        name = payload_of(self.selection, field, "distinct").name
        return windowed(self.selection, self.selection.aggregate("distinct", field=name), over, reach)

    @overload
    def share(
        self, part: Condition, *, of: Numeric[Any] | None = None, over: str, reach: str | None = None
    ) -> Feature: ...
    @overload
    def share(
        self, part: Condition, *, of: Numeric[Any] | None = None, over: list[S], reach: str | None = None
    ) -> Windows[S]: ...
    def share(
        self, part: Condition, *, of: Numeric[Any] | None = None, over: str | list[S], reach: str | None = None
    ) -> Feature | Windows[S]:
        """Return the share of rows, or of a number's sum, that a condition keeps; null if the whole is 0."""
        rows = self.selection
        subset = condition_on(part, rows.stream.name, "share")
        spec = rows.aggregate("share", subset=subset, **self._weight("share", of))
        return windowed(rows, spec, over, reach)

    @overload
    def top_share(
        self, key: Key | Ref | Category | Entity, *, of: Numeric[Any] | None = None, over: str, reach: str | None = None
    ) -> Feature: ...
    @overload
    def top_share(
        self,
        key: Key | Ref | Category | Entity,
        *,
        of: Numeric[Any] | None = None,
        over: list[S],
        reach: str | None = None,
    ) -> Windows[S]: ...
    def top_share(
        self,
        key: Key | Ref | Category | Entity,
        *,
        of: Numeric[Any] | None = None,
        over: str | list[S],
        reach: str | None = None,
    ) -> Feature | Windows[S]:
        """Return the share of rows, or of a number's sum, that the key with the most has; null if the whole is 0."""
        rows = self.selection
        found = payload_of(rows, key, "top_share")
        if isinstance(found, Numeric):
            raise refuse(f"top_share takes a Key, Ref or Category; {found.text} is a {found.label}.")
        spec = rows.aggregate("top_share", key=found.name, **self._weight("top_share", of))
        return windowed(rows, spec, over, reach)

    @overload
    def gap(self, statistic: Gap, *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def gap(self, statistic: Gap, *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def gap(self, statistic: Gap, *, over: str | list[S], reach: str | None = None) -> Feature | Windows[S]:
        """Summarize the seconds between consecutive rows; null under two rows."""
        if statistic not in _GAPS:
            raise refuse(f'gap has no "{statistic}". {close_match(str(statistic), _GAPS)}')
        return windowed(self.selection, self.selection.aggregate(f"gap_{statistic}"), over, reach)

    @overload
    def median(self, field: Numeric[Any], *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def median(self, field: Numeric[Any], *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def median(self, field: Numeric[Any], *, over: str | list[S], reach: str | None = None) -> Feature | Windows[S]:
        """Return the nearest-rank median, the value of rank ⌈n/2⌉; null when there is no row."""
        return self._quantile("median", field, 0.5, over, reach)

    @overload
    def quantile(self, field: Numeric[Any], q: Amount, *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def quantile(self, field: Numeric[Any], q: Amount, *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def quantile(
        self, field: Numeric[Any], q: Amount, *, over: str | list[S], reach: str | None = None
    ) -> Feature | Windows[S]:
        """Return the nearest-rank quantile, the value of rank ⌈q·n⌉ with 0 < q ≤ 1; null when there is no row."""
        return self._quantile("quantile", field, q, over, reach)

    @overload
    def streak(self, part: Condition, *, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def streak(self, part: Condition, *, over: list[S], reach: str | None = None) -> Windows[S]: ...
    def streak(self, part: Condition, *, over: str | list[S], reach: str | None = None) -> Feature | Windows[S]:
        """Count the newest consecutive rows in which a condition is true; 0 when there is none."""
        subset = condition_on(part, self.selection.stream.name, "streak")
        return windowed(self.selection, self.selection.aggregate("streak", subset=subset), over, reach)

    @overload
    def decayed_sum(self, field: Numeric[Any], *, half_life: str, over: str, reach: str | None = None) -> Feature: ...
    @overload
    def decayed_sum(
        self, field: Numeric[Any], *, half_life: str, over: list[S], reach: str | None = None
    ) -> Windows[S]: ...
    def decayed_sum(
        self, field: Numeric[Any], *, half_life: str, over: str | list[S], reach: str | None = None
    ) -> Feature | Windows[S]:
        """Sum a number whose weight halves with every half-life of age, and is 0 after 40; 0 when there is no row."""
        spec = number_of(self.selection, field, "decayed_sum").spec
        half = parse_duration(half_life, "half_life", argument="half_life")
        template = self.selection.aggregate("decayed_sum", field=spec.name, decimals=spec.decimals, half_life_us=half)
        return windowed(self.selection, template, over, reach)

    @overload
    def _quantile(self, what: str, field: Numeric[Any], q: Amount, over: str, reach: str | None) -> Feature: ...
    @overload
    def _quantile(self, what: str, field: Numeric[Any], q: Amount, over: list[S], reach: str | None) -> Windows[S]: ...
    @overload
    def _quantile(
        self, what: str, field: Numeric[Any], q: Amount, over: str | list[S], reach: str | None
    ) -> Feature | Windows[S]: ...
    def _quantile(
        self, what: str, field: Numeric[Any], q: Amount, over: str | list[S], reach: str | None
    ) -> Feature | Windows[S]:
        spec = number_of(self.selection, field, what).spec
        template = self.selection.aggregate(
            "quantile", field=spec.name, decimals=spec.decimals, quantile=quantile_of(q)
        )
        return windowed(self.selection, template, over, reach)

    @overload
    def _number(self, kind: str, field: Numeric[Any], over: str, reach: str | None) -> Feature: ...
    @overload
    def _number(self, kind: str, field: Numeric[Any], over: list[S], reach: str | None) -> Windows[S]: ...
    def _number(self, kind: str, field: Numeric[Any], over: str | list[S], reach: str | None) -> Feature | Windows[S]:
        spec = number_of(self.selection, field, kind).spec
        template = self.selection.aggregate(kind, field=spec.name, decimals=spec.decimals)
        return windowed(self.selection, template, over, reach)

    @overload
    def _pick(self, kind: str, field: Payload[Any], over: str, reach: str | None) -> Feature: ...
    @overload
    def _pick(self, kind: str, field: Payload[Any], over: list[S], reach: str | None) -> Windows[S]: ...
    def _pick(self, kind: str, field: Payload[Any], over: str | list[S], reach: str | None) -> Feature | Windows[S]:
        found = pick_of(self.selection, field, kind)
        template = self.selection.aggregate(kind, field=found.name, decimals=found.spec.decimals)
        return windowed(self.selection, template, over, reach, levels_of(found))

    def _weight(self, kind: str, of: Field[Any] | None) -> dict[str, Any]:
        if of is None:
            return {}
        spec = number_of(self.selection, of, f"{kind} of").spec
        return {"field": spec.name, "decimals": spec.decimals}
