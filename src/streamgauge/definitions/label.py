"""Labels: what makes an observation bad, and when it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from streamgauge.definitions.collect import collect
from streamgauge.definitions.fields import Ref
from streamgauge.definitions.place import Place, here, refuse
from streamgauge.definitions.rows import Rows
from streamgauge.definitions.specs import LabelSpec, OutcomeRows
from streamgauge.definitions.windows import parse_duration, parse_moment

if TYPE_CHECKING:
    from streamgauge.definitions.aggregates import Selection
    from streamgauge.definitions.event import Event

Outcome: TypeAlias = "Rows | type[Event]"
"""Rows of an outcome stream, or all of it."""


class Label:
    """What makes an observation bad, in a window after it; its name is the variable that holds it.

    Args:
        bad: The rows that make it bad.
        bad_without: Instead of `bad`: the rows whose absence makes it bad, such as a renewal that was never paid.
        indeterminate: The rows that make it indeterminate where nothing makes it bad.
        match: The reference of the outcome to its own observation's event.
        starts: The reference, to the observation's event, of the event that exposes it; without one it is unexposed.
        within: How long the outcome window is.
        until: The outcome window's fixed end, instead of `within`.
        settle: How long outcomes take to become known.

    Raises:
        DefinitionError: What is bad or the window is missing or said twice, or a part is of another stream or entity.

    >>> import streamgauge as sg
    >>> class Default(sg.Event):
    ...     id: sg.EventId
    ...     client: sg.Entity
    ...     at: sg.EventTime
    >>> sg.Label(bad=Default, within="90d", settle="5d").spec.settle_us // 86_400_000_000
    5
    """

    def __init__(
        self,
        *,
        bad: Outcome | None = None,
        bad_without: Outcome | None = None,
        indeterminate: Outcome | None = None,
        match: Ref | None = None,
        starts: Ref | None = None,
        within: str | None = None,
        until: str | None = None,
        settle: str = "0d",
    ) -> None:
        """Check and keep the label."""
        self.place = here()
        if bad is not None and bad_without is not None:
            raise refuse(
                "A label has either bad= or bad_without=: rows that make it bad, or rows whose absence does.",
                self.place,
                argument="bad_without",
            )
        self._said = "bad" if bad_without is None else "bad_without"
        self.bad = _rows(bad if bad_without is None else bad_without, self._said, self.place)
        self.match = _reference(match, "match", self.place)
        self.starts = _reference(starts, "starts", self.place)
        doubtful = None if indeterminate is None else _rows(indeterminate, "indeterminate", self.place)
        self._doubtful = doubtful
        self._check(doubtful)
        if (within is None) == (until is None):
            raise refuse('A label has either within="90d" or until="2005-11-01T00:00:00Z".', self.place)
        self.spec = LabelSpec(
            name="",
            bad=OutcomeRows(self.bad.stream.name, self.bad.where),
            indeterminate=None if doubtful is None else OutcomeRows(doubtful.stream.name, doubtful.where),
            match=None if self.match is None else self.match.name,
            starts_stream=None if self.starts is None else self.starts.stream,
            starts_field=None if self.starts is None else self.starts.name,
            within_us=0 if within is None else parse_duration(within, "within", place=self.place, argument="within"),
            settle_us=parse_duration(settle, "settle", place=self.place, zero=True, argument="settle"),
            until_us=None if until is None else parse_moment(until, "until", argument="until"),
            absent=bad_without is not None,
        )
        collect("labels", str(id(self)), self, self.place)

    @property
    def roles(self) -> tuple[str, ...]:
        """The entity fields whose observations it can judge: those that all its streams have."""
        others = [] if self.starts is None else [self.starts.roles]
        if self._doubtful is not None:
            others.append(self._doubtful.stream.roles)
        return tuple(role for role in self.bad.stream.roles if all(role in roles for roles in others))

    def _check(self, doubtful: Selection | None) -> None:
        bad, said = self.bad.stream, self._said
        if self.match is not None and self.match.stream != bad.name:
            raise refuse(
                f"match={self.match.text} is of {self.match.stream}; it must be a Ref field of {bad.name}, which "
                f"{said}= reads.",
                self.place,
                argument="match",
            )
        if doubtful is not None:
            if not set(doubtful.stream.roles) & set(bad.roles):
                raise refuse(
                    f"indeterminate reads {doubtful.stream.name} of {doubtful.stream.entity}; {said} reads {bad.name} "
                    f"of {bad.entity}.",
                    self.place,
                    argument="indeterminate",
                )
            if self.match is not None and doubtful.stream.name != bad.name:
                raise refuse(
                    f"indeterminate reads {doubtful.stream.name}; with match= it reads the stream of {said}, "
                    f"{bad.name}.",
                    self.place,
                    argument="indeterminate",
                )
        if self.starts is not None and not set(self.starts.roles) & set(bad.roles):
            raise refuse(
                f"starts={self.starts.text} is of {self.starts.role}; {said} reads {bad.name} of {bad.entity}.",
                self.place,
                argument="starts",
            )


def _rows(value: object, argument: str, place: Place) -> Selection:
    stream = getattr(value, "__stream__", None)
    if stream is not None and isinstance(value, type):
        value = value.all  # type: ignore[attr-defined]
    if not isinstance(value, Rows):
        raise refuse(
            f"{argument}= takes rows, such as Arrears.where(Arrears.days_past_due >= 30), or an event.",
            place,
            argument=argument,
        )
    if value.selection.prior:
        raise refuse(f"{argument}= takes no prior: an outcome is never the observed event.", place, argument=argument)
    return value.selection


def _reference(value: object, argument: str, place: Place) -> Ref | None:
    if value is None or isinstance(value, Ref):
        return value
    raise refuse(f"{argument}= takes a Ref field, such as Arrears.application.", place, argument=argument)
