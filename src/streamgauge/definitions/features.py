"""Features: classes whose attributes are columns of a dataset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar

from streamgauge.definitions.aggregates import levels_of
from streamgauge.definitions.collect import collect
from streamgauge.definitions.conditions import Condition
from streamgauge.definitions.expressions import Feature, FeaturePredicate, Named, Notes, Windows, derive
from streamgauge.definitions.fields import Category, Entity, Field, Numeric, Payload
from streamgauge.definitions.place import Place, here, refuse, shown
from streamgauge.definitions.roles import members, pair_role
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, WindowSpec
from streamgauge.definitions.windows import parse_duration
from streamgauge.errors import close_match

if TYPE_CHECKING:
    from streamgauge.definitions.terms import Amount

F = TypeVar("F", bound="Feature | Windows[Any]")
_PAIR: Final = 2
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


@dataclass(frozen=True, slots=True)
class FeaturesDefinition:
    """What a ``Features`` class defines."""

    name: str
    role: str
    features: tuple[FeatureSpec, ...]


class Features:
    """A group of features of one entity; an attribute is a feature, a list of windows one feature for each.

    Class keywords: ``entity``, a field such as ``Movement.account`` or a pair of an event's entities such as
    ``(Payment.card, Payment.merchant)``, and ``reach``, how far back ``"last n"`` and ``since_below`` look. Attributes
    that start with an underscore are intermediate results.

    >>> import streamgauge as sg
    >>> class Payment(sg.Event):
    ...     id: sg.EventId
    ...     card: sg.Entity
    ...     at: sg.EventTime
    ...     amount: sg.Money
    >>> class Card(sg.Features, entity=Payment.card):
    ...     spend = Payment.all.sum(Payment.amount, over=["1d", "7d"])
    ...     pace = spend["1d"] / (spend["7d"] / 7)
    >>> [feature.name for feature in Card.__definition__.features]
    ['Card.spend_1d', 'Card.spend_7d', 'Card.pace']
    """

    __definition__: ClassVar[FeaturesDefinition]

    def __init_subclass__(cls, *, entity: Entity | tuple[Entity, Entity], reach: str | None = None) -> None:
        """Name and check the class's features.

        Raises:
            DefinitionError: A feature needs a reach, is of another entity, or has the name of another.
        """
        place = here()
        if cls.__bases__ != (Features,):
            raise refuse(f"{cls.__name__} extends {cls.__bases__[-1].__name__}. It extends sg.Features alone.", place)
        role = _role(cls.__name__, entity, place)
        reach_us = None if reach is None else parse_duration(reach, "reach", place=place, argument="reach")
        found: dict[str, FeatureSpec] = {}
        for attribute, value in list(vars(cls).items()):
            if attribute.startswith("_"):
                continue
            for suffix, item in _columns(cls.__name__, attribute, value, place):
                name = f"{cls.__name__}.{attribute}{suffix}"
                if item.named is not None:
                    written = place.member(attribute)
                    raise refuse(f"{name} is {item.named.spec.name} under another name. Write it once.", written)
                spec = _named(item, name, role, reach_us, cls.__name__)
                if spec.name in found:
                    raise refuse(f"{spec.name} is defined twice, once by a window's suffix. Rename one.", item.place)
                found[spec.name] = spec
        if not found:
            raise refuse(f"{cls.__name__} has no feature.", place)
        cls.__definition__ = FeaturesDefinition(cls.__name__, role, tuple(found.values()))
        collect("features", cls.__name__, cls, place)


def feature(
    value: F,
    *,
    risk: Literal["up", "down"] | None = None,
    code: str | None = None,
    reason: str | None = None,
    why: str | None = None,
    leak_waiver: str | None = None,
) -> F:
    """Say more about a feature, or about each window of a list.

    Args:
        value: The feature.
        risk: ``up`` if a model's risk may only rise with it, ``down`` if it may only fall.
        code: Its adverse action reason code.
        reason: The code's text, as an applicant reads it.
        why: The rationale of `risk`.
        leak_waiver: Why a refusal of the leak check is waived.

    Raises:
        DefinitionError: It is no feature, a category with `risk`, or has a code without a reason.

    >>> import streamgauge as sg
    >>> class Payment(sg.Event):
    ...     id: sg.EventId
    ...     card: sg.Entity
    ...     at: sg.EventTime
    >>> class Card(sg.Features, entity=Payment.card):
    ...     n = sg.feature(Payment.all.count(over="1d"), risk="up", code="C1", reason="Many payments in a day")
    >>> Card.__definition__.features[0].code
    'C1'
    """
    place = here()
    if not isinstance(value, Feature | Windows):
        raise refuse(f"feature takes an aggregate or an expression of features, not {shown(value)}.", place)
    if risk not in (None, "up", "down"):
        raise refuse(f'risk={risk!r} is not understood. It is "up" or "down".', place, argument="risk")
    if (code is None) != (reason is None):
        given, lacking = ("code", "reason") if reason is None else ("reason", "code")
        raise refuse(f"A {given} without a {lacking}: an adverse action reason has both.", place, argument=given)
    if code is not None:
        check_code(code, str(reason), place)
    if leak_waiver is not None and not str(leak_waiver).strip():
        raise refuse("leak_waiver is empty. Say why the leak is none.", place, argument="leak_waiver")
    notes = Notes(risk, code, reason, why, leak_waiver, place)
    parts = [value] if isinstance(value, Feature) else [item for _, item in value.features.values()]
    for item in parts:
        if item.notes is not None or item.named is not None:
            raise refuse("This feature is declared already. Call sg.feature once, where it is defined.", place)
        if risk is not None and item.levels is not None:
            raise refuse(
                "risk= is for numbers; this feature is a category, which has no order.", place, argument="risk"
            )
        item.notes = notes
        item.place = place
    return value


def check_code(code: object, reason: object, place: Place) -> None:
    """Refuse a reason code or text that cannot be printed on a notice."""
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise refuse(f'code={code!r} is no code. Write letters and digits, such as "R01".', place, argument="code")
    if not isinstance(reason, str) or not reason.strip():
        raise refuse(f"The reason of {code} is empty. Write what an applicant may read.", place, argument="reason")


def minimum(first: Feature | Amount, *others: Feature | Amount) -> Feature:
    """Return the smallest of features and numbers; null with any null.

    >>> import streamgauge as sg
    >>> class Visit(sg.Event):
    ...     id: sg.EventId
    ...     shop: sg.Entity
    ...     at: sg.EventTime
    >>> class Shop(sg.Features, entity=Visit.shop):
    ...     visits = Visit.all.count(over=["1d", "7d"])
    ...     x = sg.minimum(visits["1d"], 3)
    >>> Shop.__definition__.features[2].expression[0]
    'min'
    """
    return _fold("min", first, others)


def maximum(first: Feature | Amount, *others: Feature | Amount) -> Feature:
    """Return the largest of features and numbers; null with any null.

    >>> import streamgauge as sg
    >>> class Visit(sg.Event):
    ...     id: sg.EventId
    ...     shop: sg.Entity
    ...     at: sg.EventTime
    >>> class Shop(sg.Features, entity=Visit.shop):
    ...     visits = Visit.all.count(over=["1d", "7d"])
    ...     x = sg.maximum(visits["1d"], visits["7d"] / 7)
    >>> Shop.__definition__.features[2].expression[0]
    'max'
    """
    return _fold("max", first, others)


def coalesce(first: Feature | Amount, *others: Feature | Amount) -> Feature:
    """Return the first of features and numbers that is not null.

    >>> import streamgauge as sg
    >>> class Visit(sg.Event):
    ...     id: sg.EventId
    ...     shop: sg.Entity
    ...     at: sg.EventTime
    >>> class Shop(sg.Features, entity=Visit.shop):
    ...     visits = Visit.all.count(over=["1d", "7d"])
    ...     x = sg.coalesce(visits["1d"] / visits["7d"], 0)
    >>> Shop.__definition__.features[2].expression[2]
    ('const', 0.0)
    """
    return _fold("coalesce", first, others)


def observed(field: Field[Any], place: Place) -> FeatureSpec:
    """Return the feature that is a field of the observed event itself.

    Raises:
        DefinitionError: The field is no number and no category.
    """
    if not isinstance(field, Payload) or not isinstance(field, Numeric | Category):
        raise refuse(
            f"{field.text} is of kind {field.label}: it has no order and no levels, so a model cannot read it.",
            place,
            argument="features",
        )
    spec = AggregateSpec("observed", field.stream, WindowSpec("life"), field=field.name, decimals=field.spec.decimals)
    return FeatureSpec(field.text, ("agg", spec), field.role, levels=levels_of(field), line=place.line)


def _fold(op: str, first: Feature | Amount, others: tuple[Feature | Amount, ...]) -> Feature:
    if not others or not any(isinstance(item, Feature) for item in (first, *others)):
        raise refuse(f"{_NAMES[op]} takes two or more values, at least one of them a feature.")
    result = first
    for item in others:
        result = derive(op, result, item)
    assert isinstance(result, Feature)  # noqa: S101 - narrows the type
    return result


_NAMES: Final = {"min": "minimum", "max": "maximum", "coalesce": "coalesce"}


def _columns(owner: str, attribute: str, value: object, place: Place) -> list[tuple[str, Feature]]:
    if isinstance(value, Feature):
        return [("", value)]
    if isinstance(value, Windows):
        return list(value.features.values())
    if isinstance(value, Field):
        raise refuse(
            f"{owner}.{attribute} is the field {value.text}, no feature. Aggregate it, or name {value.text} in a "
            "model's features.",
            place.member(attribute),
        )
    if isinstance(value, Condition | FeaturePredicate):
        raise refuse(f"{owner}.{attribute} is a condition, no feature.", place.member(attribute))
    raise refuse(
        f"{owner}.{attribute} is {shown(value)}, no feature. Start its name with _ if it is an intermediate result.",
        place.member(attribute),
    )


def _role(owner: str, entity: object, place: Place) -> str:
    """Return the role that ``entity=`` names: a field's, or a pair's."""
    fields = entity if isinstance(entity, tuple) else (entity,)
    for one in fields:
        if not isinstance(one, Entity):
            raise refuse(
                f"{owner} has entity={shown(one)}. Name an Entity field, such as entity=Movement.account.",
                place,
                argument="entity",
            )
    if len(fields) == 1:
        return str(fields[0].role)
    if len(fields) != _PAIR:
        raise refuse(
            f"{owner} has {len(fields)} entities. It is of one, or of a pair such as "
            "entity=(Payment.card, Payment.merchant).",
            place,
            argument="entity",
        )
    first, second = fields
    if first.stream != second.stream:
        known = [f"{first.stream}.{name}" for name in first.roles if name != first.name]
        raise refuse(
            f"{owner} pairs {first.text} with {second.text}, of another event. A pair is two entities of one event. "
            f"{close_match(f'{first.stream}.{second.name}', known)}",
            place,
            argument="entity",
        )
    if first.name == second.name:
        raise refuse(f"{owner} pairs {first.text} with itself. Name one entity, or two.", place, argument="entity")
    return pair_role(first.name, second.name)


def _check_roles(item: Feature, name: str, role: str, owner: str) -> None:
    """Refuse what an entity of the class's role, or either of its pair, has no rows of."""
    own = members(role)
    for root in item.roots():
        if root.named is not None:
            if not set(members(root.named.spec.role)) <= set(own):
                raise refuse(
                    f"{name} reads {root.named.spec.name} of {root.named.spec.role}; {owner} is of {role}, which does "
                    "not say whose. Derive it in a class of the pair, or use both features side by side.",
                    item.place,
                )
            continue
        leaf = root.leaf
        lacking = () if leaf is None else tuple(one for one in own if one not in leaf.roles)
        if leaf is not None and lacking:
            have = "whose entity is" if len(leaf.roles) == 1 else "whose entities are"
            known = [one for one in leaf.roles if one not in own]
            raise refuse(
                f"{name} aggregates {leaf.spec.stream}, {have} {' and '.join(leaf.roles)}; {owner} is of {role}. "
                f"Use a stream that has an entity field named {lacking[0]}. {close_match(lacking[0], known)}",
                leaf.place,
            )


def _named(item: Feature, name: str, role: str, reach_us: int | None, owner: str) -> FeatureSpec:
    _check_roles(item, name, role, owner)
    notes = item.notes
    spec = FeatureSpec(
        name,
        item.tree(reach_us, role),
        role,
        levels=item.levels,
        risk=None if notes is None else notes.risk,
        code=None if notes is None else notes.code,
        reason=None if notes is None else notes.reason,
        why=None if notes is None else notes.why,
        leak_waiver=None if notes is None else notes.leak_waiver,
        line=item.place.line,
    )
    item.named = Named(spec, owner)
    return spec
