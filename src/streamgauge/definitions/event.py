"""Events: the streams of a project, one class each."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, dataclass_transform

from streamgauge.definitions.aggregates import Selection
from streamgauge.definitions.collect import collect
from streamgauge.definitions.declare import Declaration, field, payload, unknown_kind
from streamgauge.definitions.fields import PAYLOADS, Entity, EventId, EventTime, Field, role_field
from streamgauge.definitions.place import Place, caller, here, refuse, shown
from streamgauge.definitions.roles import MOST_ROLES
from streamgauge.definitions.rows import Rows
from streamgauge.definitions.schema import FieldSpec, StreamSpec
from streamgauge.definitions.windows import parse_duration
from streamgauge.errors import close_match

if TYPE_CHECKING:
    from streamgauge.definitions.conditions import Condition

_RESERVED: Final = {
    "where": "selects rows of an event",
    "all": "selects rows of an event",
    "prior": "selects rows of an event",
    "stream": "names an event's stream",
    "sequence": "orders events that share an event time",
    "revision": "numbers an event's revisions",
    "op": "says whether a revision replaces or deletes",
}
_UNKNOWN: Final = ("refuse", "ignore", "keep")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
class EventMeta(type):
    """The type of event classes: their fields are expressions, and `all`, `prior` and `where` select their rows."""

    __stream__: StreamSpec

    def __new__(
        cls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        feed: bool = False,
        lateness: str = "30d",
        tolerance: str = "5m",
        zone: str | None = None,
        unknown: Literal["refuse", "ignore", "keep"] = "refuse",
    ) -> EventMeta:
        """Declare a stream from a class statement.

        Args:
            name: The class's name, which is the stream's.
            bases: `Event` alone.
            namespace: The class's body.
            feed: Whether the stream is a connection: before its first record aggregates are null, not 0.
            lateness: How long after its event time a record may become known.
            tolerance: How far ahead of its being known an event time may lie.
            zone: The IANA zone of naive timestamps; without it they are refused.
            unknown: What becomes of fields that the class does not declare: the event is refused, or they are ignored,
                or kept with the record as they came, without being used.

        Raises:
            DefinitionError: A field or keyword is wrong.
        """
        made = super().__new__(cls, name, bases, namespace)
        if not bases:
            return made
        place = here()
        if bases != (Event,):
            raise refuse(f"{name} extends {bases[-1].__name__}. An event extends sg.Event alone.", place)
        if not isinstance(feed, bool):
            raise refuse(f"{name} has feed={feed!r}; it is True or False.", place, argument="feed")
        spec = StreamSpec(
            name=name,
            event_id="",
            entity="",
            event_time="",
            fields=(),
            lateness_us=parse_duration(lateness, "lateness", place=place, zero=True, argument="lateness"),
            tolerance_us=parse_duration(tolerance, "tolerance", place=place, zero=True, argument="tolerance"),
            feed=feed,
            zone=_zone(zone, place),
            doc=inspect.getdoc(made) or "",
            unknown=_unknown(unknown, name, place),
        )
        made.__stream__ = _declare(made, spec, namespace, place)
        collect("events", name, made, place)
        return made

    @property
    def all(cls) -> Rows:
        """Every live event, the observed one included."""
        return Rows(Selection(cls.__stream__))

    @property
    def prior(cls) -> Rows:
        """Every live event but the observed one."""
        return Rows(Selection(cls.__stream__, prior=True))

    def where(cls, condition: Condition) -> Rows:
        """Keep the events in which a condition is true."""
        return cls.all.where(condition)


class Event(metaclass=EventMeta):
    """One stream: a fact about one entity or several, with typed fields.

    >>> import streamgauge as sg
    >>> class Payment(sg.Event, lateness="7d"):
    ...     id: sg.EventId
    ...     card: sg.Entity
    ...     at: sg.EventTime
    ...     amount: sg.Money
    >>> Payment(id="p1", card="c1", at=None, amount=None).card
    'c1'
    """

    if not TYPE_CHECKING:

        def __init__(self, **values: object) -> None:
            """Make one event from its fields' values; they are validated when it is ingested."""
            spec = type(self).__stream__
            names = [spec.event_id, *spec.roles, spec.event_time]
            names += [item.name for item in spec.fields if item.name not in spec.roles]
            optional = {item.name for item in spec.fields if not item.required}
            for name in values:
                if name not in names:
                    raise TypeError(f'{spec.name} has no field "{name}". {close_match(name, names)}')
            missing = [name for name in names if name not in values and name not in optional]
            if missing:
                raise TypeError(f"{spec.name} lacks {', '.join(missing)}.")
            for name in names:
                setattr(self, name, values.get(name))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({shown})"


