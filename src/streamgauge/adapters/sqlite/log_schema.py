"""The log's file: its tables, its format, and what its failures mean."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from streamgauge.adapters.sqlite.index_check import index_problems
from streamgauge.adapters.sqlite.log_slices import FORMER, INDEX
from streamgauge.adapters.sqlite.log_tail import UPGRADE
from streamgauge.adapters.sqlite.quarantine import upgrade
from streamgauge.errors import LogDamaged, OwnerBusy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FORMAT: Final = 3
_UPGRADED: Final = frozenset({1, 2})
"""Formats that are brought to the present one: 1 has no archive and no erasures, 1 and 2 have another index."""

EPOCH: Final = 1

CHECKED: Final = ("records",)
"""The tables whose index a start checks."""

TABLES: Final = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE schemas (number INTEGER PRIMARY KEY, stream TEXT NOT NULL, form BLOB NOT NULL UNIQUE, spec BLOB NOT NULL);
CREATE TABLE records (position INTEGER PRIMARY KEY, entity TEXT NOT NULL, id_hash INTEGER NOT NULL, body BLOB NOT NULL);
{INDEX};
CREATE TABLE texts (code INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE quarantine (
    number INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, entity TEXT NOT NULL, event_id TEXT NOT NULL,
    reason TEXT NOT NULL, detail TEXT NOT NULL, body TEXT NOT NULL, at INTEGER NOT NULL, position INTEGER UNIQUE
);
CREATE INDEX quarantine_of_reason ON quarantine (reason);
"""

_BUSY_SECONDS: Final = 5.0
_CACHE_KIB: Final = 65_536
_PAGES_BEFORE_A_COMMIT_CHECKPOINTS: Final = 16_384
_PRIMARY_CODE: Final = 0xFF
_DISK: Final = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
}


@contextmanager
def failures_named(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into the log's.

    Raises:
        OSError: The disk refused.
        LogDamaged: The file is no sound log.
        OwnerBusy: Another process holds it.
        ValueError: The log was closed.
    """
    try:
        yield
    except sqlite3.ProgrammingError as error:
        if "closed" in str(error):
            raise ValueError(f"The log {path.name} was closed.") from error
        raise
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE
        if code in _DISK:
            raise OSError(_DISK[code], f"the event log could not be written: {error}", str(path)) from error
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or "decode to UTF-8" in str(error):
            raise LogDamaged(
                f"The event log {path.name} cannot be read: {error}. Stop the engine and restore it from a backup."
            ) from error
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise OwnerBusy(
                f"Another process holds the event log {path.name}. Send commands to it, or stop it."
            ) from error
        raise


def connect(path: Path, *, reads_only: bool = False) -> sqlite3.Connection:
    """Return a connection whose commits are durable once they return."""
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB // 4 if reads_only else _CACHE_KIB}")
        if reads_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_PAGES_BEFORE_A_COMMIT_CHECKPOINTS}")
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables of a new file, or refuse a file that this version cannot read.

    Raises:
        LogDamaged: The file is of a newer format, or no event log at all.
    """
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        connection.execute("BEGIN IMMEDIATE")
        for statement in (TABLES + UPGRADE).split(";"):
            connection.execute(statement)
        connection.executemany("INSERT INTO meta VALUES (?, ?)", (("format", FORMAT), ("epoch", EPOCH)))
        connection.execute("COMMIT")
        upgrade(connection)
        return
    if not {"meta", "records", "schemas", "texts", "quarantine"} <= tables:
        raise LogDamaged(f"{path.name} is no event log of Streamgauge. Name another file, or move this one away.")
    row = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    found = row[0] if row else 0
    if found in _UPGRADED:
        connection.execute("BEGIN IMMEDIATE")
        for statement in (*UPGRADE.split(";"), f"DROP INDEX IF EXISTS {FORMER}", INDEX):
            connection.execute(statement)
        connection.execute("UPDATE meta SET value = ? WHERE key = 'format'", (FORMAT,))
        connection.execute("COMMIT")
    elif found != FORMAT:
        raise LogDamaged(
            f"The event log {path.name} has format {found}, and this version of Streamgauge reads format {FORMAT}. "
            "Install the version that wrote it, or a newer one."
        )
    upgrade(connection)


def mend_index(connection: sqlite3.Connection, path: Path, found: Sequence[str] | None = None) -> bool:
    """Make the index of the records again where it does not fit them, and return whether it had to be.

    A record has a checksum, an entry of the index has none: one that is not what was written would hide a record.

    Args:
        connection: Writes to the log.
        path: The log's file.
        found: What is wrong with it; None to look now.

    Raises:
        LogDamaged: The records themselves are damaged.
    """
    with failures_named(path):
        if not (index_problems(connection, CHECKED) if found is None else found):
            return False
        connection.execute("REINDEX records")
        if left := index_problems(connection, CHECKED):
            what = "; ".join(left)
            raise LogDamaged(f"The event log {path.name} is damaged: {what}. Restore it from a backup.")
        return True
