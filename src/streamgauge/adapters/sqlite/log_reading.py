"""Reading the log: one connection for each thread, and short reads, so that none holds up a checkpoint."""

from __future__ import annotations

import sqlite3
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamgauge.adapters.sqlite import quarantine
from streamgauge.adapters.sqlite.log_rows import damaged, id_hash, record_of
from streamgauge.adapters.sqlite.log_schema import connect, failures_named
from streamgauge.adapters.sqlite.log_slices import COUNTED, KEYS, OF_EVENT, POSITIONS
from streamgauge.adapters.sqlite.log_tail import LAST, NEEDED
from streamgauge.definitions.schema import StreamSpec
from streamgauge.errors import LogDamaged, UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from streamgauge.events.record import Record
    from streamgauge.log.port import Quarantined

CHECKED_AT_ONCE: Final = 20_000

GREATEST: Final = 2**63 - 1
_COLUMNS: Final = "SELECT position, entity, CAST(body AS BLOB) FROM records"
_decode_spec: Final = msgspec.json.Decoder(StreamSpec).decode


class ThreadConnection:
    """A thread's connection; it closes with its thread or with the log, whichever ends first."""

    __slots__ = ("__weakref__", "close", "execute")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.execute = connection.execute
        self.close = weakref.finalize(self, connection.close)


class _StreamNames(dict[int, str]):
    """Names by number that are looked up again when one is missing."""

    def __init__(self, load: Callable[[], dict[int, str]], known: Mapping[int, str]) -> None:
        super().__init__(known)
        self._load = load

    def __missing__(self, number: int) -> str:
        self.update(self._load())
        if number not in self:
            raise LogDamaged(f"The event log has records of schema {number}, but no such schema. Restore a backup.")
        return self[number]


