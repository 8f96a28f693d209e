"""The log's file as the tail of an archive: what was sealed is dropped from it, and what was erased leaves its place.

Rows leave in bounded transactions, overwritten with zeros (`secure_delete`), so that no commit waits long and no
deleted record stays in the file's free pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

UPGRADE: Final = """
CREATE TABLE IF NOT EXISTS erased (position INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS erasing (entity TEXT PRIMARY KEY) WITHOUT ROWID
"""
"""What a file of the first format lacks."""

LAST: Final = (
    "SELECT max(coalesce((SELECT max(position) FROM records), 0), "
    "coalesce((SELECT value FROM meta WHERE key = 'last_position'), 0))"
)
"""The newest position that was given, also where its record is here no more."""

SEALED: Final = "SELECT coalesce((SELECT value FROM meta WHERE key = 'sealed'), 0)"
"""Rows up to this position may be missing here: they are in the archive."""

_NOTE: Final = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)"

_DROP: Final = """
DELETE FROM records WHERE position IN (SELECT position FROM records WHERE position <= ? ORDER BY position LIMIT ?)
"""


def note_last(writer: sqlite3.Connection, position: int, accepted_at: int) -> None:
    """Keep the newest position and ``accepted_at`` for when their record is here no more."""
    writer.executemany(_NOTE, (("last_position", position), ("last_accepted_at", accepted_at)))


def floors(writer: sqlite3.Connection) -> tuple[int, int]:
    """Return the newest position and ``accepted_at`` that were kept so."""
    found = dict(writer.execute("SELECT key, value FROM meta WHERE key IN ('last_position', 'last_accepted_at')"))
    return found.get("last_position", 0), found.get("last_accepted_at", 0)


def drop_sealed(writer: sqlite3.Connection, through: int, rows: int) -> int:
    """Drop up to so many of the rows that the archive holds durably; return how many."""
    writer.execute(_NOTE, ("sealed", through))
    return writer.execute(_DROP, (through, rows)).rowcount


def begin_erasing(writer: sqlite3.Connection, entity: str, archived: Iterable[int]) -> int:
    """Drop an entity's rows and what the quarantine has of it, and note its positions; return how many there are.

    Args:
        writer: A connection in a transaction.
        entity: The entity's key, kept until `end_erasing`, so that an interrupted erasure is taken up again.
        archived: The positions of its records in the archive.
    """
    here = [position for (position,) in writer.execute("SELECT position FROM records WHERE entity = ?", (entity,))]
    positions = {*here, *archived}
    writer.execute("DELETE FROM records WHERE entity = ?", (entity,))
    writer.execute("DELETE FROM quarantine WHERE entity = ?", (entity,))
    writer.executemany("INSERT OR IGNORE INTO erased VALUES (?)", ((position,) for position in sorted(positions)))
    writer.execute("INSERT OR IGNORE INTO erasing VALUES (?)", (entity,))
    return len(positions)


def end_erasing(writer: sqlite3.Connection, entity: str) -> None:
    """Forget the key of an entity that was erased everywhere."""
    writer.execute("DELETE FROM erasing WHERE entity = ?", (entity,))
