"""Checks of a file's indexes in a thread of its own, beside which a start goes on: SQLite needs no interpreter."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SHOWN: Final = 5


def index_problems(connection: sqlite3.Connection, tables: Sequence[str]) -> list[str]:
    """Return in which ways the indexes of some tables do not fit them, the first few."""
    rows = [row for table in tables for row in connection.execute(f"PRAGMA integrity_check('{table}')")]
    return [" ".join(text.split()) for (text,) in rows if text != "ok"][:_SHOWN]


class IndexCheck:
    """A check that goes on from when it is made.

    It reads the file as it is then: who takes the owner's lock later finds the index no worse.

    Args:
        path: The file; where there is none, nothing is checked.
        tables: The tables whose indexes are checked.

    >>> from contextlib import closing
    >>> from pathlib import Path
    >>> with closing(IndexCheck(Path("none.db"), ["records"])) as check:
    ...     print(check.problems())
    None
    """

    def __init__(self, path: Path, tables: Sequence[str]) -> None:
        """Start the thread."""
        self._tables = tables
        self._found: list[str] | None = None
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._run, name=f"indexes of {path.name}", daemon=True)
        with suppress(sqlite3.Error):  # who opens the file says what is wrong with it
            if path.exists():
                self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                self._connection.execute("PRAGMA query_only = ON")
        self._thread.start()

    def problems(self) -> list[str] | None:
        """Wait for the end, and return what was found; None where the file could not be checked."""
        self._thread.join()
        return self._found

    def close(self) -> None:
        """End it."""
        if self._connection is not None:
            while self._thread.is_alive():  # what is interrupted before it begins, begins
                self._connection.interrupt()
                self._thread.join(0.01)
            self._connection.close()

    def _run(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._found = index_problems(self._connection, self._tables)
