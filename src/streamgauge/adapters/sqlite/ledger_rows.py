"""The ledger's tables, and how their rows are read."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from streamgauge.adapters.sqlite.index_check import index_problems
from streamgauge.decisions.chain import StoredEntry
from streamgauge.decisions.record import decode_erasure, record_digest
from streamgauge.errors import DecisionInvalid, LedgerBroken

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from streamgauge.decisions.record import Erasure

CHECKED: Final = ("chain", "entities")
"""The tables whose indexes a start checks."""

# Bodies lie apart from the chain, so that erasing them leaves the chain untouched.
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS chain (
    seq INTEGER PRIMARY KEY,
    group_after INTEGER NOT NULL,
    decision_id TEXT UNIQUE,
    record_digest BLOB NOT NULL,
    entry_hash BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS erasures ON chain (seq) WHERE decision_id IS NULL;
CREATE TABLE IF NOT EXISTS bodies (seq INTEGER PRIMARY KEY, salt BLOB NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS entities (
    seq INTEGER NOT NULL,
    role TEXT NOT NULL,
    entity TEXT NOT NULL,
    PRIMARY KEY (seq, role)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS decisions_of_entity ON entities (role, entity);
COMMIT;
"""

_PAGES_BEFORE_A_COMMIT_CHECKPOINTS = 16_384
READ_ENTRY = (
    "SELECT c.seq, c.group_after, c.decision_id, c.record_digest, c.entry_hash, b.salt, b.body"
    " FROM chain AS c LEFT JOIN bodies AS b ON b.seq = c.seq"
)
_READ_ENTITIES = "SELECT seq, role, entity FROM entities WHERE seq >= ? ORDER BY seq, role"
_STRAY = """
SELECT min(seq) FROM (
    SELECT seq FROM chain WHERE seq < 1
    UNION ALL SELECT seq FROM bodies WHERE seq NOT IN (SELECT seq FROM chain)
    UNION ALL SELECT seq FROM entities WHERE seq NOT IN (SELECT seq FROM chain)
)
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection that any thread may use, with transactions begun by hand."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
    # An altered text may be no UTF-8; it has to be compared and reported, not to stop the reading.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return connection


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open the connection that writes, and create the tables a new ledger lacks.

    Raises:
        LedgerBroken: The file is no SQLite database.
    """
    connection = connect(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        # A commit that checkpoints keeps every decision of its group waiting; a thread does it instead.
        connection.execute(f"PRAGMA wal_autocheckpoint = {_PAGES_BEFORE_A_COMMIT_CHECKPOINTS}")
        connection.executescript(_SCHEMA)
    except sqlite3.DatabaseError as error:
        connection.close()
        msg = f"{path.name} cannot be opened as a ledger ({error}). Restore it from a backup."
        raise LedgerBroken(msg) from error
    return connection


def mend_indexes(connection: sqlite3.Connection, found: Sequence[str] | None = None) -> bool:
    """Make the indexes of the chain and of its entities again where they do not fit, and return whether they had to be.

    Entries have their hashes, an index has none: one that is not what was written would hide a decision. What is wrong
    with the tables themselves is left to the walk of the chain, which knows where it is.

    Args:
        connection: Writes to the ledger.
        found: What is wrong with them; None to look now.
    """
    with suppress(sqlite3.DatabaseError):
        if index_problems(connection, CHECKED) if found is None else found:
            connection.execute("REINDEX")
            return True
    return False


def to_row(columns: tuple[Any, ...], entities: dict[str, str] | None = None) -> StoredEntry:
    """Make an entry of the columns that `READ_ENTRY` names."""
    seq, after, decision_id, digest, chain_hash, salt, body = columns
    return StoredEntry(seq, after, decision_id, digest, chain_hash, salt, body, entities or {})


class RowSource:
    """An `EntrySource` over one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read through this connection; within a transaction of its, all answers are of one moment."""
        self._connection = connection

    def rows(self, from_seq: int) -> Iterator[StoredEntry]:
        """Yield entries by number, each with its entities."""
        try:
            entities = self._connection.execute(_READ_ENTITIES, (from_seq,))
            of_entity = next(entities, None)
            for columns in self._connection.execute(f"{READ_ENTRY} WHERE c.seq >= ? ORDER BY c.seq", (from_seq,)):
                own: dict[str, str] = {}
                while of_entity is not None and of_entity[0] <= columns[0]:
                    if of_entity[0] == columns[0]:
                        own[of_entity[1]] = of_entity[2]
                    of_entity = next(entities, None)
                yield to_row(columns, own)
        except sqlite3.DatabaseError as error:
            msg = f"the store cannot be read here ({error})"
            raise LedgerBroken(msg) from error

    def erased(self) -> set[int]:
        """Return the numbers that intact notes of erasure name."""
        return {seq for note in self.notes() for seq in note.seqs}

    def notes(self) -> Iterator[Erasure]:
        """Yield the intact notes of erasures, the oldest first."""
        # The walk over all rows meets the same fault, and knows where it is.
        with suppress(sqlite3.DatabaseError):
            for columns in self._connection.execute(f"{READ_ENTRY} WHERE c.decision_id IS NULL ORDER BY c.seq"):
                row = to_row(columns)
                if row.salt is None or row.body is None:
                    continue
                with suppress(DecisionInvalid):
                    note = decode_erasure(row.body)
                    if record_digest(row.salt, row.body) == row.record_digest:
                        yield note

    def stray(self) -> int | None:
        """Return the first number that has a body or an entity but no place in the chain."""
        try:
            found: tuple[int | None] = self._connection.execute(_STRAY).fetchone()
        except sqlite3.DatabaseError as error:
            msg = f"the store cannot be read ({error})"
            raise LedgerBroken(msg) from error
        return found[0]
