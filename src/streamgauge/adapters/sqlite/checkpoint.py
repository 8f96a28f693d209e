"""Checkpoints beside the writer, so that no commit waits for one."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

from streamgauge.adapters.sqlite.log_schema import connect

if TYPE_CHECKING:
    from pathlib import Path

_PAGES: Final = 2_000


class Checkpointer:
    """A thread that moves the write-ahead log into the database file while others write and read.

    Args:
        path: The database file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pages = 0
        self._wanted = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"checkpoints of {path.name}", daemon=True)
        self._thread.start()

    def written(self, pages: int) -> None:
        """Count pages that a commit wrote, roughly, and start a checkpoint when it is worth one."""
        self._pages += pages
        if self._pages >= _PAGES:
            self._pages = 0
            self._wanted.set()

    def close(self) -> None:
        """End the thread after a last checkpoint."""
        self._closing = True
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        """Checkpoint whenever one is wanted; what fails here is tried again after more commits."""
        with suppress(sqlite3.DatabaseError), closing(connect(self._path)) as connection:
            ended = False
            while not ended:
                self._wanted.wait()
                self._wanted.clear()
                ended = self._closing
                with suppress(sqlite3.DatabaseError):
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
