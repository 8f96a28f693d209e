"""A refused event as the quarantine keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from streamgauge.events.body import body_of
from streamgauge.log.port import Quarantined

if TYPE_CHECKING:
    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.errors import EventRejected


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
    return Quarantined(stream, entity, event_id, refusal.reason, str(refusal), body_of(event), at)


def _text(value: object) -> str:
    """Return a text, or an empty one where it is none."""
    return value if isinstance(value, str) else ""
