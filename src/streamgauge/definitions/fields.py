"""The kinds of field an event declares: an expression on the class, a value on an event."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NoReturn, TypeVar, overload

from streamgauge.definitions.conditions import Condition, Predicate, Quantity
from streamgauge.definitions.place import refuse
from streamgauge.definitions.schema import UNIT_LIMIT, FieldKind, FieldSpec
from streamgauge.definitions.terms import Amount, Term, same_stream, to_units
from streamgauge.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from streamgauge.definitions.event import Event, EventMeta

T = TypeVar("T")


class Field(Generic[T]):
    """A declared field: ``Movement.amount`` is an expression, ``movement.amount`` a value of type `T`."""

    label: ClassVar[str] = "Field"
    __hash__ = object.__hash__

    def __init__(self, stream: str, roles: tuple[str, ...], name: str) -> None:
        """Keep whose field it is: of which stream, and the entities' fields of that stream."""
        self.stream = stream
        self.roles = roles
        self.name = name

    @property
    def role(self) -> str:
        """The stream's primary role."""
        return self.roles[0]

    @property
    def text(self) -> str:
        """How a message shows the field."""
        return f"{self.stream}.{self.name}"

    @overload
    def __get__(self, instance: None, owner: EventMeta) -> Self: ...
    @overload
    def __get__(self, instance: Event, owner: EventMeta) -> T: ...
    def __get__(self, instance: Event | None, owner: EventMeta) -> Self | T:
        if instance is None:
            return self
        value: T = instance.__dict__[self.name]
        return value

    def __set__(self, instance: Event, value: T) -> None:
        instance.__dict__[self.name] = value


class EventId(Field[str]):
    """The event's id, unique within its stream and entity.

    >>> import streamgauge as sg
    >>> class Visit(sg.Event):
    ...     visit: sg.EventId
    ...     shop: sg.Entity
    ...     at: sg.EventTime
    ...     spent: sg.Money = sg.field(low=0)
    ...     minutes: sg.Number = sg.field(decimals=1)
    ...     people: sg.Integer
    ...     member: sg.Flag = sg.field(default=False)
    ...     kind: sg.Category = sg.field(levels=["walk-in", "booked"])
    ...     customer: sg.Key = sg.field(default=None)
    >>> Visit.__stream__.event_id
    'visit'
    """

    label = "EventId"


class Entity(Field[str]):
    """The id of an entity the event is about; the field's name is the entity's role.

    An event about several entities (a payment: its card and its merchant) has several such fields, at most four. The
    first is the primary one: it triggers scores. Each is then a `Key` of the payload too.

    >>> import streamgauge as sg
    >>> class Payment(sg.Event):
    ...     id: sg.EventId
    ...     card: sg.Entity
    ...     merchant: sg.Entity
    ...     at: sg.EventTime
    >>> Payment.__stream__.roles
    ('card', 'merchant')
    """

    label = "Entity"

    @property
    def role(self) -> str:
        """The field's own name."""
        return self.name

    def as_key(self) -> Key | None:
        """Return the same field of the payload, where the event has several entities."""
        return Key(self.stream, self.roles, role_field(self.name)) if len(self.roles) > 1 else None


def role_field(name: str) -> FieldSpec:
    """Return the payload field of an entity's field, of an event that has several."""
    return FieldSpec(name, FieldKind.KEY)


class EventTime(Field[datetime]):
    """When the event happened."""

    label = "EventTime"


class Payload(Field[T]):
    """A field of an event's payload."""

    kind: ClassVar[FieldKind]

    def __init__(self, stream: str, roles: tuple[str, ...], spec: FieldSpec) -> None:
        """Keep whose field it is and what it holds."""
        super().__init__(stream, roles, spec.name)
        self.spec = spec

    def is_null(self) -> Predicate:
        """Keep the rows in which the field is null."""
        return Predicate(self.stream, ("is_null", ("field", self.name)))

    def is_not_null(self) -> Predicate:
        """Keep the rows in which the field is not null."""
        return ~self.is_null()

    def units(self, value: object) -> int:
        """Return the int64 that stands for a literal of this field.

        Raises:
            DefinitionError: The field cannot hold it.
        """
        raise NotImplementedError

    def among(self, values: object) -> Predicate:
        """Return the condition that the field holds one of some literals."""
        if isinstance(values, str) or not isinstance(values, list | tuple | set | frozenset):
            raise refuse(f'{self.text}.is_in takes a list such as ["a", "b"], not {values!r}.')
        if not values:
            raise refuse(f"{self.text}.is_in has an empty list, which keeps nothing.")
        if any(value is None for value in values):
            raise refuse(f"{self.text}.is_in takes no None. Add | {self.text}.is_null().")
        units = sorted({self.units(value) for value in values})
        return Predicate(self.stream, ("in", ("field", self.name), tuple(units)))


