"""Refused events are tried again: validated under today's declarations, and submitted like new ones."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Final

from streamgauge.app.answers import RetryAnswer
from streamgauge.app.engine import Submission
from streamgauge.app.replies import quarantine_answer
from streamgauge.errors import EventRejected, SettingsError, UnknownName, close_match
from streamgauge.events.record import Record
from streamgauge.events.validate import stream_validator
from streamgauge.log.acceptance import refusal
from streamgauge.log.port import Quarantined, Retried

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from streamgauge.app.engine import Engine
    from streamgauge.app.importing import Importer
    from streamgauge.app.intake import Intake
    from streamgauge.clock import Clock
    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.record import NewRecord
    from streamgauge.log.port import Log

AT_ONCE: Final = 1_000
_SHOWN: Final = 100
_NEWEST: Final = 2**62


class Retrier:
    """Tries refused events again, one call at a time."""

    def __init__(self, log: Log, intake: Intake, engine: Engine, importer: Importer, clock: Clock) -> None:
        """Keep what validates, appends and applies.

        Args:
            log: Holds the quarantine.
            intake: Knows the streams as they are declared today.
            engine: Appends and applies what is valid now.
            importer: Rebuilds entities where history comes in.
            clock: The moment of a retry.
        """
        self._log = log
        self._intake = intake
        self._engine = engine
        self._importer = importer
        self._clock = clock
        self._one_at_a_time = threading.Lock()

    def retry(
        self, numbers: Sequence[int] | None = None, *, reason: str | None = None, stream: str | None = None
    ) -> RetryAnswer:
        """Try refused events again: those of some numbers, or all open ones of a reason and a stream.

        What is accepted and applied is resolved; what is refused again stays, with the newer reason. What is in the log
        already (``conflict``, ``identity_changed``) or was cut short is passed over. Doing it twice is harmless.

        Raises:
            UnknownName: The quarantine has no such number, reason or stream.
        """
        with self._one_at_a_time:
            tally = _Tally()
            for items in self._chosen(numbers, reason, stream):
                ready = [one for one in items if one.retriable]
                tally.skipped += len(items) - len(ready)
                tally.add(self._again(ready))
            return tally.answer()

    def _chosen(
        self, numbers: Sequence[int] | None, reason: str | None, stream: str | None
    ) -> Iterable[list[Quarantined]]:
        """Yield the events to try, some at a time, the oldest first."""
        if numbers is not None:
            if reason is not None or stream is not None:
                raise SettingsError("Name numbers, or a reason and a stream: not both.")
            yield from _slices([self._numbered(number) for number in dict.fromkeys(numbers)])
            return
        self._check_reason(reason)
        found: list[Quarantined] = []
        before = _NEWEST
        while page := self._log.quarantined(last=AT_ONCE, before=before, reason=reason, stream=stream, resolved=False):
            found += [one for one in page if one.retriable]
            before = page[-1].number
        yield from _slices(found[::-1])

    def _check_reason(self, reason: str | None) -> None:
        known = self._log.quarantine_counts()
        if reason is not None and reason not in known:
            raise UnknownName(f'Nothing is in the quarantine for the reason "{reason}". {close_match(reason, known)}')

    def _numbered(self, number: int) -> Quarantined:
        found = self._log.quarantined(number=number)
        if not found:
            raise UnknownName(f"The quarantine has no number {number}. See: streamgauge quarantine list.")
        return found[0]

    def _again(self, items: Sequence[Quarantined]) -> list[Quarantined]:
        """Try some events again, and return them as they are now."""
        now = self._clock.now_us()
        live: list[tuple[Quarantined, NewRecord]] = []
        history: list[tuple[Quarantined, NewRecord]] = []
        outcomes: list[Retried] = []
        for item in items:
            try:
                record = self._record(item)
            except EventRejected as error:
                outcomes.append(Retried(item.number, now, newer=_refused(item, error)))
                continue
            late = refusal(record, self._intake.streams[record.stream], _known_at(record, now), now)
            if late is not None:
                outcomes.append(Retried(item.number, now, newer=late))
            else:
                (live if record.declared_known_at is None else history).append((item, record))
        outcomes += self._submitted(live, now)
        if history:
            with self._importer.history_begun():
                outcomes += self._submitted(history, now)
        return self._log.retried(outcomes)

    def _submitted(self, ready: Sequence[tuple[Quarantined, NewRecord]], now: int) -> list[Retried]:
        """Append and apply records, and return what became of each."""
        if not ready:
            return []
        submission = Submission([record for _, record in ready])
        answers = self._engine.submit(submission).result()
        submission.applied.result()
        return [
            Retried(item.number, now, position=answer.position)
            if isinstance(answer, Record)
            else Retried(item.number, now, newer=answer)
            for (item, _), answer in zip(ready, answers, strict=True)
        ]

    def _record(self, item: Quarantined) -> NewRecord:
        """Return the record of a refused event under today's declarations.

        Raises:
            EventRejected: It cannot be accepted.
        """
        try:
            event = json.loads(item.body)
        except (ValueError, RecursionError):
            event = item.body
        if item.arrival is None or not isinstance(event, dict):
            answer = self._intake.many([event])[0]
            if isinstance(answer, EventRejected):
                raise answer
            return answer
        spec = self._intake.streams.get(item.stream)
        if spec is None:
            known = close_match(item.stream, self._intake.streams)
            raise EventRejected(f'The project has no stream "{item.stream}". {known}', reason="unknown_stream")
        arrival = item.arrival
        row = _as_row(event, spec)
        if arrival.known_at_us is not None:
            return stream_validator(spec).validate(row, arrival.known_at_us)
        from streamgauge.events.frames import validate_imported

        return validate_imported(row, stream_validator(spec), arrival.known_after_us, arrival.column)


class _Tally:
    """What became of all that was tried."""

    def __init__(self) -> None:
        self.skipped = 0
        self._resolved = 0
        self._kept = 0
        self._shown: list[Quarantined] = []

    def add(self, items: Sequence[Quarantined]) -> None:
        """Count some."""
        done = sum(one.resolved is not None for one in items)
        self._resolved += done
        self._kept += len(items) - done
        self._shown += items[: _SHOWN - len(self._shown)]

    def answer(self) -> RetryAnswer:
        """Answer for them."""
        return RetryAnswer(
            tried=self._resolved + self._kept,
            resolved=self._resolved,
            kept=self._kept,
            skipped=self.skipped,
            items=[quarantine_answer(one) for one in self._shown],
        )


def _slices(items: Sequence[Quarantined]) -> Iterable[list[Quarantined]]:
    for start in range(0, len(items), AT_ONCE):
        yield list(items[start : start + AT_ONCE])


def _refused(item: Quarantined, error: EventRejected) -> Quarantined:
    return Quarantined(
        item.stream, item.entity, item.event_id, error.reason, str(error), item.body, item.at, field=error.field
    )


def _known_at(record: NewRecord, now: int) -> int:
    return now if record.declared_known_at is None else min(record.declared_known_at, now)


def _as_row(event: Mapping[str, Any], spec: StreamSpec) -> dict[str, object]:
    """Return a table's row with texts where its columns may have held integers, as a table's columns are read."""
    texts = {spec.event_id, spec.entity, *(field.name for field in spec.fields if field.is_text)}
    return {name: str(value) if name in texts and type(value) is int else value for name, value in event.items()}
