"""The oracle of labels: what became of an observation, in plain Python, written from the law and from nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """A live event: of whom, when, referring to what, and its one number."""

    entity: int
    at: int
    reference: int
    number: int


Kept = Callable[[Fact], bool]


@dataclass(frozen=True)
class Law:
    """A label.

    Attributes:
        kept: Which outcomes count, as `bad=` or, where ``absent``, as `bad_without=`.
        doubtful: Which outcomes make a row indeterminate, or None.
        match: Whether an outcome has to refer to the observation's own event.
        starts: Whether an exposing event begins the window.
        within: The window's length, or None for a fixed end.
        until: The fixed end.
        settle: How long outcomes take to be known.
        absent: Whether it is their absence that is bad.
    """

    kept: Kept
    doubtful: Kept | None = None
    match: bool = False
    starts: bool = False
    within: int | None = None
    until: int | None = None
    settle: int = 0
    absent: bool = False


def judge(
    law: Law, outcomes: Sequence[Fact], exposures: Sequence[Fact], entity: int, t: int, reference: int, moment: int
) -> str:
    """Return what became of one observation."""
    start: int | None = t
    if law.starts:
        own = [fact.at for fact in exposures if fact.entity == entity and fact.reference == reference]
        start = min(own) if own else None
    begin = t if start is None else start
    end = begin + law.within if law.within is not None else law.until
    assert end is not None
    if end + law.settle > moment:
        return "open"
    if start is None:
        return "unexposed"
    inside = [
        fact
        for fact in outcomes
        if fact.entity == entity and begin < fact.at <= end and (not law.match or fact.reference == reference)
    ]
    occurred = any(law.kept(fact) for fact in inside)
    if occurred != law.absent:
        return "bad"
    if law.doubtful is not None and any(law.doubtful(fact) for fact in inside):
        return "indeterminate"
    return "good"
