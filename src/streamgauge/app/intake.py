"""The door: flat events become records for the log, or go to the quarantine with their reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamgauge.errors import EventRejected
from streamgauge.events.validate import EventValidator
from streamgauge.log.port import Quarantined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamgauge.clock import Clock
    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.record import NewRecord
    from streamgauge.log.port import Log

_BODY: Final = 4_096
_SHOWN: Final = 100


class Intake:
    """Validates events against the streams of the project file, and quarantines what is refused."""

    def __init__(self, streams: Mapping[str, StreamSpec], log: Log, clock: Clock) -> None:
        """Take the streams as they are declared now.

        Args:
            streams: The project's streams by name.
            log: Keeps the quarantine.
            clock: The moment of a refusal.
        """
        self.streams = streams
        self._log = log
        self._clock = clock
        self._validator = EventValidator(streams)

    def spec(self, stream: str) -> StreamSpec:
        """Return a declared stream."""
        return self.streams[stream]

    def one(self, event: Mapping[str, Any]) -> NewRecord:
        """Validate one event.

        Raises:
            EventRejected: It cannot be accepted; it is in the quarantine.
        """
        try:
            return self._validator.one(event)
        except EventRejected as error:
            self.refuse([(event, error)])
            raise

    def many(self, events: Sequence[Mapping[str, Any]]) -> list[NewRecord | EventRejected]:
        """Validate events; refused ones come back as their error, in place, and are not quarantined yet."""
        return self._validator.many(events)

    def refuse(self, refused: Sequence[tuple[object, EventRejected]]) -> list[int]:
        """Put refused events into the quarantine, durably; return their numbers."""
        now = self._clock.now_us()
        return self._log.quarantine([self._quarantined(event, error, now) for event, error in refused])

    def _quarantined(self, event: object, error: EventRejected, now: int) -> Quarantined:
        fields = event if isinstance(event, dict) else {}
        spec = self.streams.get(stream) if isinstance(stream := fields.get("stream"), str) else None
        entity = fields.get(spec.entity) if spec is not None else None
        event_id = fields.get(spec.event_id) if spec is not None else None
        return Quarantined(
            stream=stream[:_SHOWN] if isinstance(stream, str) else "",
            entity=f"{spec.entity}:{entity[:_SHOWN]}" if spec is not None and isinstance(entity, str) else "",
            event_id=event_id[:_SHOWN] if isinstance(event_id, str) else "",
            reason=error.reason,
            detail=str(error),
            body=body_of(event),
            at=now,
        )


def body_of(event: object) -> str:
    """Return an event as bounded JSON text, whatever it is."""
    try:
        text = msgspec.json.encode(event, enc_hook=str).decode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError, OverflowError):
        text = repr(type(event))
    return text[:_BODY]