class Numeric(Payload[T], Quantity):
    """A payload field whose values add up."""

    __hash__ = object.__hash__

    def term(self) -> Term:
        """Return the field as an integer expression, with the bounds it declares."""
        low = -UNIT_LIMIT if self.spec.low is None else self.spec.low
        high = UNIT_LIMIT if self.spec.high is None else self.spec.high
        return Term(self.stream, ("field", self.name), self.spec.decimals, low, high, self.text)

    def units(self, value: object) -> int:
        """Return a literal in the field's units."""
        return to_units(value, self.spec.decimals, self.text)

    def is_in(self, values: Sequence[Amount]) -> Predicate:
        """Keep the rows in which the field is one of some numbers."""
        return self.among(values)


class Money(Numeric[Decimal]):
    """An amount in major units (``"-12.50"``), held exactly in minor units; 2 decimals unless declared."""

    label = "Money"
    kind = FieldKind.MONEY


class Number(Numeric[Decimal]):
    """A decimal number with declared decimals: ``sg.field(decimals=1)``."""

    label = "Number"
    kind = FieldKind.NUMBER


class Integer(Numeric[int]):
    """A whole number."""

    label = "Integer"
    kind = FieldKind.INTEGER


class Flag(Numeric[bool], Condition):
    """True or false; a condition by itself: ``Instalment.where(Instalment.early)``."""

    label = "Flag"
    kind = FieldKind.FLAG
    __hash__ = object.__hash__

    def term(self) -> Term:
        """Return the flag as 0 or 1."""
        return Term(self.stream, ("field", self.name), 0, 0, 1, self.text)

    def predicate(self) -> Predicate:
        """Return the condition that the flag is true."""
        return Predicate(self.stream, ("eq", ("field", self.name), ("int", 1)))

    def units(self, value: object) -> int:
        """Return 0 or 1."""
        if value not in (0, 1):
            raise refuse(f"{self.text} is a Flag: it is True or False, not {value!r}.")
        return int(bool(value))

    def __eq__(self, other: Quantity | Amount) -> Predicate:  # type: ignore[override]
        return super().__eq__(int(other) if isinstance(other, bool) else other)

    def __ne__(self, other: Quantity | Amount) -> Predicate:  # type: ignore[override]
        return super().__ne__(int(other) if isinstance(other, bool) else other)


class Text(Payload[str]):
    """A payload field with equality only."""

    __hash__ = object.__hash__

    def units(self, value: object) -> int:
        """Return the index of a declared level, or the hash of a text."""
        if not isinstance(value, str):
            hint = " Use .is_null()." if value is None else ""
            raise refuse(f"{self.text} is a {self.label}: it is compared with a text, not {value!r}.{hint}")
        levels = self.spec.levels
        if levels is None:
            from streamgauge.definitions.texts import hash_text

            return hash_text(value)
        if value not in levels:
            raise refuse(f'"{value}" is no level of {self.text}. {close_match(value, levels)}')
        return levels.index(value)

    def is_in(self, values: Sequence[str]) -> Predicate:
        """Keep the rows in which the field is one of some texts; a null is none of them."""
        return self.among(values)

    def __eq__(self, other: Text | str) -> Predicate:  # type: ignore[override]
        return self._equal("eq", other)

    def __ne__(self, other: Text | str) -> Predicate:  # type: ignore[override]
        return self._equal("ne", other)

    def __bool__(self) -> None:  # no bool, so that type checkers refuse `not` and `if`
        raise refuse(f"{self.text} has no truth value while the file is loaded. Compare it: {self.text} == …")

    def _equal(self, op: str, other: Text | str) -> Predicate:
        if not isinstance(other, Text):
            return Predicate(self.stream, (op, ("field", self.name), ("int", self.units(other))))
        if self.spec.levels != other.spec.levels:
            raise refuse(f"{self.text} and {other.text} have different levels: their codes cannot be compared.")
        stream = same_stream(self.stream, other.stream, f"{self.text} and {other.text}")
        return Predicate(stream, (op, ("field", self.name), ("field", other.name)))

    if not TYPE_CHECKING:

        def __lt__(self, _other: object) -> NoReturn:
            raise refuse(
                f"{self.text} is a {self.label}: it has ==, !=, is_in and is_null only, no order or arithmetic."
            )

        __le__ = __gt__ = __ge__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __lt__


class Category(Text):
    """One of some texts: of declared ``levels``, or open."""

    label = "Category"
    kind = FieldKind.CATEGORY


class Key(Text):
    """An identifier such as a counterparty: equality, `distinct` and `top_share` only."""

    label = "Key"
    kind = FieldKind.KEY


class Ref(Text):
    """A key that holds the id of an event of another stream, under the same entity: ``sg.field(to=Loan)``."""

    label = "Ref"
    kind = FieldKind.REF


PAYLOADS: Final[dict[str, type[Payload[Any]]]] = {
    kind.label: kind for kind in (Money, Number, Integer, Flag, Category, Key, Ref)
}