class LogReader:
    """The reads of a log.

    Args:
        path: The log's file, which exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: weakref.WeakSet[ThreadConnection] = weakref.WeakSet()
        self._opening = threading.Lock()
        self._closed = False
        self._schemas: dict[int, StreamSpec] = {}
        self._streams: dict[int, str] = {}

    def close(self) -> None:
        """Close every thread's connection; further reads fail."""
        with self._opening:
            self._closed = True
            for connection in list(self._connections):
                connection.close()

    def last(self) -> Record | None:
        """Return the newest record."""
        found = self._records(f"{_COLUMNS} ORDER BY position DESC LIMIT 1")
        return found[0] if found else None

    def last_position(self) -> int:
        """Return the newest position, 0 for an empty log."""
        return int(self.rows(LAST)[0][0])

    def first_position(self) -> int:
        """Return the oldest position in the file, the one behind the newest where it holds none."""
        found = self.rows("SELECT min(position) FROM records")[0][0]
        return self.last_position() + 1 if found is None else int(found)

    def needed(self) -> tuple[int, int]:
        """Return up to which position the archive must reach, and the oldest number that its manifest may have."""
        sealed_to, manifest = self.rows(NEEDED)[0]
        return int(sealed_to), int(manifest)

    def erasing(self) -> list[str]:
        """Return the keys of the entities whose erasure was not brought to its end."""
        return [key for (key,) in self.rows("SELECT entity FROM erasing")]

    def erased(self, up_to: int) -> NDArray[np.int64]:
        """Return the positions up to one whose records were erased, ascending."""
        import numpy as np

        rows = self.rows("SELECT position FROM erased WHERE position <= ? ORDER BY position", (up_to,))
        return np.array([position for (position,) in rows], np.int64)

    def thinned(self, entity: str) -> int | None:
        """Return the first position that an entity lost to another's erasure, or None."""
        rows = self.rows("SELECT position FROM thinned WHERE entity = ?", (entity,))
        return int(rows[0][0]) if rows else None

    def kept_accepted_at(self) -> int:
        """Return the newest ``accepted_at`` that was kept of a record that is here no more."""
        rows = self.rows("SELECT coalesce(max(value), 0) FROM meta WHERE key = 'last_accepted_at'")
        return int(rows[0][0])

    def after(self, position: int, limit: int) -> list[Record]:
        """Return up to ``limit`` records with greater positions, in order of position."""
        return self._records(f"{_COLUMNS} WHERE position > ? ORDER BY position LIMIT ?", position, max(limit, 0))

    def at(self, position: int) -> Record | None:
        """Return the record at a position, or None."""
        found = self._records(f"{_COLUMNS} WHERE position = ?", position)
        return found[0] if found else None

    def of_entity(self, entity: str, up_to: int | None, after: int) -> list[Record]:
        """Return one entity's records with positions behind ``after`` and up to ``up_to``, in order of position."""
        last = GREATEST if up_to is None else up_to
        return self._records(f"{_COLUMNS} WHERE position IN ({POSITIONS}) ORDER BY position", after, last, entity)

    def entities_after(self, position: int) -> list[str]:
        """Return the keys of the entities that have a record behind a position, in the order of their first one."""
        query = "SELECT entity FROM records NOT INDEXED WHERE position > ? GROUP BY entity ORDER BY min(position)"
        return [key for (key,) in self.rows(query, (position,))]

    def find(self, stream: str, entity: str, event_id: str, after: int) -> Record | None:
        """Return the first record of an event behind a position, or None."""
        query = f"{_COLUMNS} WHERE position IN ({OF_EVENT}) ORDER BY position"
        for record in self._records(query, after, GREATEST, entity, id_hash(stream, event_id)):
            if record.stream == stream and record.event_id == event_id:
                return record
        return None

    def entities(self, role: str | None) -> list[str]:
        """Return the keys of all entities (of one role), sorted."""
        first, last = ("", "\U0010ffff") if role is None else (f"{role}:", f"{role};")
        return [key for (key,) in self.rows(KEYS, (first, last))]

    def count_entities(self, most: int) -> int:
        """Return how many entities there are, or ``most`` if they are more."""
        return int(self.rows(COUNTED, (most,))[0][0])

    def quarantined(
        self,
        *,
        number: int | None,
        last: int,
        before: int | None,
        reason: str | None,
        stream: str | None,
        resolved: bool | None,
        mentions: str | None,
    ) -> list[Quarantined]:
        """Return one refused event by number, or the newest ones, newest first."""
        query, values = quarantine.select(
            number=number, last=last, before=before, reason=reason, stream=stream, resolved=resolved, mentions=mentions
        )
        return [quarantine.refused_of(row) for row in self.rows(query, values)]

    def quarantine_counts(self) -> dict[str, int]:
        """Return how many are open, by reason."""
        return dict(self.rows(quarantine.COUNTS))

    def last_quarantined(self) -> int:
        """Return the newest number that the quarantine gave, 0 for none."""
        rows = self.rows("SELECT seq FROM sqlite_sequence WHERE name = 'quarantine'")
        return int(rows[0][0]) if rows else 0

    def text_of(self, value: int) -> str | None:
        """Return the text behind an open category's finished value, or None where it was never accepted."""
        found = self.rows("SELECT text FROM texts WHERE code = ?", (value,))
        return found[0][0] if found else None

    def schema(self, number: int) -> StreamSpec:
        """Return the stream as it was declared under a schema number.

        Raises:
            UnknownName: There is no such number.
        """
        if number not in self._schemas:
            self._load_schemas()
        if number not in self._schemas:
            raise UnknownName(f"The log has no schema {number}. Known: 1 to {max(self._schemas, default=0)}.")
        return self._schemas[number]

    def schemas(self) -> list[StreamSpec]:
        """Return every form of every stream that was registered, the oldest first."""
        return [spec for _, spec in self._forms()]

    def check(self, after: int) -> int:
        """Read everything behind a position, and return how many records are sound.

        Raises:
            LogDamaged: Something is not.
        """
        problems = [text for (text,) in self.rows("PRAGMA integrity_check(5)") if text != "ok"]
        if problems:
            raise LogDamaged(
                f"The event log {self._path.name} is damaged: {'; '.join(problems)}. Restore it from a backup."
            )
        count, position = 0, after
        accepted_at: dict[str, int] = {}
        while found := self.after(position, CHECKED_AT_ONCE):
            for record in found:
                if record.accepted_at < accepted_at.get(record.entity, 0):
                    raise damaged(record.position)
                accepted_at[record.entity] = record.accepted_at
            count, position = count + len(found), found[-1].position
        erased = self.rows("SELECT count(*) FROM erased WHERE position > ?", (after,))[0][0]
        missing = self.last_position() - after - erased - count
        if missing > 0:
            raise LogDamaged(
                f"{missing:,} records behind position {after:,} are missing from the event log {self._path.name}. "
                "Stop the engine and restore it from a backup."
            )
        return count

    def _records(self, query: str, *values: str | int) -> list[Record]:
        """Return the records that a query finds."""
        rows = self.rows(query, values)
        if rows and not self._streams:
            self._load_schemas()
        try:
            return [record_of(position, entity, body, self._streams) for position, entity, body in rows]
        except LogDamaged:
            self._load_schemas()  # another reader may have seen a schema first
            return [record_of(position, entity, body, self._streams) for position, entity, body in rows]

    def rows(self, query: str, values: Sequence[str | int] | dict[str, str | int] = ()) -> list[tuple[Any, ...]]:
        """Return the rows that a query finds, on this thread's connection."""
        with failures_named(self._path):
            return self._connection().execute(query, values).fetchall()

    def batches(self, query: str, values: Sequence[str | int], rows: int) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows that a query finds, so many at a time."""
        with failures_named(self._path):
            cursor = self._connection().execute(query, values)
            while found := cursor.fetchmany(rows):
                yield found

    def _connection(self) -> ThreadConnection:
        """Return this thread's connection."""
        found: ThreadConnection | None = getattr(self._local, "connection", None)
        if found is None or self._closed:
            with self._opening:
                if self._closed:
                    raise ValueError(f"The log {self._path.name} was closed.")
                found = self._local.connection = ThreadConnection(connect(self._path, reads_only=True))
                self._connections.add(found)
        return found

    def stream_names(self) -> Mapping[int, str]:
        """Return the name of the stream of each schema number; one that another process added is found when asked."""
        return _StreamNames(self._load_schemas, self._streams)

    def _load_schemas(self) -> dict[int, str]:
        """Read the schemas that were registered; return their streams' names."""
        schemas = dict(self._forms())
        self._schemas = schemas
        self._streams = {number: spec.name for number, spec in schemas.items()}
        return self._streams

    def _forms(self) -> list[tuple[int, StreamSpec]]:
        """Return the forms by number."""
        rows = self.rows("SELECT number, spec FROM schemas ORDER BY number")
        try:
            return [(int(number), _decode_spec(spec)) for number, spec in rows]
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
            raise LogDamaged(
                f"A stream's form in the event log {self._path.name} is not what was written ({error}). "
                "Stop the engine and restore the log from a backup."
            ) from error
