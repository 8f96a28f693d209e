"""History comes in by chunks through the engine; every entity it touches is then rebuilt from the log."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from streamgauge.app.answers import ImportAnswer, IngestAnswer, Refused
from streamgauge.app.engine import Submission
from streamgauge.events.record import Record
from streamgauge.features.rebuild import rebuild_store
from streamgauge.log.port import Quarantined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import polars as pl

    from streamgauge.app.applying import Applier
    from streamgauge.app.engine import Engine
    from streamgauge.app.intake import Intake
    from streamgauge.errors import EventRejected
    from streamgauge.events.frames import FrameResult
    from streamgauge.events.record import NewRecord
    from streamgauge.log.port import Log

CHUNK: Final = 50_000
_SLICE: Final = 512
_SHOWN: Final = 100


class ImportMarker:
    """A file that says from which position on imported history may not be in the states yet.

    It is there from before an import's first record until all entities are rebuilt, so a crash between is healed at
    the next start.
    """

    def __init__(self, path: Path) -> None:
        """Keep the path."""
        self._path = path

    def read(self) -> int | None:
        """Return the position before the unfinished import, or None where there is none."""
        try:
            return int(self._path.read_text(encoding="ascii"))
        except FileNotFoundError:
            return None

    def set(self, position: int) -> None:
        """Note a position durably, unless an older one is noted already."""
        if self.read() is not None:
            return
        temporary = self._path.with_suffix(".new")
        with temporary.open("w", encoding="ascii") as file:
            file.write(str(position))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._path)

    def clear(self) -> None:
        """Note that every state is complete."""
        self._path.unlink(missing_ok=True)


class Importer:
    """Brings frames in: history with a declared arrival, or events known now."""

    def __init__(self, log: Log, engine: Engine, intake: Intake, marker: ImportMarker, workers: int) -> None:
        """Keep what an import needs."""
        self._log = log
        self._engine = engine
        self._intake = intake
        self._marker = marker
        self._workers = workers

    def history(
        self,
        frames: Sequence[pl.DataFrame],
        stream: str,
        progress: Callable[[str, int, int], None],
        *,
        known_after_us: int | None,
        known_at: str | None,
    ) -> ImportAnswer:
        """Import frames of one stream; return once every entity they touch is rebuilt.

        Raises:
            ImportRefused: They declare no arrival, or a column is missing; nothing of that frame was written.
        """
        from streamgauge.events.frames import validate_import

        spec = self._intake.spec(stream)
        self._marker.set(self._log.last_position())
        totals = _Totals()
        rows = sum(len(frame) for frame in frames)
        for frame in frames:
            result = validate_import(frame, spec, known_after_us=known_after_us, known_at=known_at)
            self._append(frame, result, totals, progress, rows)
        entities = self.settle(progress)
        return ImportAnswer(
            stream=stream,
            accepted=totals.accepted,
            quarantined=totals.quarantined,
            entities=entities,
            position=totals.position,
            refused=totals.refused,
        )

    def live(
        self, frames: Sequence[pl.DataFrame], stream: str, progress: Callable[[str, int, int], None]
    ) -> IngestAnswer:
        """Accept frames of one stream as events known now; return once all are applied.

        Raises:
            ImportRefused: A column is missing or unknown; nothing of that frame was written.
        """
        from streamgauge.events.frames import validate_frame

        spec = self._intake.spec(stream)
        totals = _Totals()
        rows = sum(len(frame) for frame in frames)
        for frame in frames:
            self._append(frame, validate_frame(frame, spec), totals, progress, rows)
        return IngestAnswer(
            accepted=totals.accepted,
            quarantined=totals.quarantined + totals.conflicts,
            position=totals.position,
            refused=totals.refused,
            duplicates=totals.duplicates,
            conflicts=totals.conflicts,
        )

    def settle(self, progress: Callable[[str, int, int], None]) -> int:
        """Rebuild every entity whose stored state lacks imported history; return how many.

        The engine does it slice by slice, between batches of live events.
        """
        applier = self._engine.applier
        todo = len(applier.pending)
        done = 0
        while applier.pending:
            done += int(str(self._engine.on_engine(lambda: self._rebuild_slice(applier)).result()))
            progress("rebuilding entities", min(done, todo), todo)
        self._marker.clear()
        return done

    def _rebuild_slice(self, applier: Applier) -> int:
        return rebuild_pending(applier, self._log, self._workers)

    def _append(
        self,
        frame: pl.DataFrame,
        result: FrameResult,
        totals: _Totals,
        progress: Callable[[str, int, int], None],
        rows: int,
    ) -> None:
        if result.rejected:
            totals.refuse(self._intake, frame, result.rejected)
        for start in range(0, len(result.records), CHUNK):
            records: Sequence[NewRecord] = result.records[start : start + CHUNK]
            submission = Submission(records)
            answers = self._engine.submit(submission).result()
            applied = submission.applied.result()
            totals.count(answers, start)
            totals.duplicates += sum(one.verdict == "duplicate" for one in applied)
            totals.conflicts += sum(one.verdict in {"conflict", "identity_changed"} for one in applied)
            progress("appending", totals.accepted + totals.quarantined, rows)


class _Totals:
    """What became of the rows so far."""

    def __init__(self) -> None:
        self.accepted = 0
        self.quarantined = 0
        self.duplicates = 0
        self.conflicts = 0
        self.position = 0
        self.refused: list[Refused] = []

    def refuse(self, intake: Intake, frame: pl.DataFrame, rejected: Sequence[tuple[int, EventRejected]]) -> None:
        """Quarantine rows that could not be validated."""
        rows: list[tuple[Any, EventRejected]] = [(frame.row(row, named=True), error) for row, error in rejected]
        numbers = intake.refuse(rows)
        self.quarantined += len(rejected)
        for (row, error), number in zip(rejected, numbers, strict=True):
            if len(self.refused) == _SHOWN:
                break
            self.refused.append(Refused(index=row, reason=error.reason, detail=str(error), quarantine=number))

    def count(self, answers: Sequence[Record | Quarantined], start: int) -> None:
        """Count what the log answered for a chunk."""
        for index, answer in enumerate(answers):
            if isinstance(answer, Record):
                self.accepted += 1
                self.position = answer.position
                continue
            self.quarantined += 1
            if len(self.refused) < _SHOWN:
                self.refused.append(
                    Refused(index=start + index, reason=answer.reason, detail=answer.detail, quarantine=answer.number)
                )


def rebuild_pending(applier: Applier, log: Log, workers: int) -> int:
    """Rebuild a slice of the pending entities up to the applier's watermark; return how many.

    Only the applying thread may call it.
    """
    chosen = sorted(applier.pending)[:_SLICE]
    if chosen:
        rebuild_store(log, applier.live.layout, applier.store, chosen, up_to=applier.watermark, workers=workers)
        applier.pending.difference_update(chosen)
    return len(chosen)
