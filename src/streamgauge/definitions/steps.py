"""Steps of time, each counted or summed, then summarized."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from streamgauge.definitions.aggregates import Selection, number_of, single
from streamgauge.definitions.place import here, refuse
from streamgauge.definitions.specs import AggregateSpec, Summary, WindowSpec
from streamgauge.definitions.terms import to_units
from streamgauge.definitions.windows import LONGEST, parse_duration

if TYPE_CHECKING:
    from streamgauge.definitions.expressions import Feature
    from streamgauge.definitions.fields import Numeric
    from streamgauge.definitions.terms import Amount

_MOST_STEPS: Final = 1000


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
        return Steps(self.selection, self._spec(self.selection.aggregate("each", step="count")))

    def sum(self, field: Numeric[Any]) -> Steps:
        """Sum a number in each step."""
        spec = number_of(self.selection, field, "sum").spec
        aggregate = self.selection.aggregate("each", step="sum", field=spec.name, decimals=spec.decimals)
        return Steps(self.selection, self._spec(aggregate))

    def _spec(self, aggregate: AggregateSpec) -> AggregateSpec:
        return replace(aggregate, window=self.window, times=self.times)


class Steps:
    """One value for each step; what summarizes them is null if no step is left.

    Steps that end before a feed's first record are left out; others without a row count as 0.
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
        what = "count" if self.spec.step == "count" else f"{self.spec.stream}.{self.spec.field}"
        units = to_units(threshold, self.spec.decimals, what)
        return single(self.selection, replace(self.spec, summary="below", threshold=units))

    def _summary(self, summary: Summary) -> Feature:
        return single(self.selection, replace(self.spec, summary=summary))
