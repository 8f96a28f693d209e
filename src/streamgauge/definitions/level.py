"""A field as a step function of time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from streamgauge.definitions.aggregates import Selection, reach_of, single, windowed
from streamgauge.definitions.specs import AggregateSpec, WindowSpec

if TYPE_CHECKING:
    from streamgauge.definitions.expressions import Feature, S, Windows
    from streamgauge.definitions.fields import Numeric
    from streamgauge.definitions.terms import Amount


class Level:
    """A field's value held until the next row's: its aggregates weigh time, and are null if it was never set."""

    def __init__(self, selection: Selection, field: Numeric[Any]) -> None:
        """Keep the rows and the field that sets the level."""
        self.selection = selection
        self.field = field

    @overload
    def mean(self, *, over: str) -> Feature: ...
    @overload
    def mean(self, *, over: list[S]) -> Windows[S]: ...
    def mean(self, *, over: str | list[S]) -> Feature | Windows[S]:
        """Average the level over time."""
        return windowed(self.selection, self._spec("mean"), over, None)

    @overload
    def std(self, *, over: str) -> Feature: ...
    @overload
    def std(self, *, over: list[S]) -> Windows[S]: ...
    def std(self, *, over: str | list[S]) -> Feature | Windows[S]:
        """Return the level's standard deviation over time; over at most 120d."""
        return windowed(self.selection, self._spec("std"), over, None)

    @overload
    def min(self, *, over: str) -> Feature: ...
    @overload
    def min(self, *, over: list[S]) -> Windows[S]: ...
    def min(self, *, over: str | list[S]) -> Feature | Windows[S]:
        """Return the lowest level that held."""
        return windowed(self.selection, self._spec("min"), over, None)

    @overload
    def max(self, *, over: str) -> Feature: ...
    @overload
    def max(self, *, over: list[S]) -> Windows[S]: ...
    def max(self, *, over: str | list[S]) -> Feature | Windows[S]:
        """Return the highest level that held."""
        return windowed(self.selection, self._spec("max"), over, None)

    @overload
    def slope(self, *, over: str) -> Feature: ...
    @overload
    def slope(self, *, over: list[S]) -> Windows[S]: ...
    def slope(self, *, over: str | list[S]) -> Feature | Windows[S]:
        """Return the level's least-squares slope per day; over at most 365d."""
        return windowed(self.selection, self._spec("slope"), over, None)

    @overload
    def time_below(self, threshold: Amount, *, over: str) -> Feature: ...
    @overload
    def time_below(self, threshold: Amount, *, over: list[S]) -> Windows[S]: ...
    def time_below(self, threshold: Amount, *, over: str | list[S]) -> Feature | Windows[S]:
        """Return the seconds the level was strictly below a threshold, in major units."""
        return windowed(self.selection, self._spec("time_below", self.field.units(threshold)), over, None)

    def since_below(self, threshold: Amount, *, reach: str | None = None) -> Feature:
        """Return the seconds since the level was strictly below a threshold: 0 while it is, null if never."""
        width = reach_of(reach)
        spec = self._spec("since_below", self.field.units(threshold), WindowSpec("duration", width))
        return single(self.selection, spec, needs_reach=width == 0)

    def now(self) -> Feature:
        """Return the level's present value."""
        return single(self.selection, self._spec("now"))

    def _spec(self, kind: str, threshold: int = 0, window: WindowSpec | None = None) -> AggregateSpec:
        spec = self.field.spec
        aggregate = self.selection.aggregate(
            f"level_{kind}", field=spec.name, decimals=spec.decimals, threshold=threshold
        )
        return aggregate if window is None else replace(aggregate, window=window)