def as_mapping(event: Event) -> dict[str, object]:
    """Return an event in the flat form in which it is sent: its stream and its fields."""
    return {"stream": type(event).__stream__.name, **vars(event)}


def _declare(made: EventMeta, spec: StreamSpec, namespace: dict[str, Any], place: Place) -> StreamSpec:
    annotations = _annotations(made)
    for name, value in namespace.items():
        if isinstance(value, Declaration) and name not in annotations:
            raise refuse(f"{spec.name}.{name} has no kind. Write {name}: sg.Money = sg.field(…).", value.place)
    roles = _roles(annotations, spec.name, place)
    keys = {kind: _only(kind, annotations, spec.name, place) for kind in (EventId, EventTime)}
    named: dict[str, type[Field[Any]]] = {name: kind for kind, name in keys.items()} | dict.fromkeys(roles, Entity)
    payloads: list[FieldSpec] = []
    for name, kind in annotations.items():
        declaration = _declaration(spec.name, name, namespace, place)
        if name in named:
            if declaration.options:
                raise refuse(f"{spec.name}.{name} is the event's {kind.label}: it takes no options.", declaration.place)
            setattr(made, name, named[name](spec.name, roles, name))
            if name in roles and len(roles) > 1:
                payloads.append(role_field(name))
            continue
        if kind not in PAYLOADS.values():
            raise unknown_kind(name, kind, spec.name, place.member(name))
        field_of = payload(kind, name, declaration.options, spec.name, roles, declaration.place)
        payloads.append(field_of.spec)
        setattr(made, name, field_of)
    return replace(
        spec,
        event_id=keys[EventId],
        entity=roles[0],
        event_time=keys[EventTime],
        fields=tuple(payloads),
        other_roles=roles[1:],
    )


def _declaration(stream: str, name: str, namespace: dict[str, Any], place: Place) -> Declaration:
    if not _NAME.fullmatch(name) or name in _RESERVED:
        why = _RESERVED.get(name, "is no plain name")
        raise refuse(f'{stream}.{name} cannot be a field: "{name}" {why}. Choose another name.', place.member(name))
    if name not in namespace:
        return Declaration({}, place)
    declared = namespace[name]
    if not isinstance(declared, Declaration):
        raise refuse(f"{stream}.{name} = {declared!r}: write sg.field(default={declared!r}).", place.member(name))
    return declared


def _annotations(made: EventMeta) -> dict[str, Any]:
    frame = caller()
    if frame is None:
        return inspect.get_annotations(made, eval_str=True)
    return inspect.get_annotations(made, globals=frame.f_globals, locals=dict(frame.f_locals), eval_str=True)


def _roles(annotations: dict[str, Any], stream: str, place: Place) -> tuple[str, ...]:
    names = _named(Entity, annotations, stream, place)
    if len(names) > MOST_ROLES:
        raise refuse(
            f"{stream} has {len(names)} entities ({', '.join(names)}); it may have {MOST_ROLES}, for each pair of them "
            "has records of its own. Make the least needed a Key.",
            place.member(names[MOST_ROLES]),
        )
    return names


def _only(kind: type[Field[Any]], annotations: dict[str, Any], stream: str, place: Place) -> str:
    names = _named(kind, annotations, stream, place)
    if len(names) > 1:
        at = place.member(names[1])
        raise refuse(f"{stream} has several fields of kind {kind.label}: {', '.join(names)}. Keep one.", at)
    return names[0]


def _named(kind: type[Field[Any]], annotations: dict[str, Any], stream: str, place: Place) -> tuple[str, ...]:
    names = tuple(name for name, annotation in annotations.items() if annotation is kind)
    if not names:
        raise refuse(f"{stream} has no {kind.label}. Add a field such as {_EXAMPLES[kind.label]}.", place)
    return names


_EXAMPLES: Final = {"EventId": "id: sg.EventId", "Entity": "account: sg.Entity", "EventTime": "at: sg.EventTime"}


def _unknown(unknown: object, name: str, place: Place) -> str:
    if not isinstance(unknown, str) or unknown not in _UNKNOWN:
        close = close_match(str(unknown), _UNKNOWN)
        raise refuse(f"{name} has unknown={shown(unknown)}: refuse, ignore or keep. {close}", place, argument="unknown")
    return unknown


def _zone(zone: str | None, place: Place) -> str | None:
    if zone is None:
        return None
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, TypeError, OSError):
        known = close_match(str(zone), available_timezones())
        raise refuse(f"zone={zone!r} is no IANA time zone. {known}", place, argument="zone") from None
    return zone
