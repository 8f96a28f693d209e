"""When, and of whom, a model's observations are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamgauge.definitions.expressions import FeaturePredicate
from streamgauge.definitions.fields import Entity
from streamgauge.definitions.place import Place, here, refuse
from streamgauge.definitions.specs import FeatureSpec, ObserveSpec
from streamgauge.definitions.windows import parse_anchor, parse_duration, parse_moment

if TYPE_CHECKING:
    from collections.abc import Sequence


class Grid:
    """Observations of every entity at moments of a grid, or at named moments."""

    def __init__(self, spec: ObserveSpec, reads: tuple[FeatureSpec, ...], place: Place) -> None:
        """Keep the observations and the features that say who is active."""
        self.spec = spec
        self.reads = reads
        self.place = place


def every(step: str, *, anchor: str, entity: Entity, active: FeaturePredicate | None = None) -> Grid:
    """Observe every entity on a grid of moments.

    Args:
        step: The grid's step, a duration.
        anchor: A moment of the grid: ``"Mon 00:00 UTC"``, ``"00:00 UTC"`` or an ISO 8601 moment.
        entity: Whom: a field such as ``Movement.account``.
        active: What must be true of an entity for it to be observed.

    Raises:
        DefinitionError: The step or anchor is not understood, or `active` reads features of another entity.

    >>> import streamgauge as sg
    >>> class Visit(sg.Event):
    ...     id: sg.EventId
    ...     shop: sg.Entity
    ...     at: sg.EventTime
    >>> sg.every("7d", anchor="Mon 00:00 UTC", entity=Visit.shop).spec.role
    'shop'
    """
    place = here()
    role = _role(entity, "every", place)
    active_tree, reads = _active(active, role, place)
    spec = ObserveSpec(
        "every",
        role,
        step_us=parse_duration(step, "The step of every", place=place),
        anchor_us=parse_anchor(anchor),
        active=active_tree,
    )
    return Grid(spec, reads, place)


def at(moments: Sequence[str], *, entity: Entity, active: FeaturePredicate | None = None) -> Grid:
    """Observe every entity at named moments, in ISO 8601 with an offset, ascending.

    Raises:
        DefinitionError: A moment is not understood or out of order, or `active` reads features of another entity.

    >>> import streamgauge as sg
    >>> class Visit(sg.Event):
    ...     id: sg.EventId
    ...     shop: sg.Entity
    ...     at: sg.EventTime
    >>> sg.at(["1970-01-02T00:00:00Z"], entity=Visit.shop).spec.moments
    (86400000000,)
    """
    place = here()
    role = _role(entity, "at", place)
    if isinstance(moments, str) or not moments:
        raise refuse(f"at takes a list of moments, not {moments!r}.", place)
    parsed = tuple(parse_moment(moment, "Moment") for moment in moments)
    for earlier, later, text in zip(parsed, parsed[1:], moments[1:], strict=False):
        if later <= earlier:
            raise refuse(f'Moment "{text}" is not after the one before it. Write them in order, each once.', place)
    active_tree, reads = _active(active, role, place)
    return Grid(ObserveSpec("at", role, moments=parsed, active=active_tree), reads, place)


def _role(entity: object, what: str, place: Place) -> str:
    if not isinstance(entity, Entity):
        raise refuse(f"{what} takes an Entity field, such as entity=Movement.account.", place, argument="entity")
    return entity.role


def _active(active: object, role: str, place: Place) -> tuple[tuple[object, ...] | None, tuple[FeatureSpec, ...]]:
    if active is None:
        return None, ()
    if not isinstance(active, FeaturePredicate):
        raise refuse(
            "active takes a comparison of features, such as CashFlow.loans > 0, not of an event's fields.",
            place,
            argument="active",
        )
    reads = active.features()
    for feature in reads:
        if feature.role != role:
            raise refuse(
                f"active reads {feature.name} of {feature.role}; observed is {role}.", place, argument="active"
            )
    return active.tree(), reads
