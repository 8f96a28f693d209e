"""`field`: how a payload field differs from its kind's plain form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from streamgauge.definitions.fields import PAYLOADS, Payload
from streamgauge.definitions.place import Place, here, placed, refuse
from streamgauge.definitions.schema import FieldKind, FieldSpec
from streamgauge.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.definitions.event import EventMeta
    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.definitions.terms import Amount

_UNSET: Final[Any] = object()
_MOST_DECIMALS: Final = 9
_MONEY_DECIMALS: Final = 2
_NUMBERS: Final = {"default", "low", "high"}
_OPTIONS: Final[dict[FieldKind, set[str]]] = {
    FieldKind.MONEY: _NUMBERS | {"decimals", "round"},
    FieldKind.NUMBER: _NUMBERS | {"decimals", "round"},
    FieldKind.INTEGER: _NUMBERS,
    FieldKind.FLAG: {"default"},
    FieldKind.CATEGORY: {"default", "levels"},
    FieldKind.KEY: {"default"},
    FieldKind.REF: {"default", "to"},
}


@dataclass(frozen=True, slots=True)
class Declaration:
    """The options of a field as they were written."""

    options: dict[str, Any]
    place: Place


def field(
    *,
    default: object = _UNSET,
    levels: Sequence[str] = _UNSET,
    decimals: int = _UNSET,
    low: Amount = _UNSET,
    high: Amount = _UNSET,
    round: bool = _UNSET,  # noqa: A002 - the word a user writes
    to: EventMeta = _UNSET,
) -> Any:  # noqa: ANN401 - stands for a field of any kind, as in dataclasses
    """Declare a payload field's options.

    Args:
        default: The value of an event that leaves the field out, None for null; without it the field is required.
        levels: The accepted texts of a `Category`.
        decimals: How many decimals a `Money` (2 unless said) or `Number` has.
        low: The smallest accepted value, in major units.
        high: The largest accepted value, in major units.
        round: Whether a value with more decimals is rounded half to even, rather than refused.
        to: The event a `Ref` points to.

    Raises:
        DefinitionError: When the event is declared, if its kind has no such option or the value does not fit.

    >>> import streamgauge as sg
    >>> class Trip(sg.Event):
    ...     id: sg.EventId
    ...     car: sg.Entity
    ...     at: sg.EventTime
    ...     km: sg.Number = sg.field(decimals=1, low=0)
    """
    options = {
        "default": default,
        "levels": levels,
        "decimals": decimals,
        "low": low,
        "high": high,
        "round": round,
        "to": to,
    }
    return Declaration({name: value for name, value in options.items() if value is not _UNSET}, here())


def payload(
    kind: type[Payload[Any]], name: str, options: dict[str, Any], stream: str, roles: tuple[str, ...], place: Place
) -> Payload[Any]:
    """Return the field that an annotation and its options declare.

    Raises:
        DefinitionError: The kind has no such option, or a value does not fit.
    """
    text = f"{stream}.{name}"
    for option in options:
        if option not in _OPTIONS[kind.kind]:
            owners = ", ".join(sorted(label for label, other in PAYLOADS.items() if option in _OPTIONS[other.kind]))
            raise refuse(f"{text} is a {kind.label}, which has no {option}=; {owners} has it.", place, argument=option)
    spec = FieldSpec(
        name,
        kind.kind,
        decimals=_decimals(kind, options, text, place),
        required="default" not in options,
        levels=_levels(options, text, place),
        rounds=bool(options.get("round", False)),
        to=_target(kind, options, text, roles, place),
    )
    draft = kind(stream, roles, spec)
    low, high = (_bound(draft, options, option, place) for option in ("low", "high"))
    if low is not None and high is not None and low > high:
        raise refuse(f"{text} has low={options['low']} above high={options['high']}.", place, argument="low")
    bounded = kind(stream, roles, replace(spec, low=low, high=high))
    return kind(stream, roles, replace(bounded.spec, default=_default(bounded, options, place)))


def _decimals(kind: type[Payload[Any]], options: dict[str, Any], text: str, place: Place) -> int:
    if kind.kind is FieldKind.NUMBER and "decimals" not in options:
        raise refuse(
            f"{text} is a Number without decimals. Write sg.field(decimals=2).", place.member(text.rpartition(".")[2])
        )
    decimals = options.get("decimals", _MONEY_DECIMALS if kind.kind is FieldKind.MONEY else 0)
    if isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals <= _MOST_DECIMALS:
        raise refuse(f"{text} has decimals={decimals!r}; it may be 0 to {_MOST_DECIMALS}.", place, argument="decimals")
    return decimals


def _levels(options: dict[str, Any], text: str, place: Place) -> tuple[str, ...] | None:
    if "levels" not in options:
        return None
    levels = options["levels"]
    if not isinstance(levels, list | tuple) or not levels or not all(isinstance(level, str) for level in levels):
        raise refuse(f'{text} has levels={levels!r}. Write a list of texts: ["a", "b"].', place, argument="levels")
    twice = sorted({level for level in levels if levels.count(level) > 1})
    if twice:
        raise refuse(f'{text} declares the level "{twice[0]}" twice.', place, argument="levels")
    return tuple(levels)


def _target(
    kind: type[Payload[Any]], options: dict[str, Any], text: str, roles: tuple[str, ...], place: Place
) -> str | None:
    if kind.kind is not FieldKind.REF:
        return None
    target: StreamSpec | None = getattr(options.get("to"), "__stream__", None)
    if target is None:
        at = place.argument("to") if "to" in options else place.member(text.rpartition(".")[2])
        raise refuse(f"{text} is a Ref: say which event it points to, sg.field(to=Loan).", at)
    if target.entity not in roles:
        raise refuse(
            f"{text} points to {target.name}, whose entity is {target.entity}, not {' or '.join(roles)}. A Ref points "
            "to an event of the same entity.",
            place,
            argument="to",
        )
    return target.name


def _bound(field: Payload[Any], options: dict[str, Any], option: str, place: Place) -> int | None:
    if option not in options:
        return None
    with placed(place, option):
        return field.units(options[option])


def _default(field: Payload[Any], options: dict[str, Any], place: Place) -> int:
    value, spec = options.get("default"), field.spec
    if value is None:
        return spec.default
    if spec.is_text:
        raise refuse(f"{field.text} is a text: its default may only be None.", place, argument="default")
    with placed(place, "default"):
        units = field.units(value)
    if (spec.low is not None and units < spec.low) or (spec.high is not None and units > spec.high):
        raise refuse(f"default={value!r} of {field.text} is outside low and high.", place, argument="default")
    return units


def unknown_kind(name: str, annotation: object, stream: str, place: Place) -> Exception:
    """Return the error for an annotation that is no kind of field."""
    shown = getattr(annotation, "__name__", str(annotation))
    known = ["EventId", "Entity", "EventTime", *PAYLOADS]
    return refuse(
        f'{stream}.{name} is annotated with "{shown}", which is no kind of field. {close_match(shown, known)}', place
    )
