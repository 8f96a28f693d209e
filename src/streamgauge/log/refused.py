"""A refused event as the quarantine keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.events.body import body_of
from streamgauge.events.render import render
from streamgauge.events.roles import is_primary
from streamgauge.log.port import Quarantined

if TYPE_CHECKING:
    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.errors import EventRejected
    from streamgauge.events.files import RefusedRow
    from streamgauge.events.record import Record

_DETAIL: Final = {
    "conflict": "Another event with this id and revision, but other content, is in the log; the first stands. "
    "Send a correction as a higher revision.",
    "identity_changed": "This event's id is in the log under another event time; the first stands. "
    "Delete that event and send this one under a new id.",
}


def refused_event(event: object, refusal: EventRejected, at: int, streams: Mapping[str, StreamSpec]) -> Quarantined:
    """Return what the quarantine keeps of an event that was refused before it reached the log.

    Args:
        event: The event as it came: decoded JSON, or its bytes where it was no JSON.
        refusal: Why it was refused.
        at: When, µs.
        streams: The project's streams; they say which fields are the ids.
    """
    stream = entity = event_id = ""
    if isinstance(event, Mapping):
        stream = _text(event.get("stream"))
        spec = streams.get(stream)
        if spec is not None:
            event_id = _text(event.get(spec.event_id))
            value = _text(event.get(spec.entity))
            entity = f"{spec.entity}:{value}" if value else ""
    detail, body = str(refusal), body_of(event)
    return Quarantined(stream, entity, event_id, refusal.reason, detail, body, at, field=refusal.field)


def refused_row(row: RefusedRow, spec: StreamSpec, at: int) -> Quarantined:
    """Return what the quarantine keeps of a file's row that was refused before it reached the log.

    Args:
        row: The row; its ids are read from its body where that is JSON.
        spec: The stream.
        at: When, µs.
    """
    try:
        event = msgspec.json.decode(row.body, type=dict[str, object])
    except msgspec.DecodeError:
        event = {}
    value = _cell(event.get(spec.entity))
    return Quarantined(
        spec.name,
        f"{spec.entity}:{value}" if value else "",
        _cell(event.get(spec.event_id)),
        row.refusal.reason,
        str(row.refusal),
        row.body,
        at,
        field=row.refusal.field,
        arrival=row.arrival,
    )


def contradictions(judged: Iterable[tuple[Record, str]], schema: Callable[[int], StreamSpec]) -> list[Quarantined]:
    """Return what the quarantine keeps of records that contradict an earlier one of their id.

    They stay in the log, and no value sees them. Of an event of several entities, whose records are all judged alike,
    the primary entity's is kept. The same record gives the same answer whenever it is judged: by the
    engine as it comes, or by a rebuild.

    Args:
        judged: Records and their verdicts, whatever these are.
        schema: The stream, as declared under a record's schema number.
    """
    return [
        Quarantined(
            stream=record.stream,
            entity=record.entity,
            event_id=record.event_id,
            reason=verdict,
            detail=_DETAIL[verdict],
            body=body_of(render(record, schema(record.schema))),
            at=record.accepted_at,
            position=record.position,
        )
        for record, verdict in judged
        if verdict in _DETAIL and is_primary(record, schema(record.schema))
    ]


def _text(value: object) -> str:
    """Return a text, or an empty one where it is none."""
    return value if isinstance(value, str) else ""


def _cell(value: object) -> str:
    """Return what a table's cell means as an id."""
    return str(value) if type(value) is int else _text(value)
