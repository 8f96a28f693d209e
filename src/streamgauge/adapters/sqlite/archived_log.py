"""The event log as one sequence: sorted segments hold what was sealed, SQLite the tail."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from streamgauge.adapters.sqlite.log import NOTHING, SqliteLog, never
from streamgauge.adapters.sqlite.log_reading import GREATEST
from streamgauge.adapters.sqlite.log_slices import pages_of
from streamgauge.adapters.sqlite.log_tail import begin_erasing, drop_sealed, end_erasing, note_last
from streamgauge.errors import LogDamaged
from streamgauge.log.grouping import groups_of
from streamgauge.log.segment import SegmentGone

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from streamgauge.adapters.sqlite.stretch import Stretch
    from streamgauge.events.batch import RecordBatch
    from streamgauge.events.record import Record
    from streamgauge.log.archive import Archive, Snapshot

_Found = TypeVar("_Found")

DROPPED_AT_ONCE: Final = 500
"""Rows of a transaction that drops what is sealed: appends wait for it."""
_MOST_AT_ONCE: Final = 10_000
"""Rows of one where very many wait."""
_IDLE: Final = 10
"""So many times as many of them where nothing was appended since the one before."""
_REST: Final = 2
"""So many times as long as such a transaction took is left to others before the next, where they append."""
_WRITTEN_AT_ONCE: Final = 10_000
_ATTEMPTS: Final = 20


class _Stopped(Exception):
    """The sealing is to end."""


class ArchivedLog(SqliteLog):
    """A `SqliteLog` whose old records are sealed into an archive.

    Reads take positions up to the manifest's `sealed_to` from the archive and later ones from SQLite. A row is dropped
    from SQLite only after the manifest names it durably, and the drop notes up to where in the same transaction; so a
    read that finds the note beyond its manifest reads the manifest again, whichever process sealed.

    Args:
        path: The file.
        archive: The archive.
        reads_only: Whether another process owns both, and they are only read here.
    """

    def __init__(self, path: Path | str, archive: Archive, *, reads_only: bool = False) -> None:
        super().__init__(path, reads_only=reads_only)
        self._archive = archive
        self._stretch: Stretch | None = None
        self._recovered = False
        try:
            sealed_to = archive.snapshot().sealed_to
            if (
                not reads_only and sealed_to > self.last_position()
            ):  # the file was restored from before the last sealing
                with self._commit() as writer:
                    note_last(writer, sealed_to, 0)
        except BaseException:
            super().close()
            raise

    def read_after(self, position: int, limit: int) -> list[Record]:
        """Return up to ``limit`` records with greater positions, in order of position."""
        return self._consistent(lambda snapshot: self._read_after(snapshot, position, limit))

    def read_entity(self, entity: str, up_to: int | None = None, after: int = 0) -> list[Record]:
        """Return one entity's records with ``after`` < position ≤ ``up_to`` (all if None), in order of position."""

        def read(snapshot: Snapshot) -> list[Record]:
            parts = [batch for reader in snapshot.readers(after) for batch in reader.sweep([entity])]
            found = [record for batch in parts for record in self._records(batch, after, up_to)]
            return found + super(ArchivedLog, self).read_entity(entity, up_to, max(after, snapshot.sealed_to))

        return self._consistent(read)

    def entities_after(self, position: int) -> list[str]:
        """Return the keys of the entities that have a record at a greater position, in the order of their first one."""

        def read(snapshot: Snapshot) -> list[str]:
            first: dict[str, int] = {}
            for reader in snapshot.readers(position):
                for batch in reader.sweep():
                    later = batch.kept(batch.position > position)
                    for key, at in zip(later.entities, later.position[later.offsets[:-1]].tolist(), strict=True):
                        first[key] = min(at, first.get(key, at))
            found = sorted(first, key=first.__getitem__)
            tail = super(ArchivedLog, self).entities_after(max(position, snapshot.sealed_to))
            return [*found, *(key for key in tail if key not in first)]

        return self._consistent(read)

    def read_by_entity(
        self, entities: Sequence[str] | None = None, up_to: int | None = None
    ) -> Iterator[tuple[str, list[Record]]]:
        """Yield (entity, its records in order of position) for the named entities, or for all in order of their key."""
        cut = self.last_position() if up_to is None else up_to
        yield from groups_of(lambda some: self.read_columns(some, cut), entities, self._reader.stream_names)

    def read_columns(
        self,
        entities: Collection[str] | None = None,
        up_to: int | None = None,
        after: int = 0,
        behind: str | None = None,
    ) -> Iterator[RecordBatch]:
        """Yield whole entities as columns, in order of their keys (see `SqliteLog.read_columns`)."""
        cut = self.last_position() if up_to is None else up_to
        for _ in range(_ATTEMPTS):
            snapshot = self._archive.snapshot()
            try:
                for batch in self._swept(snapshot, entities, (after, cut), behind):
                    if not self._current(snapshot):
                        break
                    yield batch
                    behind = batch.entities[-1]
                else:
                    if self._current(snapshot):
                        return
            except SegmentGone:
                self._archive.reload()
        raise self._torn()

    def find(self, stream: str, entity: str, event_id: str, after: int = 0) -> Record | None:
        """Return the first record of an event (behind a position), or None."""

        def read(snapshot: Snapshot) -> Record | None:
            for reader in snapshot.readers(after):
                if reader.may_hold(entity, event_id):
                    for batch in reader.sweep([entity]):
                        for record in self._records(batch, after, None):
                            if record.event_id == event_id and record.stream == stream:
                                return record
            return super(ArchivedLog, self).find(stream, entity, event_id, max(after, snapshot.sealed_to))

        return self._consistent(read)

    def get(self, position: int) -> Record | None:
        """Return the record at a position, or None."""

        def read(snapshot: Snapshot) -> Record | None:
            if position > snapshot.sealed_to:
                return super(ArchivedLog, self).get(position)
            reader = snapshot.reader_at(position)
            batches = () if reader is None else reader.at([position])
            return next((record for batch in batches for record in self._records(batch)), None)

        return self._consistent(read)

    def entities(self, role: str | None = None) -> list[str]:
        """Return the keys of all entities (of one role), sorted."""

        def read(snapshot: Snapshot) -> list[str]:
            parts = [reader.entities(role) for reader in snapshot.readers()]
            tail = super(ArchivedLog, self).entities(role)
            return sorted({*tail, *(key for part in parts for key in part)}) if parts else tail

        return self._consistent(read)

    def check(self) -> int:
        """Read everything, and return how many records are sound.

        Raises:
            LogDamaged: Something is not; the message names the place.
        """

        def read(snapshot: Snapshot) -> int:
            self._current(snapshot)  # what does not fit is named before what is missing for it
            readers = snapshot.readers()
            count = sum(len(reader.check()) for reader in readers)
            erased = self._reader.rows("SELECT count(*) FROM erased WHERE position <= ?", (snapshot.sealed_to,))[0][0]
            if not self._reader.erasing() and count + erased != snapshot.sealed_to:
                raise LogDamaged(
                    f"The event log's archive holds {count:,} records and {erased:,} erased positions up to position "
                    f"{snapshot.sealed_to:,}. Stop the engine and restore the log and its archive from a backup."
                )
            return count + self._reader.check(snapshot.sealed_to)

        self.check_end()
        return self._consistent(read)

    def seal(self, keep: int, least: int, stopped: Callable[[], bool] = never) -> int:
        """Move old records into the archive, ``least`` at a time (see `Log.seal`)."""
        if self._recovered and self._waiting(keep) < least:
            return 0
        moved = 0
        with self._archive.writing(), suppress(_Stopped):
            for entity in self._reader.erasing():
                self._finish_erasing(entity)
            usual = 2 * (keep + least)
            self._drop_sealed(usual, stopped)
            self._recovered = True
            while self._waiting(keep) >= least:
                moved += self._seal_some(least, stopped)
                self._drop_sealed(usual, stopped)
                while self._archive.compact(lambda batches: _until(stopped, batches)):
                    pass
        return moved

    def erase(self, entity: str, beside: Mapping[str, Sequence[int]] = NOTHING, *, up_to: int | None = None) -> int:
        """Remove every record of an entity for ever; return how many there were (see `Log.erase`)."""
        with self._archive.writing():
            for interrupted in self._reader.erasing():
                self._finish_erasing(interrupted)
            return self._erase(entity, beside, GREATEST if up_to is None else up_to)

    def close(self) -> None:
        """Release the files; further calls fail."""
        super().close()
        self._archive.close()

    def _previous(self, writer: sqlite3.Connection, entity: str, now_us: int) -> int:
        """Return an entity's newest ``accepted_at``, or 0; one that is not ahead of the clock may be left out."""
        found = super()._previous(writer, entity, now_us)
        if found:
            return found
        readers = self._archive.snapshot().ahead_of(now_us)
        return max((int(b.accepted_at[-1]) for reader in readers for b in reader.sweep([entity])), default=0)

    def _waiting(self, keep: int) -> int:
        """Return how many records could be sealed."""
        return self.last_position() - keep - self._archive.snapshot().sealed_to

    def _seal_some(self, count: int, stopped: Callable[[], bool]) -> int:
        from streamgauge.adapters.sqlite.log_sweeping import LogSweeper

        after = self._archive.snapshot().sealed_to
        batch = LogSweeper(self._reader).between(after, after + count)
        self._archive.add(_until(stopped, batch.split(_WRITTEN_AT_ONCE)), after + count)
        return len(batch)

    def _drop_sealed(self, usual: int, stopped: Callable[[], bool]) -> None:
        """Drop what the archive holds from the file; appends go on in between.

        Args:
            usual: How many records the file may hold before dropping hurries: they come faster than they go.
            stopped: Asked before each transaction.
        """
        through = self._archive.snapshot().sealed_to
        dropped = at_once = last = 0
        while through and dropped == at_once:
            if stopped():
                raise _Stopped
            before, last = last, self.last_position()
            more = last + 1 - self._reader.first_position() - usual
            few = DROPPED_AT_ONCE if last != before else _IDLE * DROPPED_AT_ONCE
            at_once = min(max(few, more // DROPPED_AT_ONCE), _MOST_AT_ONCE)
            began = time.perf_counter()
            with self._commit() as writer:
                note_last(writer, *self._last(writer))
                dropped = drop_sealed(writer, through, at_once)
            self._checkpointer.written(pages_of(dropped))
            if at_once == DROPPED_AT_ONCE:
                time.sleep(_REST * (time.perf_counter() - began))

    def _erase(self, entity: str, beside: Mapping[str, Sequence[int]], up_to: int) -> int:
        held = [batch for reader in self._archive.snapshot().readers() for batch in reader.sweep([entity])]
        archived = [at for batch in held for at in batch.position.tolist() if at <= up_to]
        with self._commit() as writer:
            note_last(writer, *self._last(writer))
            count = begin_erasing(writer, entity, up_to, archived, beside)
        self._finish_erasing(entity)
        return count

    def _finish_erasing(self, entity: str) -> None:
        """Take from the archive what the file notes as erased, and forget the key."""
        self._archive.erase(self.erased(self._archive.snapshot().sealed_to))
        self._stretch = None
        with self._commit() as writer:
            end_erasing(writer, entity, self._archive.snapshot().manifest.number)
        self._empty_wal()

    def _read_after(self, snapshot: Snapshot, position: int, limit: int) -> list[Record]:
        if position >= snapshot.sealed_to:
            return super().read_after(position, limit)
        from streamgauge.adapters.sqlite.stretch import Stretch

        found: list[Record] = []
        while len(found) < limit and position < snapshot.sealed_to:
            stretch = self._stretch
            if stretch is None or not stretch.covers(snapshot, position):
                stretch = self._stretch = Stretch.behind(snapshot, position)
            found += self._records(stretch.batch_behind(position, limit - len(found)))
            position = stretch.through
        found.sort(key=_position)
        tail = super().read_after(max(position, snapshot.sealed_to), limit - len(found)) if len(found) < limit else []
        return found + tail

    def _swept(
        self, snapshot: Snapshot, entities: Collection[str] | None, cut: tuple[int, int], behind: str | None
    ) -> Iterator[RecordBatch]:
        after, up_to = cut
        places = [
            (
                batch.kept((batch.position > after) & (batch.position <= up_to))
                for batch in reader.sweep(entities, behind)
            )
            for reader in snapshot.readers(after)
            if reader.segment.after < up_to
        ]
        tail = super().read_columns(entities, up_to, max(after, snapshot.sealed_to), behind)
        if not places:
            return tail
        from streamgauge.log.merging import merged

        return merged([*places, tail])

    def _records(self, batch: RecordBatch, after: int = 0, up_to: int | None = None) -> list[Record]:
        """Return a batch's records behind a position, up to another."""
        if after:
            batch = batch.kept(batch.position > after)
        return (batch if up_to is None else batch.up_to(up_to)).records(self._reader.stream_names())

    def _consistent(self, read: Callable[[Snapshot], _Found]) -> _Found:
        """Return what a read finds in the archive and in the tail behind it."""
        for _ in range(_ATTEMPTS):
            snapshot = self._archive.snapshot()
            try:
                found = read(snapshot)
            except SegmentGone:
                self._archive.reload()
                continue
            except LogDamaged:
                if self._current(snapshot):
                    raise
                continue  # what was sealed meanwhile is not missing
            if self._current(snapshot):
                return found
        raise self._torn()

    def _current(self, snapshot: Snapshot) -> bool:
        """Return whether nothing behind a snapshot was dropped or erased by now; else the manifest is read again."""
        sealed_to, number = self._reader.needed()
        if sealed_to <= snapshot.sealed_to and number <= snapshot.manifest.number:
            return True
        found = self._archive.reload()
        if found.sealed_to < sealed_to:
            raise self._torn(f"records up to position {sealed_to:,} were sealed, and it ends at {found.sealed_to:,}")
        if found.manifest.number < number:
            raise self._torn("it is from before the last erasure")
        return False

    def _torn(self, what: str = "a segment that its manifest names is missing") -> LogDamaged:
        return LogDamaged(
            f"The event log's archive does not fit {self._path.name}: {what}. "
            f"Stop the engine and restore the folder {self._archive.folder.name} from a backup."
        )


def _until(stopped: Callable[[], bool], batches: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
    """Yield batches until the sealing is to end."""
    for batch in batches:
        if stopped():
            raise _Stopped
        yield batch


def _position(record: Record) -> int:
    return record.position
