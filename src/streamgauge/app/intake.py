"""The door: flat events become records for the log, or go to the quarantine with their reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamgauge.errors import EventRejected
from streamgauge.events.validate import EventValidator, stream_validator
from streamgauge.log.refused import refused_event, refused_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamgauge.app.drift import DriftBook
    from streamgauge.app.metrics import Metrics
    from streamgauge.clock import Clock
    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.files import RefusedRow
    from streamgauge.events.record import NewRecord
    from streamgauge.log.port import Log, Quarantined


class Intake:
    """Validates events against the streams of the project file, and quarantines what is refused."""

    def __init__(
        self, streams: Mapping[str, StreamSpec], log: Log, clock: Clock, metrics: Metrics, drift: DriftBook
    ) -> None:
        """Take the streams as they are declared now.

        Args:
            streams: The project's streams by name.
            log: Keeps the quarantine.
            clock: The moment of a refusal.
            metrics: Told of refusals.
            drift: Told of fields that are not as declared.
        """
        self._log = log
        self._clock = clock
        self._metrics = metrics
        self.drift = drift
        self.declare(streams)

    def declare(self, streams: Mapping[str, StreamSpec]) -> None:
        """Validate by these streams from now on."""
        self.streams = streams
        self._validator = EventValidator(streams)
        self._lenient = {
            name: stream_validator(spec).unknown for name, spec in streams.items() if spec.unknown != "refuse"
        }

    def spec(self, stream: str) -> StreamSpec:
        """Return a declared stream."""
        return self.streams[stream]

    def many(self, events: Sequence[Mapping[str, Any]]) -> list[NewRecord | EventRejected]:
        """Validate events; refused ones come back as their error, in place, and are not quarantined yet."""
        found = self._validator.many(events)
        self.note_drift()
        return found

    def note_drift(self) -> None:
        """Note the unknown fields that were accepted since the last call."""
        for name, unknown in self._lenient.items():
            if noticed := unknown.drain():
                self.drift.accepted(name, noticed)

    def refuse(self, refused: Sequence[tuple[object, EventRejected]]) -> list[int]:
        """Put refused events into the quarantine, durably; return their numbers."""
        now = self._clock.now_us()
        return self._store([refused_event(event, error, now, self.streams) for event, error in refused])

    def refuse_rows(self, stream: str, refused: Sequence[RefusedRow]) -> list[int]:
        """Put refused rows of a file into the quarantine, durably; return their numbers."""
        now = self._clock.now_us()
        return self._store([refused_row(row, self.spec(stream), now) for row in refused])

    def _store(self, quarantined: Sequence[Quarantined]) -> list[int]:
        self._metrics.refused(quarantined)
        numbers = self._log.quarantine(quarantined)
        self.drift.refused(quarantined, self.streams.__contains__)
        return numbers
