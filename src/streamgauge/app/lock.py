"""Who owns a data directory: one process, for as long as it lives."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

from streamgauge.errors import OwnerBusy

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class OwnerLock:
    """An advisory lock on a file; the kernel releases it however the process ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            OwnerBusy: Another process has it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(self._file, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            message = (
                f"Process {owner} owns {path.parent} and does not answer on its socket yet. "
                "Wait until it has started, or stop it, and try again."
            )
            raise OwnerBusy(message) from error
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode("ascii"))

    def release(self) -> None:
        """Give the lock up; doing so twice is allowed."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release."""
        self.release()
