"""Validation: a flat event becomes a record that the log can accept, or is refused with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from struct import Struct
from typing import Final

from streamgauge.definitions.schema import NULL, FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.texts import hash_text
from streamgauge.errors import EventRejected, close_match
from streamgauge.events.content import content_digest, encode_texts
from streamgauge.events.record import DELETE, INSERT, REPLACE, NewRecord
from streamgauge.events.unknown import UnknownFields, with_kept
from streamgauge.events.values import (
    parse_decimal,
    parse_flag,
    parse_id,
    parse_level,
    parse_text,
    parse_time,
    shown,
)

OPS: Final = {"insert": INSERT, "replace": REPLACE, "delete": DELETE}
ENVELOPE: Final = ("stream", "sequence", "revision", "op")
"""What an event may say beside its stream's fields."""

REVISION_LIMIT: Final = 2**31 - 1
SEQUENCE_LIMIT: Final = 2**63 - 1

_KEY_SHOWN: Final = 64
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")


class StreamValidator:
    """The compiled checks of one stream.

    Attributes:
        spec: The stream.
        unknown: What becomes of fields that it does not declare.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        self._names = frozenset(
            {*ENVELOPE, spec.event_id, spec.entity, spec.event_time, *(f.name for f in spec.fields)}
        )
        self.unknown = UnknownFields(spec, self._names)
        self._fields = [
            (f, f.name, _parser(f, f"{spec.name}.{f.name}", is_id=f.name in spec.roles), f.is_text) for f in spec.fields
        ]
        self._pack = Struct(f"<{len(spec.fields)}q").pack
        self._null_units = self._pack(*(NULL for _ in spec.fields))
        self._null_texts = encode_texts([None for f in spec.fields if f.is_text])
        self._has_texts = bool(self._null_texts)
        self._role = f"{spec.entity}:"
        self._places = [f"{spec.name}.{name}" for name in (spec.event_id, spec.entity, spec.event_time)]

    def validate(self, event: Mapping[str, object], declared_known_at: int | None = None) -> NewRecord:
        """Return the record of one event.

        Args:
            event: The flat event; its ``stream`` is not looked at. A null field counts as absent.
            declared_known_at: When an import says that the record became known, µs; None for a live one.

        Raises:
            EventRejected: It cannot be accepted.
        """
        spec = self.spec
        kept = None if self._names.issuperset(event) else self.unknown.take(event)
        get = event.get
        event_id = parse_id(self._required(event, spec.event_id), spec.event_id, self._places[0])
        entity = parse_id(self._required(event, spec.entity), spec.entity, self._places[1])
        moment = parse_time(self._required(event, spec.event_time), spec.zone, spec.event_time, self._places[2])
        sequence = get("sequence")
        sequence = 0 if sequence is None else _integer(sequence, "sequence", -SEQUENCE_LIMIT, SEQUENCE_LIMIT)
        revision, op = _revision(get("revision"), get("op"))
        if op != DELETE:
            units, texts = self._payload(event)
        elif spec.other_roles:
            units, texts = self._payload({role: self._required(event, role) for role in spec.roles}, deleted=True)
        else:
            units, texts = self._null_units, self._null_texts
        return NewRecord(
            spec.name,
            self._role + entity,
            event_id,
            moment,
            sequence,
            revision,
            op,
            units,
            texts if kept is None else with_kept(texts, kept),
            content_digest(op, moment, sequence, units, texts),
            declared_known_at,
        )

    def _payload(self, event: Mapping[str, object], *, deleted: bool = False) -> tuple[bytes, bytes]:
        """Return the units and texts of an event's fields; of a deleted one, null for those that are absent."""
        get = event.get
        units: list[int] = []
        texts: list[str | None] = []
        for field, name, parse, is_text in self._fields:
            value = get(name)
            if value is None:
                if field.required and not deleted:
                    raise self._missing(name)
                units.append(NULL if deleted else field.default)
                if is_text:
                    texts.append(None)
            else:
                units.append(parse(value))
                if is_text:
                    texts.append(str(value))
        return self._pack(*units), encode_texts(texts) if self._has_texts else b""

    def _required(self, event: Mapping[str, object], name: str) -> object:
        """Return a field that no event goes without."""
        value = event.get(name)
        if value is None:
            raise self._missing(name)
        return value

    def _missing(self, name: str) -> EventRejected:
        """Return the refusal of an event without a required field."""
        return EventRejected(
            f'{self.spec.name} has no "{name}". Send it, or give the field a default.',
            reason="missing_field",
            field=name,
        )


