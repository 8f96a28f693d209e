"""What a stream's records look like once the project file is loaded: plain, frozen, comparable, free of any library.

Values travel as **int64 units**: money and numbers times ``10**decimals``, integers and flags as they are, a
category with
declared levels as the index of its level, and open categories, keys and references as the 64-bit hash of their text
(`streamgauge.definitions.texts.hash_text`). Null is ``NULL``, the smallest int64, which no value can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NULL: Final = -(2**63)
"""The one null of an int64 column."""

UNIT_LIMIT: Final = 2**40
"""No accepted number is larger than this many units in magnitude; it keeps every moment within 128 bits."""


class FieldKind(StrEnum):
    """The kinds of payload field."""

    MONEY = "money"
    NUMBER = "number"
    INTEGER = "integer"
    FLAG = "flag"
    CATEGORY = "category"
    KEY = "key"
    REF = "ref"


NUMERIC: Final = frozenset({FieldKind.MONEY, FieldKind.NUMBER, FieldKind.INTEGER, FieldKind.FLAG})
"""Kinds whose units can be added up."""


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One payload field of a stream.

    Attributes:
        name: The field's name, as it stands in the class and in an event.
        kind: What it holds.
        decimals: Units per major unit are ``10**decimals``; 0 for all but money and numbers.
        required: Whether an event without it is quarantined.
        default: The units taken when the field is absent and not required (``NULL`` for null).
        low: The smallest accepted value in units, or None.
        high: The largest accepted value in units, or None.
        levels: The accepted texts of a closed category, in order of their codes, or None.
        rounds: Whether a number with more decimals than declared is rounded (half to even) rather than refused.
        to: The stream a reference points to, or None.
    """

    name: str
    kind: FieldKind
    decimals: int = 0
    required: bool = True
    default: int = NULL
    low: int | None = None
    high: int | None = None
    levels: tuple[str, ...] | None = None
    rounds: bool = False
    to: str | None = None

    @property
    def is_text(self) -> bool:
        """Whether the log keeps the field's text beside its units (open categories, keys, references)."""
        return self.kind in {FieldKind.KEY, FieldKind.REF} or (self.kind is FieldKind.CATEGORY and self.levels is None)


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One declared stream.

    Attributes:
        name: The stream's name: its class name.
        event_id: The name of the field holding the event's id, unique within stream and entity.
        entity: The name of the field holding the entity's id; it is the entity's role, the primary one of several.
        event_time: The name of the field holding the event time.
        fields: The payload fields in the order of their declaration.
        lateness_us: How long after its event time a record may become known.
        tolerance_us: How far ahead of its being known an event time may lie.
        feed: Whether the stream is a connection: before its first record aggregates are null, not 0.
        zone: The IANA zone of naive timestamps, or None where they are refused.
        doc: The class's docstring.
        unknown: What becomes of fields that it does not declare: ``refuse`` the event, ``ignore`` or ``keep`` them.
        other_roles: The further fields that hold an entity's id, in order; then every role is a payload field too.
    """

    name: str
    event_id: str
    entity: str
    event_time: str
    fields: tuple[FieldSpec, ...]
    lateness_us: int
    tolerance_us: int
    feed: bool = False
    zone: str | None = None
    doc: str = ""
    other_roles: tuple[str, ...] = ()
    unknown: str = "refuse"

    @property
    def roles(self) -> tuple[str, ...]:
        """The fields that hold an entity's id, the primary one first."""
        return (self.entity, *self.other_roles)

    def field(self, name: str) -> FieldSpec:
        """Return the payload field of that name.

        Raises:
            KeyError: The stream has no such field.
        """
        for spec in self.fields:
            if spec.name == name:
                return spec
        raise KeyError(name)

    def column(self, name: str) -> int:
        """Return the index of a payload field in the record's units.

        Raises:
            KeyError: The stream has no such field.
        """
        for index, spec in enumerate(self.fields):
            if spec.name == name:
                return index
        raise KeyError(name)
