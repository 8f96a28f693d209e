"""The log's file as the tail of an archive: what was sealed is dropped from it, and what was erased leaves its place.

Rows leave in bounded transactions, overwritten with zeros (`secure_delete`), so that no commit waits long and no
deleted record stays in the file's free pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamgauge.adapters.sqlite.log_slices import POSITIONS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

UPGRADE: Final = """
CREATE TABLE IF NOT EXISTS erased (position INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS erasing (entity TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS thinned (entity TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID
"""
"""What a file of the first format lacks."""

LAST: Final = (
    "SELECT max(coalesce((SELECT max(position) FROM records), 0), "
    "coalesce((SELECT value FROM meta WHERE key = 'last_position'), 0))"
)
"""The newest position that was given, also where its record is here no more."""

NEEDED: Final = """
SELECT coalesce((SELECT value FROM meta WHERE key = 'sealed'), 0),
    coalesce((SELECT value FROM meta WHERE key = 'manifest'), 0)
"""
"""What the archive must have: rows up to that position may be missing here, and older manifests hold erased records."""

_NOTE: Final = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)"

_THIN: Final = (
    "INSERT INTO thinned VALUES (?, ?) ON CONFLICT (entity) DO UPDATE SET position = min(position, excluded.position)"
)

_DROP: Final = """
DELETE FROM records WHERE position IN (SELECT position FROM records WHERE position <= ? ORDER BY position LIMIT ?)
"""


def note_last(writer: sqlite3.Connection, position: int, accepted_at: int) -> None:
    """Keep the newest position and the greatest ``accepted_at`` for when their record is here no more."""
    writer.executemany(_NOTE, (("last_position", position), ("last_accepted_at", accepted_at)))


def note_newest(writer: sqlite3.Connection, accepted_at: int) -> None:
    """Keep the greatest ``accepted_at``, for the newest record's may be smaller from now on."""
    writer.execute(_NOTE, ("last_accepted_at", accepted_at))


def floors(writer: sqlite3.Connection) -> tuple[int, int]:
    """Return the newest position and the greatest ``accepted_at`` that were kept so."""
    found = dict(writer.execute("SELECT key, value FROM meta WHERE key IN ('last_position', 'last_accepted_at')"))
    return found.get("last_position", 0), found.get("last_accepted_at", 0)


def drop_sealed(writer: sqlite3.Connection, through: int, rows: int) -> int:
    """Drop up to so many of the rows that the archive holds durably; return how many."""
    writer.execute(_NOTE, ("sealed", through))
    return writer.execute(_DROP, (through, rows)).rowcount


def begin_erasing(
    writer: sqlite3.Connection, entity: str, up_to: int, archived: Iterable[int], beside: Mapping[str, Sequence[int]]
) -> int:
    """Drop an entity's rows and what the quarantine has of it, and note its positions; return how many there are.

    Args:
        writer: A connection in a transaction.
        entity: The entity's key, kept until `end_erasing`, so that an interrupted erasure is taken up again.
        up_to: Later records of it stay.
        archived: The positions of its records in the archive.
        beside: By other entity, the positions of records that go with it.
    """
    here = [position for (position,) in writer.execute(POSITIONS, (0, up_to, entity))]
    with_it = [position for positions in beside.values() for position in positions]
    positions = {*here, *archived, *with_it}
    writer.executemany("DELETE FROM records WHERE position = ?", ((position,) for position in (*here, *with_it)))
    writer.execute("DELETE FROM thinned WHERE entity = ?", (entity,))
    writer.executemany(_THIN, [(other, min(positions)) for other, positions in beside.items() if other != entity])
    writer.execute("DELETE FROM quarantine WHERE entity = ?", (entity,))
    writer.executemany("DELETE FROM quarantine WHERE position = ?", ((position,) for position in positions))
    writer.executemany("INSERT OR IGNORE INTO erased VALUES (?)", ((position,) for position in sorted(positions)))
    writer.execute("INSERT OR IGNORE INTO erasing VALUES (?)", (entity,))
    return len(positions)


def end_erasing(writer: sqlite3.Connection, entity: str, manifest: int) -> None:
    """Forget the key of an entity that was erased everywhere, and note the number of the first manifest without it."""
    writer.execute(_NOTE, ("manifest", manifest))
    writer.execute("DELETE FROM erasing WHERE entity = ?", (entity,))
