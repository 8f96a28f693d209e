"""The door of events about several entities: an id stands for one event, of the same entities, for good.

Were it otherwise, a correction would reach some of an event's entities and not others, and what one of them still
remembers of an id another might have forgotten. So a record is looked up under each of its entities before it is
accepted; what contradicts an earlier one is quarantined whole. All records of an id are then judged alike everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamgauge.definitions.roles import role_of
from streamgauge.events.body import body_of
from streamgauge.events.render import render
from streamgauge.events.roles import entities_of
from streamgauge.log.port import Quarantined

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.record import NewRecord, Record


class RoleDoor:
    """Checks the records of one commit, in order.

    Args:
        find: Returns the first record of (stream, entity key, event id) that the log holds, or None.
        schema: Returns the stream as it was declared under a schema number.
    """

    def __init__(self, find: Callable[[str, str, str], Record | None], schema: Callable[[int], StreamSpec]) -> None:
        self._find = find
        self._schema = schema
        self._admitted: dict[tuple[str, str, str], _Event] = {}

    def refusal(self, new: NewRecord, spec: StreamSpec, now_us: int) -> Quarantined | None:
        """Return why a record is not accepted, or None; then the records after it must agree with it.

        Args:
            new: The record.
            spec: Its stream, which has several roles.
            now_us: The log's clock, µs: when it is refused.
        """
        event = _Event.of(new, spec)
        for key in event.keys:
            known = self._known(new, key)
            if known is not None and known != event:
                return _refused(new, spec, key, event, known, now_us)
        self._admitted |= {(new.stream, key, new.event_id): event for key in event.keys}
        return None

    def _known(self, new: NewRecord, key: str) -> _Event | None:
        """Return the event for which an id stands already, under one of its entities."""
        admitted = self._admitted.get((new.stream, key, new.event_id))
        if admitted is not None:
            return admitted
        found = self._find(new.stream, key, new.event_id)
        return None if found is None else _Event.of(found, self._schema(found.schema))


@dataclass(frozen=True, slots=True)
class _Event:
    """What no revision of an event changes: its entities and its time."""

    keys: tuple[str, ...]
    time: int

    @classmethod
    def of(cls, record: NewRecord | Record, spec: StreamSpec) -> _Event:
        return cls(tuple(entities_of(record, spec).values())[: len(spec.roles)], record.event_time)


def _refused(new: NewRecord, spec: StreamSpec, key: str, event: _Event, known: _Event, now_us: int) -> Quarantined:
    others = [f"another {role_of(one)}" for one in event.keys if one not in known.keys]
    others += ["another time"] if event.time != known.time else []
    return Quarantined(
        stream=new.stream,
        entity=new.entity,
        event_id=new.event_id,
        reason="identity_changed",
        detail=(
            f'The id "{new.event_id}" of {new.stream} stands for an event of this {role_of(key)} with '
            f"{' and '.join(others)}. An event keeps its entities and its time: delete it and send it under a new id; "
            "of an event with several entities the id is never used again."
        ),
        body=body_of(render(new, spec)),
        at=now_us,
    )
