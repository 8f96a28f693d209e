"""History comes in by chunks through the engine; every entity it touches is then rebuilt from the log."""

from __future__ import annotations

import os
import threading
import zlib
from collections import deque
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from streamgauge.app.answers import ImportAnswer, IngestAnswer, Refused
from streamgauge.app.engine import Submission
from streamgauge.app.service import quiet
from streamgauge.events.record import Record
from streamgauge.features.decode import SchemaBook
from streamgauge.features.judging import Judged
from streamgauge.features.rebuild import rebuild_store
from streamgauge.log.port import Quarantined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    import polars as pl

    from streamgauge.app.applying import Applier
    from streamgauge.app.engine import Engine
    from streamgauge.app.intake import Intake
    from streamgauge.app.service import Progress
    from streamgauge.events.files import FileBatch, RefusedRow
    from streamgauge.events.frames import FrameResult
    from streamgauge.log.port import Log

CHUNK: Final = 4_096
"""How many records are appended at a time; the next ones are appended while these are applied."""

_UNDER_WAY: Final = 3
_SLICE: Final = 1_024
"""How many entities are rebuilt between two batches of live events."""
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
        """Return the position before the unfinished import, 0 where it cannot be read, None where there is none."""
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        number, _, check = text.partition(" ")
        return int(number) if number.isdecimal() and check == _check(number) else 0

    def set(self, position: int) -> None:
        """Note a position durably, unless an older one is noted already."""
        if self.read() is not None:
            return
        temporary = self._path.with_suffix(".new")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(f"{position} {_check(str(position))}")
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def clear(self) -> None:
        """Note that every state is complete."""
        self._path.unlink(missing_ok=True)


def _check(number: str) -> str:
    return f"{zlib.crc32(number.encode()):08x}"


def unfinished_entities(log: Log, marker: ImportMarker) -> set[str]:
    """Return the entities of an import that a crash cut short; they are rebuilt before they are used."""
    found: set[str] = set()
    position = marker.read()
    while position is not None and (records := log.read_after(position, CHUNK)):
        found.update(record.entity for record in records if record.imported)
        position = records[-1].position
    return found


class Importer:
    """Brings frames in: history with a declared arrival, or events known now."""

    def __init__(self, log: Log, engine: Engine, intake: Intake, marker: ImportMarker, workers: int) -> None:
        """Keep what an import needs."""
        self._log = log
        self._engine = engine
        self._intake = intake
        self._marker = marker
        self._workers = workers
        self._under_way = 0
        self._counting = threading.Lock()

    def history(self, batches: Iterable[FileBatch], stream: str, progress: Progress, rows: int = 0) -> ImportAnswer:
        """Append imported records of one stream; return once every entity they touch is rebuilt.

        Args:
            batches: The records, with their declared arrival, and the rows that were refused.
            stream: The stream.
            progress: Told what is done.
            rows: How many rows there are in all, 0 where nobody knows.

        Raises:
            ImportRefused: Raised by the batches; what came before is in the log.
        """
        totals = _Totals()
        with self.history_begun(progress) as rebuilt:
            self._append(batches, stream, totals, progress, rows)
        return ImportAnswer(
            stream=stream,
            accepted=totals.accepted,
            quarantined=totals.quarantined,
            entities=sum(rebuilt),
            position=totals.position,
            refused=totals.refused,
        )

    @contextmanager
    def history_begun(self, progress: Progress = quiet) -> Iterator[list[int]]:
        """Let history be appended within; at its end every entity it touched is rebuilt, and their number given."""
        with self._counting:
            self._under_way += 1
            self._marker.set(self._log.last_position())
        rebuilt: list[int] = []
        try:
            yield rebuilt
        finally:
            with self._counting:
                self._under_way -= 1
            rebuilt.append(self.settle(progress))

    def live(self, batches: Iterable[FileBatch], stream: str, progress: Progress, rows: int = 0) -> IngestAnswer:
        """Append records known now; return once all are applied. Arguments and errors are those of `history`."""
        totals = _Totals()
        self._append(batches, stream, totals, progress, rows)
        return IngestAnswer(
            accepted=totals.accepted,
            quarantined=totals.quarantined,
            position=totals.position,
            refused=totals.refused,
            duplicates=totals.duplicates,
            conflicts=totals.conflicts,
        )

    def settle(self, progress: Progress) -> int:
        """Rebuild every entity whose stored state lacks imported history; return how many.

        The engine does it slice by slice, between batches of live events.
        """
        todo = len(self._engine.applier.pending)
        done = 0
        while self._engine.applier.pending:
            waiting = cast("list[str]", self._engine.on_engine(lambda: sorted(self._engine.applier.pending)).result())
            for start in range(0, len(waiting), _SLICE):
                rebuild = partial(self._rebuild_slice, waiting[start : start + _SLICE])
                done += cast("int", self._engine.on_engine(rebuild).result())
                progress("rebuilding entities", min(done, todo), todo)
        if done:
            with suppress(OSError):  # the next start looks at these entities again
                self._engine.on_engine(self._engine.applier.note).result()
        with self._counting:
            # While another import is under way, the marker is its own: its records may wait to be applied.
            if not self._under_way and not self._engine.applier.pending:
                self._marker.clear()
        return done

    def _rebuild_slice(self, entities: Sequence[str]) -> int:
        # A reload may have put another applier in place since the last slice, and live records come meanwhile.
        return rebuild_pending(self._engine.applier, self._log, entities, self._workers)

    def _append(
        self,
        batches: Iterable[FileBatch],
        stream: str,
        totals: _Totals,
        progress: Progress,
        rows: int,
    ) -> None:
        under_way: deque[tuple[Future[list[Record | Quarantined]], Submission]] = deque()
        for batch in batches:
            if batch.refused:
                totals.refuse(self._intake, stream, batch.refused)
            self._intake.note_drift()
            for start in range(0, len(batch.records), CHUNK):
                submission = Submission(batch.records[start : start + CHUNK])
                under_way.append((self._engine.submit(submission), submission))
                if len(under_way) > _UNDER_WAY:
                    self._count(*under_way.popleft(), totals)
                    progress("appending", totals.accepted + totals.quarantined, rows)
        while under_way:
            self._count(*under_way.popleft(), totals)
            progress("appending", totals.accepted + totals.quarantined, rows)

    def _count(self, appended: Future[list[Record | Quarantined]], submission: Submission, totals: _Totals) -> None:
        """Wait until a chunk is applied, and count what became of it."""
        totals.count(appended.result())
        verdicts = submission.applied.result().verdicts()
        totals.duplicates += verdicts["duplicate"]
        totals.conflicts += verdicts["conflict"] + verdicts["identity_changed"]


