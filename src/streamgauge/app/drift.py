"""Drift of the schema: fields that come, go or change, against what a stream declares; counted, and said once."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.app.answers import iso
from streamgauge.app.schema_report import DriftAnswer
from streamgauge.events.unknown import json_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from streamgauge.app.metrics import Metrics
    from streamgauge.clock import Clock
    from streamgauge.events.unknown import Noticed
    from streamgauge.log.port import Quarantined

logger = logging.getLogger(__name__)

KINDS: Final = {
    "unknown_field": "new_field",
    "missing_field": "missing_field",
    "wrong_type": "changed_type",
    "bad_time": "changed_type",
    "too_precise": "more_decimals",
    "unknown_level": "new_level",
}
"""What a refusal says of the schema, by its reason."""

_SAID: Final = {
    "new_field": "has a field that is not declared",
    "missing_field": "comes without a field that it must have",
    "changed_type": "has a field of another type than declared",
    "more_decimals": "has a number with more decimals than declared",
    "new_level": "has a level that is not declared",
}
_NEXT: Final = {
    "quarantined": "Such events are in the quarantine; mend the sender or the declaration, then: streamgauge "
    "quarantine retry.",
    "ignored": "It is ignored, as declared.",
    "kept": "It is kept unused, as declared.",
}
_PAUSE_US: Final = 1_000_000
_MOST: Final = 5_000


class Drift(msgspec.Struct):
    """One kind of drift of one field; see `streamgauge.app.schema_report.DriftAnswer`."""

    stream: str
    field: str
    kind: str
    outcome: str
    events: int
    first_seen: int
    last_seen: int
    example: str


class DriftBook:
    """Counts drift by stream, field, kind and outcome, over restarts; names and types are kept, never values.

    A new kind is written at once; counts at most a second later, so that a killed owner loses no more of them.
    """

    def __init__(self, path: Path, clock: Clock, metrics: Metrics) -> None:
        """Read what was counted before; a file that cannot be read is begun anew.

        Args:
            path: The file.
            clock: The moment of what is noted.
            metrics: Told of what is noted.
        """
        self._path = path
        self._clock = clock
        self._metrics = metrics
        self._noting = threading.Lock()
        self._written_at = 0
        self._dirty = False
        self._warned: set[tuple[str, str, str, str]] = set()
        self._book = {_key(one): one for one in _read(path)}

    def refused(self, items: Iterable[Quarantined], known: Callable[[str], bool]) -> None:
        """Note what refused events say of the schema of the streams that are known."""
        for item in items:
            kind = KINDS.get(item.reason)
            if kind is not None and item.field and known(item.stream):
                self._note(item.stream, item.field, kind, "quarantined", 1, _example(item))
        self._flush_soon()

    def accepted(self, stream: str, noticed: Iterable[Noticed]) -> None:
        """Note unknown fields that were ignored or kept."""
        for one in noticed:
            self._note(stream, one.field, "new_field", one.outcome, one.events, one.example)
        self._flush_soon()

    def all(self) -> list[DriftAnswer]:
        """Return what was noted, the newest first."""
        with self._noting:
            found = sorted(self._book.values(), key=lambda one: (-one.last_seen, one.stream, one.field))
            return [
                DriftAnswer(
                    stream=one.stream,
                    field=one.field,
                    kind=one.kind,
                    outcome=one.outcome,
                    events=one.events,
                    first_seen=iso(one.first_seen),
                    last_seen=iso(one.last_seen),
                    example=one.example,
                )
                for one in found
            ]

    def flush(self) -> None:
        """Write what was counted."""
        with self._noting:
            if self._dirty:
                self._write()

    def _note(self, stream: str, field: str, kind: str, outcome: str, events: int, example: str) -> None:
        key = (stream, field, kind, outcome)
        now = self._clock.now_us()
        with self._noting:
            found = self._book.get(key)
            if found is None and len(self._book) >= _MOST:
                return
            if found is None:
                found = self._book[key] = Drift(stream, field, kind, outcome, 0, now, now, example)
                self._written_at = 0
            found.events += events
            found.last_seen = now
            self._dirty = True
        self._metrics.drifted(stream, kind, outcome, events)
        if key not in self._warned:
            self._warned.add(key)
            logger.warning(
                '%s %s: "%s" (%s). %s See: streamgauge schema.', stream, _SAID[kind], field, example, _NEXT[outcome]
            )

    def _flush_soon(self) -> None:
        if self._dirty and self._clock.now_us() - self._written_at >= _PAUSE_US:
            self.flush()

    def _write(self) -> None:
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_bytes(msgspec.json.encode(list(self._book.values())))
            temporary.replace(self._path)
        except OSError as error:  # counts are no data: nothing waits for them
            logger.warning("%s cannot be written: %s. Counts of schema drift are kept in memory.", self._path, error)
        self._written_at = self._clock.now_us()
        self._dirty = False


def _key(one: Drift) -> tuple[str, str, str, str]:
    return one.stream, one.field, one.kind, one.outcome


def _read(path: Path) -> list[Drift]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Drift])
    except FileNotFoundError:
        return []
    except (msgspec.DecodeError, OSError) as error:
        logger.warning("%s cannot be read: %s. Counts of schema drift begin anew.", path, error)
        return []


def _example(item: Quarantined) -> str:
    """Return the JSON type of the value that an event was refused for."""
    try:
        event = msgspec.json.decode(item.body, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        return "unknown"
    return json_type(event[item.field]) if item.field in event else "absent"
