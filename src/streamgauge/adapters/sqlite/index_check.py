"""The check of the log's index in a thread of its own, beside which a start goes on: SQLite needs no interpreter."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from streamgauge.adapters.sqlite.log_schema import connect, index_problems

if TYPE_CHECKING:
    from pathlib import Path


class IndexCheck:
    """A check that goes on from when it is made.

    It reads the file as it is then: who takes the owner's lock later finds the index no worse.

    Args:
        path: The log's file; where there is none, nothing is checked.

    >>> from contextlib import closing
    >>> from pathlib import Path
    >>> with closing(IndexCheck(Path("none.db"))) as check:
    ...     print(check.problems())
    None
    """

    def __init__(self, path: Path) -> None:
        """Start the thread."""
        self._found: list[str] | None = None
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._run, name="log's index", daemon=True)
        with suppress(sqlite3.Error):  # who opens the log says what is wrong with it
            if path.exists():
                self._connection = connect(path, reads_only=True)
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
                self._found = index_problems(self._connection)
