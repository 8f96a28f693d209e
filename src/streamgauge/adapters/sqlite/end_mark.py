"""How far a log came, kept beside its file: what a damaged end of the file took away is missed."""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_LINE: Final = 64


class End(NamedTuple):
    """The newest position, and the newest number of the quarantine; 0 for none."""

    position: int
    number: int


NOWHERE: Final = End(0, 0)


class EndMark:
    """One line of a fixed length, overwritten in place after each commit.

    SQLite drops the end of a damaged write-ahead log without a word. The line is written after its commit is durable,
    so it is never ahead of a sound log. It is not synced with each commit, for no promise rests on it: a killed process
    leaves it as it was, and a machine that loses power may leave one that is half a minute old.

    Args:
        path: The file; the first `note` creates it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._end = NOWHERE

    def read(self) -> End | None:
        """Return what was noted; nowhere where nothing was, None where it cannot be read."""
        try:
            line = self.path.read_bytes()
        except FileNotFoundError:
            return NOWHERE
        except OSError:
            return None
        try:
            end = End(*(int(part) for part in line.split()[:2]))
        except (TypeError, ValueError):
            return None
        return end if _line(end) == line else None

    def note(self, end: End) -> None:
        """Note how far the log came; a lesser end than the one noted changes nothing."""
        if self._file is None:
            self._end = self.read() or NOWHERE
        end = End(max(end.position, self._end.position), max(end.number, self._end.number))
        if end == self._end:
            return
        with suppress(OSError):  # the commit is durable: what it said is not taken back because this was refused
            if self._file is None:
                self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
            os.pwrite(self._file, _line(end), 0)
            self._end = end

    def close(self) -> None:
        """Make it durable, and close the file."""
        if self._file is not None:
            with suppress(OSError):
                os.fdatasync(self._file)
            os.close(self._file)
            self._file = None


def _line(end: End) -> bytes:
    text = f"{end.position} {end.number}"
    return f"{text} {zlib.crc32(text.encode()):08x}".ljust(_LINE - 1).encode() + b"\n"