def frame_batches(
    frame: pl.DataFrame, result: FrameResult, known_after_us: int | None = None, known_at: str | None = None
) -> list[FileBatch]:
    """Return a validated frame as one batch, with what was declared of its arrival; rows are numbered from 1."""
    from streamgauge.events.arrival import Arrival
    from streamgauge.events.body import body_of
    from streamgauge.events.files import FileBatch, RefusedRow

    arrival = Arrival(known_after_us, known_at)
    refused = [
        RefusedRow(row + 1, error, body_of(frame.row(row, named=True)), arrival) for row, error in result.rejected
    ]
    return [FileBatch(len(frame), result.records, refused)]


class _Totals:
    """What became of the rows so far."""

    def __init__(self) -> None:
        self.accepted = 0
        self.quarantined = 0
        self.duplicates = 0
        self.conflicts = 0
        self.position = 0
        self.refused: list[Refused] = []

    def refuse(self, intake: Intake, stream: str, refused: Sequence[RefusedRow]) -> None:
        """Quarantine rows that could not be validated."""
        numbers = intake.refuse_rows(stream, refused)
        self.quarantined += len(refused)
        for one, number in zip(refused, numbers, strict=True):
            self._show(Refused(index=one.row, reason=one.refusal.reason, detail=str(one.refusal), quarantine=number))

    def count(self, answers: Sequence[Record | Quarantined]) -> None:
        """Count what the log answered for a chunk."""
        for answer in answers:
            if isinstance(answer, Record):
                self.accepted += 1
                self.position = answer.position
                continue
            self.quarantined += 1
            detail = f'Event "{answer.event_id}": {answer.detail}'
            self._show(Refused(index=0, reason=answer.reason, detail=detail, quarantine=answer.number))

    def _show(self, refused: Refused) -> None:
        if len(self.refused) < _SHOWN:
            self.refused.append(refused)


def rebuild_pending(applier: Applier, log: Log, entities: Sequence[str], workers: int) -> int:
    """Rebuild those of some entities that are pending, up to the applied position; return how many.

    While no model is served nothing reads a state: then they are dropped, and come back from the log when needed; what
    contradicts an earlier record is still found. Only the applying thread may call it.
    """
    chosen = [entity for entity in entities if entity in applier.pending]
    if not chosen:
        return 0
    if applier.live.models:
        rebuild_store(
            log,
            applier.live.layouts,
            applier.store,
            chosen,
            up_to=applier.applied,
            workers=workers,
            on_rejected=applier.quarantine,
        )
    else:
        book = SchemaBook(log.schema)
        for batch in log.read_columns(chosen, applier.applied):
            applier.quarantine(Judged.of(batch, book).rejected_records(book))
        applier.store.delete(chosen)
    applier.states.stored(chosen)
    applier.pending.difference_update(chosen)
    return len(chosen)
