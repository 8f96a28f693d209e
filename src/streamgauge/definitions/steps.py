"""Steps of time, each reduced to one whole number, then summarized."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from streamgauge.definitions.aggregates import Selection, number_of, payload_of, single
from streamgauge.definitions.place import here, refuse
from streamgauge.definitions.specs import AggregateSpec, Step, Summary, WindowSpec
from streamgauge.definitions.terms import to_units
from streamgauge.definitions.windows import LONGEST, parse_duration

if TYPE_CHECKING:
    from streamgauge.definitions.expressions import Feature
    from streamgauge.definitions.fields import Numeric, Payload
    from streamgauge.definitions.terms import Amount

_MOST_STEPS: Final = 128
"""Squares of so many steps stay within 128 bits."""


class Each:
    """The newest steps of time: step i is (t − (i+1)·w, t − i·w]."""

    def __init__(self, selection: Selection, step: str, times: int) -> None:
        """Keep the rows and the steps.

        Raises:
            DefinitionError: The step is no duration, or there are none or too many of them.
        """
        width = parse_duration(step, "The step of each")
        if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= _MOST_STEPS:
            raise refuse(f"each has times={times!r}; it may be 1 to {_MOST_STEPS}.", here(), argument="times")
        if width * times > LONGEST:
            raise refuse(f'each("{step}", times={times}) reaches further back than 10000d, the longest that is exact.')
        self.selection = selection
        self.window = WindowSpec("duration", width)
        self.times = times

    def count(self) -> Steps:
        """Count the rows of each step."""
        return self._steps("count")

    def sum(self, field: Numeric[Any]) -> Steps:
        """Sum a number in each step."""
        return self._number("sum", field)

    def min(self, field: Numeric[Any]) -> Steps:
        """Take the smallest value of each step; a step without one drops."""
        return self._number("min", field)

    def max(self, field: Numeric[Any]) -> Steps:
        """Take the largest value of each step; a step without one drops."""
        return self._number("max", field)

    def first(self, field: Numeric[Any]) -> Steps:
        """Take the oldest value of each step; a step without one drops."""
        return self._number("first", field)

    def last(self, field: Numeric[Any]) -> Steps:
        """Take the newest value of each step; a step without one drops."""
        return self._number("last", field)

    def distinct(self, field: Payload[Any]) -> Steps:
        """Count the different values of a field in each step."""
        return self._steps("distinct", field=payload_of(self.selection, field, "distinct").name)

    def _number(self, step: Step, field: Numeric[Any]) -> Steps:
        spec = number_of(self.selection, field, step).spec
        return self._steps(step, field=spec.name, decimals=spec.decimals)

    def _steps(self, step: Step, **changes: Any) -> Steps:  # noqa: ANN401 - attributes of the spec
        spec = self.selection.aggregate("each", step=step, **changes)
        return Steps(self.selection, replace(spec, window=self.window, times=self.times))


class Steps:
    """One value for each step; what summarizes them is null if no step is left.

    Steps that end before a feed's first record are left out. Of the others, one without a row is 0 where rows are
    counted or summed, and is left out where a value is picked.
    """

    def __init__(self, selection: Selection, spec: AggregateSpec) -> None:
        """Keep the steps that are to be summarized."""
        self.selection = selection
        self.spec = spec

    def sum(self) -> Feature:
        """Sum the steps' values."""
        return self._summary("sum")

    def mean(self) -> Feature:
        """Average the steps' values."""
        return self._summary("mean")

    def std(self) -> Feature:
        """Return the population standard deviation of the steps' values."""
        return self._summary("std")

    def min(self) -> Feature:
        """Return the smallest step's value."""
        return self._summary("min")

    def max(self) -> Feature:
        """Return the largest step's value."""
        return self._summary("max")

    def slope(self) -> Feature:
        """Return the least-squares slope per step, upwards if newer steps are larger; null under two steps.

        Raises:
            DefinitionError: There is only one step.
        """
        if self.spec.times == 1:
            raise refuse("slope needs at least two steps: each(…, times=2).")
        return self._summary("slope")

    def below(self, threshold: Amount) -> Feature:
        """Return how many steps have a value strictly below a threshold, in major units."""
        counted = self.spec.step in {"count", "distinct"}
        what = "count" if counted else f"{self.spec.stream}.{self.spec.field}"
        units = to_units(threshold, self.spec.decimals, what)
        return single(self.selection, replace(self.spec, summary="below", threshold=units))

    def _summary(self, summary: Summary) -> Feature:
        return single(self.selection, replace(self.spec, summary=summary))