def _parser(field: FieldSpec, place: str, *, is_id: bool) -> Callable[[object], int]:
    """Return the function from a field's value to its units."""
    if is_id:
        return lambda value: hash_text(parse_id(value, field.name, place))
    if field.is_text:
        return lambda value: hash_text(parse_text(value, field, place))
    if field.kind is FieldKind.CATEGORY:
        codes = {level: code for code, level in enumerate(field.levels or ())}
        return lambda value: parse_level(value, field, codes, place)
    if field.kind is FieldKind.FLAG:
        return lambda value: parse_flag(value, field, place)
    return lambda value: parse_decimal(value, field, place)


def _integer(value: object, name: str, low: int, high: int) -> int:
    """Return an integer of the envelope, which a text column may hold as text and a nullable one as a float."""
    if (isinstance(value, str) and _INTEGER.fullmatch(value)) or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise EventRejected(f"{name} is {shown(value)}. Send an integer.", reason="wrong_type", field=name)
    if not low <= value <= high:
        raise EventRejected(f"{name} is {shown(value)}, outside {low} to {high}.", reason="out_of_range", field=name)
    return value


def _revision(revision: object, op: object) -> tuple[int, int]:
    """Return an event's revision and op; without an op, revision 0 inserts and a later one replaces.

    Raises:
        EventRejected: They do not fit each other (``bad_revision``).
    """
    if revision is None and op is None:
        return 0, INSERT
    number = 0 if revision is None else _integer(revision, "revision", -SEQUENCE_LIMIT, SEQUENCE_LIMIT)
    if not 0 <= number <= REVISION_LIMIT:
        raise EventRejected(
            f"revision is {number}, outside 0 to {REVISION_LIMIT}. Count an event's revisions from 0.",
            reason="bad_revision",
            field="revision",
        )
    if op is None:
        return number, REPLACE if number else INSERT
    code = OPS.get(op) if isinstance(op, str) else None
    if code is None:
        raise EventRejected(
            f'op is {shown(op)}. Send "insert", "replace" or "delete".', reason="bad_revision", field="op"
        )
    if (code == INSERT) != (number == 0):
        raise EventRejected(
            f"op is {shown(op)} with revision {number}. An insert has revision 0, a replace or delete 1 or more.",
            reason="bad_revision",
            field="revision",
        )
    return number, code


@lru_cache(maxsize=256)
def stream_validator(spec: StreamSpec) -> StreamValidator:
    """Return the compiled checks of a stream."""
    return StreamValidator(spec)


class EventValidator:
    """The compiled checks of a project's streams."""

    def __init__(self, streams: Mapping[str, StreamSpec]) -> None:
        self._streams = {name: stream_validator(spec) for name, spec in streams.items()}

    def one(self, event: object) -> NewRecord:
        """Return the record of one flat event.

        Raises:
            EventRejected: It cannot be accepted.
        """
        if not isinstance(event, Mapping):
            raise EventRejected(
                f'An event is {shown(event)}. Send an object such as {{"stream": "Movement", …}}.', reason="malformed"
            )
        name = event.get("stream")
        if not isinstance(name, str):
            raise EventRejected(
                f'stream is {shown(name)}. Say what the event is: "stream": its class name.',
                reason="unknown_stream",
                field="stream",
            )
        stream = self._streams.get(name)
        if stream is None:
            raise EventRejected(
                f"The project has no stream {shown(name)}. {close_match(name[:_KEY_SHOWN], self._streams)}",
                reason="unknown_stream",
                field="stream",
            )
        return stream.validate(event)

    def many(self, events: Sequence[object]) -> list[NewRecord | EventRejected]:
        """Return the record, or the refusal, of each event, in order."""
        one = self.one
        answers: list[NewRecord | EventRejected] = []
        append = answers.append
        for event in events:
            try:
                append(one(event))
            except EventRejected as refusal:  # its traceback would keep every frame alive with it
                append(refusal.with_traceback(None))
        return answers


def validate_one(event: object, streams: Mapping[str, StreamSpec]) -> NewRecord:
    """Return the record of one flat event ``{"stream", fields…, "sequence"?, "revision"?, "op"?}``.

    Raises:
        EventRejected: It cannot be accepted; the reason, the field and the next step are in it.

    >>> from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
    >>> paid = StreamSpec("Paid", "id", "client", "at", (FieldSpec("amount", FieldKind.MONEY, 2),), 10**12, 10**9)
    >>> event = {"stream": "Paid", "id": "1", "client": "C-7", "at": "2024-05-01T00:00:00Z", "amount": "9.90"}
    >>> record = validate_one(event, {"Paid": paid})
    >>> record.entity, int.from_bytes(record.units, "little")
    ('client:C-7', 990)
    """
    return EventValidator(streams).one(event)


def validate_many(events: Sequence[object], streams: Mapping[str, StreamSpec]) -> list[NewRecord | EventRejected]:
    """Return the record, or the refusal, of each flat event, in order; nothing is raised."""
    return EventValidator(streams).many(events)
