"""The quarantine: a table of the log's file, written in the log's own commits."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamgauge.errors import LogDamaged
from streamgauge.events.arrival import Arrival
from streamgauge.log.port import Quarantined

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from streamgauge.log.port import Retried

BODY_BYTES: Final = 262_144
"""How much of a refused event's body is kept."""

DETAIL_BYTES: Final = 2_048
NAME_BYTES: Final = 512

_ADDED: Final = (
    "field TEXT NOT NULL DEFAULT ''",
    "arrival BLOB",
    "whole INTEGER NOT NULL DEFAULT 0",
    "retries INTEGER NOT NULL DEFAULT 0",
    "resolved INTEGER",
    "resolved_at INTEGER",
    "checksum INTEGER",
)
"""Columns that earlier versions did not have; what they kept may have been cut short, so it counts as not whole."""

_EARLIER_BODY_BYTES: Final = 8_192
_COLUMNS: Final = (
    "number, stream, entity, event_id, reason, detail, body, at, position, field, arrival, whole, retries, resolved, "
    "resolved_at, checksum"
)
COUNTS: Final = "SELECT reason, count(*) FROM quarantine WHERE resolved IS NULL GROUP BY reason ORDER BY reason"


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring the table to the present form; a body of an earlier version is whole if it is shorter than its limit."""
    found = {row[1] for row in connection.execute("PRAGMA table_info(quarantine)")}
    missing = [column for column in _ADDED if column.partition(" ")[0] not in found]
    if not missing:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for column in missing:
            connection.execute(f"ALTER TABLE quarantine ADD COLUMN {column}")
        if "whole" not in found:
            connection.execute(
                "UPDATE quarantine SET whole = 1 WHERE length(CAST(body AS BLOB)) < ?", (_EARLIER_BODY_BYTES - 4,)
            )
            connection.execute("DROP INDEX IF EXISTS quarantine_of_reason")
            connection.execute("CREATE INDEX quarantine_open ON quarantine (reason) WHERE resolved IS NULL")
        for (number,) in connection.execute("SELECT number FROM quarantine").fetchall():
            _seal(connection, number)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def store(writer: sqlite3.Connection, item: Quarantined) -> Quarantined:
    """Store a refused event, unless its position is stored already, and return it with its number."""
    if item.position is not None:
        found = writer.execute("SELECT number FROM quarantine WHERE position = ?", (item.position,)).fetchone()
        if found:
            return replace(item, number=found[0])
    body = _bounded(item.body, BODY_BYTES)
    added = writer.execute(
        "INSERT INTO quarantine (stream, entity, event_id, reason, detail, body, at, position, field, arrival, whole)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            _bounded(item.stream, NAME_BYTES),
            _bounded(item.entity, NAME_BYTES),
            _bounded(item.event_id, NAME_BYTES),
            _bounded(item.reason, NAME_BYTES),
            _bounded(item.detail, DETAIL_BYTES),
            body,
            item.at,
            item.position,
            _bounded(item.field, NAME_BYTES),
            None if item.arrival is None else msgspec.json.encode(item.arrival),
            item.whole and body == item.body,
        ),
    )
    number = added.lastrowid or 0
    _seal(writer, number)
    return replace(item, number=number)


def note_retry(writer: sqlite3.Connection, outcome: Retried) -> Quarantined | None:
    """Note what became of a refused event that was tried again; None where it is gone meanwhile."""
    newer = outcome.newer
    if outcome.position is not None:
        query, values = select(position=outcome.position)
        found = writer.execute(query, values).fetchone()
        newer = None if found is None else refused_of(found)
    if newer is None:
        writer.execute(
            "UPDATE quarantine SET resolved = ?, resolved_at = ? WHERE number = ?",
            (outcome.position, outcome.at, outcome.number),
        )
    else:
        if newer.number not in {0, outcome.number}:
            writer.execute("DELETE FROM quarantine WHERE number = ?", (newer.number,))
        writer.execute(
            "UPDATE quarantine SET reason = ?, detail = ?, field = ?, position = ?, retries = retries + 1"
            " WHERE number = ?",
            (newer.reason, _bounded(newer.detail, DETAIL_BYTES), newer.field, newer.position, outcome.number),
        )
    _seal(writer, outcome.number)
    query, values = select(number=outcome.number)
    found = writer.execute(query, values).fetchone()
    return None if found is None else refused_of(found)


def select(
    *,
    number: int | None = None,
    position: int | None = None,
    last: int = 1,
    before: int | None = None,
    reason: str | None = None,
    stream: str | None = None,
    resolved: bool | None = None,
    mentions: str | None = None,
) -> tuple[str, tuple[str | int, ...]]:
    """Return the query for refused events, newest first, and its values; see `streamgauge.log.port.Log.quarantined`."""
    asked: list[tuple[str, str | int | None]] = [
        ("number = ?", number),
        ("position = ?", position),
        ("number < ?", before),
        ("reason = ?", reason),
        ("stream = ?", stream),
        ("instr(entity || char(0) || body || char(0) || detail, ?)", mentions),
    ]
    kept = [(condition, value) for condition, value in asked if value is not None]
    conditions = [condition for condition, _ in kept]
    if resolved is not None:
        conditions.append("resolved IS NOT NULL" if resolved else "resolved IS NULL")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    query = f"SELECT {_COLUMNS} FROM quarantine{where} ORDER BY number DESC LIMIT ?"  # noqa: S608 - fixed texts only
    return query, (*(value for _, value in kept), max(last, 0))


def refused_of(row: Iterable[Any]) -> Quarantined:
    """Return the refused event that a row keeps.

    Raises:
        LogDamaged: It is not what was written.
    """
    row = tuple(row)
    if row[-1] != _checksum(row):
        raise LogDamaged(
            f"Number {row[0]} of the quarantine in log.db is not what was written. "
            "Stop the engine and restore the log from a backup."
        )
    (
        number,
        stream,
        entity,
        event_id,
        reason,
        detail,
        body,
        at,
        position,
        field,
        arrival,
        whole,
        retries,
        done,
        when,
        _,
    ) = row
    return Quarantined(
        stream,
        entity,
        event_id,
        reason,
        detail,
        body,
        at,
        position,
        number,
        field,
        None if arrival is None else msgspec.json.decode(arrival, type=Arrival),
        bool(whole),
        retries,
        done,
        when,
    )


def _seal(writer: sqlite3.Connection, number: int) -> None:
    """Give a row the checksum of what it holds."""
    query, values = select(number=number)
    for row in writer.execute(query, values).fetchall():
        writer.execute("UPDATE quarantine SET checksum = ? WHERE number = ?", (_checksum(row), number))


def _checksum(row: Sequence[Any]) -> int:
    return zlib.crc32(repr(row[:-1]).encode("utf-8", "surrogatepass"))


def _bounded(text: str, limit: int) -> str:
    """Return the valid head of a text, at most so many bytes of UTF-8."""
    if len(text) * 4 <= limit and text.isascii():
        return text
    return text[:limit].encode("utf-8", "backslashreplace")[:limit].decode("utf-8", "ignore")
