"""The newest hash of a ledger's chain, written outside the store."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import msgspec

from streamgauge.decisions.chain import EMPTY, Head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TAIL = 4_096
_BLOCK = 65_536
_CHECKSUM_DIGITS = 16


class HeadTail(msgspec.Struct, frozen=True):
    """The end of a file of heads: the last readable head, and what follows it (a torn write, or damage)."""

    head: Head
    rest: bytes

    @property
    def torn(self) -> bool:
        """Whether what follows can be one write that a crash cut short."""
        return bool(self.rest) and b"\n" not in self.rest


class HeadFile:
    """An append-only text file, one line a commit: number, chain hash, the line's own checksum.

    Keep it, or a copy shipped elsewhere, where whoever can write the store cannot: a store and a file of heads that
    are cut back together to the same commit look whole.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, creating it durably if there is none."""
        created = not path.exists()
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        if created:
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self._size = os.fstat(self._file).st_size
        self._size -= len(self.tail().rest)
        self._synced = self._size

    @property
    def size(self) -> int:
        """Bytes up to the end of the last readable line."""
        return self._size

    def tail(self) -> HeadTail:
        """Read the last head without reading the file from its start."""
        size = os.fstat(self._file).st_size
        start = max(0, size - _TAIL)
        lines = os.pread(self._file, size - start, start).splitlines(keepends=True)
        rest = b""
        while lines:
            line = lines.pop()
            head = _parse(line)
            if head is not None:
                return HeadTail(head, rest)
            rest = line + rest
        return HeadTail(EMPTY, rest)

    def append(self, head: Head) -> None:
        """Write a head, over whatever a write cut short has left behind; it is durable after `sync`.

        Raises:
            OSError: The disk refused; the head is not there, and can be written again.
        """
        line = _format(head)
        if os.fstat(self._file).st_size != self._size:
            os.ftruncate(self._file, self._size)
        written = os.write(self._file, line)
        if written != len(line):
            msg = f"only {written} of {len(line)} bytes of a head were written to {self._path.name}"
            raise OSError(msg)
        self._size += len(line)

    def sync(self) -> None:
        """Make every written head durable.

        Raises:
            OSError: The disk refused; the heads since the last `sync` may be lost, and are to be written again.
        """
        if self._synced == self._size:
            return
        size = self._size
        try:
            os.fdatasync(self._file)
        except OSError:
            self._size = self._synced
            raise
        self._synced = size

    def heads(self, size: int | None = None) -> Iterator[Head | None]:
        """Yield every head of the first `size` bytes in order written; None for a line that cannot be read."""
        left = os.fstat(self._file).st_size if size is None else size
        start, rest = 0, b""
        while left > 0 and (block := os.pread(self._file, min(left, _BLOCK), start)):
            start += len(block)
            left -= len(block)
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                yield _parse(line + b"\n")
        if rest:
            yield None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_CHECKSUM_DIGITS]


def _format(head: Head) -> bytes:
    text = f"{head.seq} {head.chain_hash}"
    return f"{text} {_checksum(text)}\n".encode()


def _parse(line: bytes) -> Head | None:
    try:
        seq, chain_hash, _ = line.decode("ascii").split(" ")
        head = Head(int(seq), chain_hash)
    except ValueError:
        return None
    # Written again and compared, so that no other spelling of the same values passes.
    return head if _format(head) == line else None
