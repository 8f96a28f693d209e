"""The event log in one SQLite file: WAL, fsynced commits, one writer, any number of reading threads."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.adapters.sqlite.checkpoint import Checkpointer
from streamgauge.adapters.sqlite.end_mark import NOWHERE, End, EndMark
from streamgauge.adapters.sqlite.log_reading import GREATEST, LogReader
from streamgauge.adapters.sqlite.log_rows import Row, accepted, record_of, row_of
from streamgauge.adapters.sqlite.log_schema import connect, failures_named, mend_index, prepare
from streamgauge.adapters.sqlite.log_slices import POSITIONS, pages_of
from streamgauge.adapters.sqlite.log_tail import begin_erasing, end_erasing, floors, note_last, note_newest
from streamgauge.adapters.sqlite.quarantine import note_retry, store
from streamgauge.definitions.schema import FieldKind, StreamSpec
from streamgauge.definitions.texts import open_code
from streamgauge.errors import LogDamaged, UnknownName, close_match
from streamgauge.events.content import decode_texts
from streamgauge.events.record import DELETE
from streamgauge.events.roles import entities_of, expand
from streamgauge.log.acceptance import refusal
from streamgauge.log.door import RoleDoor
from streamgauge.log.grouping import groups_of
from streamgauge.log.moments import AcceptanceClock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from streamgauge.events.batch import RecordBatch
    from streamgauge.events.record import NewRecord, Record
    from streamgauge.log.port import Quarantined, Retried

_TEXTS_REMEMBERED: Final = 200_000
_PAGES_OF_A_COMMIT: Final = 3


@dataclass(frozen=True, slots=True)
class _Stream:
    """A stream that records are accepted of."""

    spec: StreamSpec
    schema: int
    categories: tuple[int, ...]  # which of its texts are open categories
    units_bytes: int


NOTHING: Final[Mapping[str, Sequence[int]]] = MappingProxyType({})


def never() -> bool:
    """Return False: what is under way may go on."""
    return False


class SqliteLog:
    """The `Log` of one process.

    Args:
        path: The file; it is created if there is none, its folder is not.
        reads_only: Whether another process owns it: it is there, and is only read here.

    Raises:
        LogDamaged: The file is of a newer format, or no event log.
        OSError: It cannot be opened.

    >>> import tempfile
    >>> log = SqliteLog(Path(tempfile.mkdtemp()) / "events.sqlite")
    >>> log.last_position()
    0
    >>> log.close()
    """

    def __init__(self, path: Path | str, *, reads_only: bool = False) -> None:
        self._path = Path(path)
        self._writing = threading.Lock()
        self._streams: dict[str, _Stream] = {}
        self._stream_of_schema: dict[int, str] = {}
        self._texts: set[int] = set()
        self._mark = EndMark(self._path.with_suffix(".end"))
        self._reached = NOWHERE
        with failures_named(self._path):
            self._writer = connect(self._path, reads_only=reads_only)
            try:
                if not reads_only:
                    prepare(self._writer, self._path)
                self._stream_of_schema.update(self._writer.execute("SELECT number, stream FROM schemas"))
            except BaseException:
                self._writer.close()
                raise
        self._reader = LogReader(self._path)
        self._checkpointer = Checkpointer(self._path)

    def mend(self, found: Sequence[str] | None = None) -> bool:
        """Make the index of the records again where it does not fit them, and return whether it had to be.

        Args:
            found: What an `IndexCheck` found; None to look now.

        Raises:
            LogDamaged: The records themselves are damaged.
        """
        with self._writing:
            return mend_index(self._writer, self._path, found)

    def check_end(self) -> bool:
        """Hold the log to how far it came once, and return whether that is known.

        Raises:
            LogDamaged: It ends before.
        """
        noted, last, number = self._mark.read(), self.last_position(), self._reader.last_quarantined()
        if noted is None:
            return False
        missing = [
            what
            for what, lost in (("accepted records", noted.position > last), ("refused events", noted.number > number))
            if lost
        ]
        if missing:
            raise LogDamaged(
                f"The event log ends at position {last} and its quarantine at number {number}, but they had come to "
                f"{noted.position} and {noted.number}: {' and '.join(missing)} are missing. Restore {self._path.name} "
                f"from a backup, or delete {self._mark.path} to go on without them."
            )
        return True

    def append(self, records: Sequence[NewRecord], now_us: int) -> list[Record | Quarantined]:
        """Accept records durably, in order, in one commit; answer for each, in order (see `Log.append`).

        Raises:
            UnknownName: A stream was not registered since the log was opened; nothing was accepted.
            OSError: The disk refused; nothing was accepted.
        """
        if not records:
            return []
        answers: list[Record | Quarantined] = []
        rows: list[Row] = []
        texts: dict[int, str] = {}
        with self._commit() as writer:
            door = RoleDoor(self.find, self.schema)
            (position, newest), number = self._last(writer), 0
            clock = AcceptanceClock(now_us, newest, lambda entity: self._previous(writer, entity, now_us))
            if clock.behind:
                note_newest(writer, newest)
            for new in records:
                stream = self._stream(new)
                entities = entities_of(new, stream.spec).values() if clock.behind else ()
                accepted_at = clock.moment(entities)
                known_at = accepted_at if new.declared_known_at is None else min(new.declared_known_at, accepted_at)
                refused = refusal(new, stream.spec, known_at, now_us)
                if refused is None and stream.spec.other_roles:
                    refused = door.refusal(new, stream.spec, now_us)
                if refused is not None:
                    kept = store(writer, refused)
                    answers.append(kept)
                    number = kept.number
                    continue
                record = accepted(new, position + 1, stream.schema, accepted_at, known_at)
                together = expand(record, stream.spec)
                rows += map(row_of, together)
                position = together[-1].position
                clock.accepted(entities, accepted_at)
                answers.append(record)
                if stream.categories:
                    self._collect(new, stream, texts)
            writer.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
            writer.executemany("INSERT OR IGNORE INTO texts VALUES (?, ?)", texts.items())
            self._reached = End(position, number)
        self._remember(texts)
        self._checkpointer.written(pages_of(len(rows)) + _PAGES_OF_A_COMMIT)
        return answers

    def quarantine(self, items: Sequence[Quarantined]) -> list[int]:
        """Store refused events durably, and return their numbers; a position is stored once."""
        if not items:
            return []
        with self._commit() as writer:
            numbers = [store(writer, item).number for item in items]
            self._reached = End(0, max(numbers))
        return numbers

    def quarantined(
        self,
        *,
        number: int | None = None,
        last: int = 100,
        before: int | None = None,
        reason: str | None = None,
        stream: str | None = None,
        resolved: bool | None = None,
        mentions: str | None = None,
    ) -> list[Quarantined]:
        """Return one refused event by number, or the newest ones, newest first (see `Log.quarantined`)."""
        return self._reader.quarantined(
            number=number, last=last, before=before, reason=reason, stream=stream, resolved=resolved, mentions=mentions
        )

    def quarantine_counts(self) -> dict[str, int]:
        """Return how many are open, by reason."""
        return self._reader.quarantine_counts()

    def retried(self, outcomes: Sequence[Retried]) -> list[Quarantined]:
        """Note durably what became of refused events that were tried again (see `Log.retried`)."""
        with self._commit() as writer:
            now = [note_retry(writer, outcome) for outcome in outcomes]
        return [item for item in now if item is not None]

    def last_position(self) -> int:
        """Return the newest position, 0 for an empty log."""
        return self._reader.last_position()

    def last_accepted_at(self) -> int:
        """Return the ``accepted_at`` of the newest record, 0 for an empty log."""
        newest = self._reader.last()
        return newest.accepted_at if newest else self._reader.kept_accepted_at()

    def read_after(self, position: int, limit: int) -> list[Record]:
        """Return up to ``limit`` records with greater positions, in order of position."""
        return self._reader.after(position, limit)

    def read_entity(self, entity: str, up_to: int | None = None, after: int = 0) -> list[Record]:
        """Return one entity's records with ``after`` < position ≤ ``up_to`` (all if None), in order of position."""
        return self._reader.of_entity(entity, up_to, after)

    def entities_after(self, position: int) -> list[str]:
        """Return the keys of the entities that have a record at a greater position, in the order of their first one."""
        return self._reader.entities_after(position)

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
        """Yield whole entities as columns, in order of their keys (see `Log.read_columns`).

        Args:
            entities: The entities, or None for all.
            up_to: The last position, or None for the newest as the reading starts.
            after: The position before the first.
            behind: Begin with the entities behind this one.
        """
        from streamgauge.adapters.sqlite.log_sweeping import LogSweeper

        return LogSweeper(self._reader).columns(entities, after, up_to, behind)

    def find(self, stream: str, entity: str, event_id: str, after: int = 0) -> Record | None:
        """Return the first record of an event (behind a position), or None."""
        return self._reader.find(stream, entity, event_id, after)

    def get(self, position: int) -> Record | None:
        """Return the record at a position, or None."""
        return self._reader.at(position)

    def entities(self, role: str | None = None) -> list[str]:
        """Return the keys of all entities (of one role), sorted."""
        return self._reader.entities(role)

    def register_schema(self, spec: StreamSpec) -> int:
        """Return the number of this form of a stream, storing it when it is new; its records are written under it."""
        form = msgspec.json.encode(replace(spec, doc=""))
        with self._commit() as writer:
            found = writer.execute("SELECT number FROM schemas WHERE form = ?", (form,)).fetchone()
            number = found[0] if found else self._add_schema(writer, spec, form)
        text_fields = [field for field in spec.fields if field.is_text]
        categories = tuple(i for i, field in enumerate(text_fields) if field.kind is FieldKind.CATEGORY)
        self._stream_of_schema[number] = spec.name
        self._streams[spec.name] = _Stream(spec, number, categories, 8 * len(spec.fields))
        return int(number)

    def schema(self, number: int) -> StreamSpec:
        """Return the stream as it was declared under a schema number.

        Raises:
            UnknownName: There is no such number.
        """
        return self._reader.schema(number)

    def schemas(self) -> list[StreamSpec]:
        """Return every form of every stream that was registered, the oldest first."""
        return self._reader.schemas()

    def text_of(self, value: int) -> str | None:
        """Return the text behind an open category's finished value, or None where it was never accepted."""
        return self._reader.text_of(value)

    def check(self) -> int:
        """Read everything, and return how many records are sound.

        Raises:
            LogDamaged: Something is not; the message names the place.
        """
        self.check_end()
        return self._reader.check(self._reader.needed()[0])

    def seal(self, keep: int, least: int, stopped: Callable[[], bool] = never) -> int:  # noqa: ARG002 - an archive needs them
        """Return 0: there is no archive (see `Log.seal`)."""
        return 0

    def erase(self, entity: str, beside: Mapping[str, Sequence[int]] = NOTHING, *, up_to: int | None = None) -> int:
        """Remove every record of an entity for ever; return how many there were (see `Log.erase`)."""
        with self._commit() as writer:
            note_last(writer, *self._last(writer))
            count = begin_erasing(writer, entity, GREATEST if up_to is None else up_to, (), beside)
            end_erasing(writer, entity, 0)
        self._empty_wal()
        return count

    def drop_quarantined(self, numbers: Sequence[int]) -> None:
        """Remove refused events from the disk for ever (see `Log.drop_quarantined`)."""
        with self._commit() as writer:
            writer.executemany("DELETE FROM quarantine WHERE number = ?", ((number,) for number in numbers))
        self._empty_wal()

    def erased(self, up_to: int | None = None) -> NDArray[np.int64]:
        """Return the positions whose records were erased, ascending, int64 (see `Log.erased`)."""
        return self._reader.erased(self.last_position() if up_to is None else up_to)

    def thinned(self, entity: str) -> int | None:
        """Return the first position that an entity lost to another's erasure (see `Log.thinned`)."""
        return self._reader.thinned(entity)

    def close(self) -> None:
        """Release the files; further calls fail."""
        self._checkpointer.close()
        self._reader.close()
        with self._writing:
            self._writer.close()
            self._mark.close()

    def _empty_wal(self) -> None:
        """Move what the write-ahead log holds into the file, so that erased records are nowhere."""
        with self._writing, failures_named(self._path):
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextmanager
    def _commit(self) -> Iterator[sqlite3.Connection]:
        """Give the writer for one transaction: durable when it ends, and without a trace if it fails."""
        with self._writing, failures_named(self._path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                self._reached = NOWHERE
                with suppress(sqlite3.DatabaseError):
                    self._writer.execute("ROLLBACK")
                raise
            self._mark.note(self._reached)

    def _last(self, writer: sqlite3.Connection) -> tuple[int, int]:
        """Return the newest position, and the greatest ``accepted_at``."""
        row = writer.execute(
            "SELECT position, entity, CAST(body AS BLOB) FROM records ORDER BY position DESC LIMIT 1"
        ).fetchone()
        kept_position, kept_at = floors(writer)
        if row is None:
            return kept_position, kept_at
        position, entity, body = row
        newest = record_of(position, entity, body, self._stream_of_schema)
        return max(newest.position, kept_position), max(newest.accepted_at, kept_at)

    def _previous(self, writer: sqlite3.Connection, entity: str, now_us: int) -> int:  # noqa: ARG002 - an archive needs it
        """Return an entity's newest ``accepted_at``, or 0; one that is not ahead of the clock may be left out."""
        newest = max((at for (at,) in writer.execute(POSITIONS, (0, GREATEST, entity))), default=0)
        if not newest:
            return 0
        (body,) = writer.execute("SELECT CAST(body AS BLOB) FROM records WHERE position = ?", (newest,)).fetchone()
        return record_of(newest, entity, body, self._stream_of_schema).accepted_at

    def _stream(self, new: NewRecord) -> _Stream:
        """Return the stream of a record, under the schema it was validated with."""
        stream = self._streams.get(new.stream)
        if stream is None:
            raise UnknownName(
                f'The stream "{new.stream}" was not registered with the log. {close_match(new.stream, self._streams)}'
            )
        if len(new.units) != stream.units_bytes:
            raise ValueError(
                f"A record of {new.stream} has {len(new.units)} bytes of units, its schema {stream.units_bytes}."
            )
        return stream

    def _collect(self, new: NewRecord, stream: _Stream, texts: dict[int, str]) -> None:
        """Add the texts of a record's open categories that may be new."""
        if new.op == DELETE:
            return
        found = decode_texts(new.texts)
        for index in stream.categories:
            text = found[index]
            if text is not None and (value := int(open_code(text))) not in self._texts:
                texts[value] = text

    def _remember(self, texts: dict[int, str]) -> None:
        """Keep in mind which texts are stored; only what is durable may be."""
        if len(self._texts) > _TEXTS_REMEMBERED:
            self._texts.clear()
        self._texts.update(texts)

    @staticmethod
    def _add_schema(writer: sqlite3.Connection, spec: StreamSpec, form: bytes) -> int:
        """Store a form of a stream that was not seen before."""
        added = writer.execute(
            "INSERT INTO schemas (stream, form, spec) VALUES (?, ?, ?)", (spec.name, form, msgspec.json.encode(spec))
        )
        return added.lastrowid or 0
