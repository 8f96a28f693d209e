"""Protected attributes: of people, apart from everything a model may read."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from streamgauge.definitions.collect import collect
from streamgauge.definitions.declare import Declaration, payload, unknown_kind
from streamgauge.definitions.fields import Category, Entity, Flag, Integer, Money, Number
from streamgauge.definitions.place import Place, caller, here, refuse
from streamgauge.definitions.specs import ProtectedSpec

if TYPE_CHECKING:
    from streamgauge.definitions.schema import FieldSpec

_KINDS: Final = (Category, Flag, Integer, Number, Money)


class _ProtectedMeta(type):
    """Refuses to give an attribute: type checkers see no value in it either."""

    if not TYPE_CHECKING:

        def __getattr__(cls, name: str) -> Any:  # noqa: ANN401 - never returns one
            """Refuse a declared attribute by name; anything else is missing as usual."""
            spec = cls.__dict__.get("__protected__")
            if spec is not None and name in spec.names:
                raise refuse(
                    f"{spec.name}.{name} is a protected attribute: no feature, condition, label or model may read it. "
                    "It is compared with scores in the fairness report alone. Take it out."
                )
            raise AttributeError(f"{cls.__name__} has no {name}", name=name, obj=cls)


class Protected(metaclass=_ProtectedMeta):
    """Attributes of people that no model input can name; they are stored apart, for fairness reports alone.

    >>> import streamgauge as sg
    >>> class Visit(sg.Event):
    ...     id: sg.EventId
    ...     customer: sg.Entity
    ...     at: sg.EventTime
    >>> class Person(sg.Protected, entity=Visit.customer):
    ...     sex: sg.Category
    ...     born: sg.Integer
    >>> Visit.where(Person.born > 1990)
    Traceback (most recent call last):
        ...
    streamgauge.errors.DefinitionError: ...: Person.born is a protected attribute: no feature, condition, label or ...
    """

    def __init_subclass__(cls, *, entity: Entity) -> None:
        """Declare the attributes of an entity's people.

        Raises:
            DefinitionError: `entity` is no entity field, or an attribute is of no kind that can be compared.
        """
        place = here()
        if not isinstance(entity, Entity):
            raise refuse(
                f"{cls.__name__} takes an Entity field, such as entity=Session.customer.", place, argument="entity"
            )
        fields = _fields(cls, entity.role, place)
        if not fields:
            raise refuse(f"{cls.__name__} has no attribute. Declare one: sex: sg.Category.", place)
        spec = ProtectedSpec(cls.__name__, entity.role, fields, doc=inspect.getdoc(cls) or "", line=place.line)
        type.__setattr__(cls, "__protected__", spec)
        collect("protected", cls.__name__, spec, place)


def is_protected(value: object) -> bool:
    """Return whether a value is a class of protected attributes."""
    return isinstance(value, _ProtectedMeta)


def _fields(cls: type, role: str, place: Place) -> tuple[FieldSpec, ...]:
    frame = caller()
    scope = {} if frame is None else {"globals": frame.f_globals, "locals": dict(frame.f_locals)}
    found = []
    for name, kind in inspect.get_annotations(cls, eval_str=True, **scope).items():
        at = place.member(name)
        if kind not in _KINDS:
            known = ", ".join(one.label for one in _KINDS)
            if getattr(kind, "label", None) is None:
                raise unknown_kind(name, kind, cls.__name__, at)
            raise refuse(f"{cls.__name__}.{name} is of kind {kind.label}. A protected attribute is one of {known}.", at)
        value = vars(cls).get(name)
        if value is not None and not isinstance(value, Declaration):
            raise refuse(f"{cls.__name__}.{name} = {value!r}: a protected attribute has no value here.", at)
        options = {} if value is None else value.options
        if "default" in options:
            raise refuse(f"{cls.__name__}.{name} takes no default: what is not known of a person is null.", at)
        found.append(payload(kind, name, options, cls.__name__, (role,), place if value is None else value.place).spec)
        if value is not None:
            delattr(cls, name)
    return tuple(found)
