"""Protected attributes in a SQLite file of their own."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from streamgauge.models.protected import Attributes

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS people (
    class TEXT NOT NULL, entity TEXT NOT NULL, attributes BLOB NOT NULL, PRIMARY KEY (class, entity)
) STRICT, WITHOUT ROWID
"""
_OWNER_ONLY: Final = 0o600


class SqliteProtectedStore:
    """A `streamgauge.models.protected.ProtectedStore` that only the file's owner may read.

    There is no write-ahead log: what is erased is overwritten in the one file there is.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, creating it for its owner alone.

        Raises:
            SettingsError: It is no such file.
        """
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY))
        path.chmod(_OWNER_ONLY)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
        with self._named():
            self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA secure_delete = ON")
            self._connection.execute(_TABLE)

    def put(self, name: str, people: Mapping[str, Attributes]) -> None:
        """Keep the attributes of some entities, all of them or none."""
        rows = [(name, entity, msgspec.json.encode(attributes)) for entity, attributes in people.items()]
        with self._named(), self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO people VALUES (?, ?, ?)", rows)

    def people(self, name: str) -> dict[str, Attributes]:
        """Return the attributes of every entity of a class."""
        with self._named():
            rows = self._connection.execute("SELECT entity, attributes FROM people WHERE class = ?", (name,)).fetchall()
        decode = msgspec.json.Decoder(dict[str, int | str]).decode
        return {entity: decode(attributes) for entity, attributes in rows}

    def counts(self) -> dict[str, int]:
        """Return how many entities each class has."""
        with self._named():
            return dict(self._connection.execute("SELECT class, count(*) FROM people GROUP BY class").fetchall())

    def erase(self, entity: str) -> int:
        """Delete everything kept of an entity; its bytes are overwritten."""
        with self._named(), self._transaction():
            return self._connection.execute("DELETE FROM people WHERE entity = ?", (entity,)).rowcount

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn SQLite's errors into one that says what to do.

        Raises:
            SettingsError: The file is damaged, or is none of ours.
            OSError: The disk refused, or another process holds the file.
        """
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OSError(
                getattr(error, "sqlite_errorcode", 0), f"protected attributes: {error}", str(self._path)
            ) from error
        except sqlite3.DatabaseError as error:
            raise SettingsError(
                f"{self._path.name} cannot be read as protected attributes ({error}). Delete it, and import them again."
            ) from error
