"""Fields that a stream does not declare: refused, ignored or kept, as it says; and what was met of them."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.errors import EventRejected, close_match
from streamgauge.events.body import plain
from streamgauge.events.content import decode_texts, encode_texts
from streamgauge.events.values import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.record import NewRecord, Record

KEPT_BYTES: Final = 65_536
"""The most that is kept of one event's unknown fields, as JSON."""

_KEY_SHOWN: Final = 64
_MOST_FIELDS: Final = 200
_OTHERS: Final = "…"


class Noticed(msgspec.Struct, array_like=True, frozen=True):
    """An unknown field that was accepted.

    Attributes:
        field: Its name, at most 64 characters; ``…`` for those beyond the first 200 of a stream.
        outcome: ``ignored`` or ``kept``.
        events: In how many events.
        example: The JSON type of one value.
    """

    field: str
    outcome: str
    events: int
    example: str


class UnknownFields:
    """What a stream does with fields that it does not declare.

    Args:
        spec: The stream.
        known: The names that an event may say.
    """

    def __init__(self, spec: StreamSpec, known: frozenset[str]) -> None:
        self._spec = spec
        self._known = known
        self._met: dict[str, list[int | str]] = {}
        self._names: set[str] = set()
        self._counting = threading.Lock()

    def take(self, event: Mapping[str, object]) -> str | None:
        """Note an event's unknown fields, and return their JSON where they are kept.

        Raises:
            EventRejected: They are refused, or too long to be kept (``unknown_field``).
        """
        unknown = {name: value for name, value in event.items() if name not in self._known}
        if self._spec.unknown == "refuse" or not all(isinstance(name, str) for name in unknown):
            raise self._refusal(next(iter(unknown)), self._names_help(next(iter(unknown))))
        kept = self._json(unknown) if self._spec.unknown == "keep" else None
        for name, value in unknown.items():
            self.notice(name, json_type(value))
        return kept

    def notice(self, name: str, example: str, events: int = 1) -> None:
        """Count an unknown field that was accepted."""
        with self._counting:
            key = name[:_KEY_SHOWN]
            if key not in self._names and len(self._names) >= _MOST_FIELDS:
                key = _OTHERS
            self._names.add(key)
            met = self._met.setdefault(key, [0, example])
            met[0] = int(met[0]) + events

    def drain(self) -> list[Noticed]:
        """Return what was met since the last call."""
        if not self._met:
            return []
        with self._counting:
            met, self._met = self._met, {}
        outcome = "kept" if self._spec.unknown == "keep" else "ignored"
        return [Noticed(name, outcome, int(events), str(example)) for name, (events, example) in met.items()]

    def _json(self, unknown: Mapping[str, object]) -> str:
        try:
            text = json.dumps(unknown, ensure_ascii=False, sort_keys=True, default=plain)
        except (RecursionError, TypeError, ValueError):
            text = ""
        if not text or len(text.encode("utf-8", "backslashreplace")) > KEPT_BYTES:
            raise self._refusal(next(iter(unknown)), f"Its unknown fields cannot be kept in {KEPT_BYTES} bytes.")
        return text.encode("utf-8", "backslashreplace").decode()

    def _names_help(self, name: object) -> str:
        return close_match(name[:_KEY_SHOWN] if isinstance(name, str) else "", self._known)

    def _refusal(self, name: object, more: str) -> EventRejected:
        key = name[:_KEY_SHOWN] if isinstance(name, str) else ""
        return EventRejected(
            f"{self._spec.name} has no field {shown(name)}. {more}",
            reason="unknown_field",
            field=key.encode("utf-8", "backslashreplace").decode(),
        )


def with_kept(texts: bytes, kept: str) -> bytes:
    """Return a record's texts with the JSON of its unknown fields behind them; its digest does not cover it."""
    return encode_texts([*decode_texts(texts), kept])


def kept_of(record: NewRecord | Record, spec: StreamSpec) -> dict[str, object]:
    """Return the unknown fields that were kept with a record.

    Args:
        record: The record.
        spec: Its stream, as declared under the record's schema.
    """
    declared = sum(field.is_text for field in spec.fields)
    more: Iterable[str | None] = decode_texts(record.texts)[declared:]
    found: dict[str, object] = {}
    for text in more:
        found.update({} if text is None else json.loads(text))
    return found


def json_type(value: object) -> str:
    """Return the JSON type of a value.

    >>> json_type(True), json_type(1), json_type(1.5), json_type("x"), json_type([]), json_type({}), json_type(None)
    ('boolean', 'integer', 'number', 'string', 'array', 'object', 'null')
    """
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int):
        return "integer"
    kinds = ((float, "number"), (str, "string"), (dict, "object"), (list, "array"))
    return next((name for kind, name in kinds if isinstance(value, kind)), type(value).__name__)
