"""Addresses of Unix sockets, however deep the directory lies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_LONGEST: Final = 100


class SocketPath:
    """What to bind or connect to for a socket's path.

    The system takes 107 bytes and no more; a longer path is reached through a descriptor of its directory, which stays
    open until `close`.

    >>> from pathlib import Path
    >>> with SocketPath(Path("/run/owner.sock")) as socket_path:
    ...     socket_path.address
    '/run/owner.sock'
    """

    def __init__(self, path: Path) -> None:
        """Open the directory if the path is too long.

        Raises:
            FileNotFoundError: The path is long and its directory does not exist.
        """
        self._directory = -1
        self.address = str(path)
        if len(os.fsencode(self.address)) > _LONGEST:
            self._directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self.address = f"/proc/self/fd/{self._directory}/{path.name}"

    def close(self) -> None:
        """Close the directory; doing so twice is allowed."""
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
