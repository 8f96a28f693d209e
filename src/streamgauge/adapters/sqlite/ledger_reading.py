"""Decisions read beside the process that owns their ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamgauge.adapters.sqlite.ledger_rows import READ_ENTRY, connect, to_row
from streamgauge.decisions.ledger import Entry
from streamgauge.decisions.record import decode, record_digest

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path


class DecisionReader:
    """Reads decisions that are kept and whole; about any other, the ledger's owner knows more. For one thread.

    Args:
        path: The ledger's file, which exists when the first decision is asked for.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def get(self, decision_id: str) -> Entry | None:
        """Return a decision whose record is the one that was chained, or None.

        Raises:
            sqlite3.DatabaseError: The file cannot be read.
            DecisionInvalid: The record cannot be.
        """
        if self._connection is None:
            connection = connect(self._path)
            connection.execute("PRAGMA query_only = ON")
            self._connection = connection
        found = self._connection.execute(f"{READ_ENTRY} WHERE c.decision_id = ?", (decision_id,)).fetchall()
        if not found:
            return None
        row = to_row(found[0])
        if row.body is None or row.salt is None or record_digest(row.salt, row.body) != row.record_digest:
            return None
        record = decode(row.body, row.seq)
        if record.decision_id != decision_id:
            return None
        return Entry(
            seq=row.seq,
            decision_id=decision_id,
            digest=row.record_digest.hex(),
            chain_hash=row.entry_hash.hex(),
            status="kept",
            record=record,
        )

    def close(self) -> None:
        """Release the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
