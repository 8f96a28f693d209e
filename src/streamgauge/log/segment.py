"""A segment: an immutable file of the archive, and the port to those who write and read such files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from streamgauge.events.batch import RecordBatch
    from streamgauge.events.cells import Ints


class Segment(msgspec.Struct, frozen=True):
    """What the manifest says of a file.

    Attributes:
        name: The file's name.
        after: The position before its first.
        through: Its last position; it holds every record between that was not erased.
        rows: How many records it holds.
        size: Its bytes.
        sha256: Their hash, hex.
        newest: The greatest ``accepted_at``, µs.
        replaces: The names of the files it was made from.
    """

    name: str
    after: int
    through: int
    rows: int
    size: int
    sha256: str
    newest: int
    replaces: tuple[str, ...] = ()


class SegmentGone(Exception):
    """A segment's file is there no more: it was merged into another, or rewritten."""


class SegmentReader(Protocol):
    """One open segment. Any thread may read.

    Every read raises `LogDamaged` where the file is not what was written, naming the file and, where it is known, the
    position.
    """

    @property
    def segment(self) -> Segment:
        """What the file says of itself; size and hash are its present ones where it was opened without a manifest."""

    def sweep(self, names: Collection[str] | None = None, after: str | None = None) -> Iterator[RecordBatch]:
        """Yield its records in order of (entity, position), in small batches: an entity may go on in the next.

        Args:
            names: The entities wanted, or None for all.
            after: Begin behind this entity.
        """

    def at(self, positions: Sequence[int] | Ints) -> Iterator[RecordBatch]:
        """Yield the records at some positions (ascending), those it has."""

    def positions(self) -> Ints:
        """Return the positions it holds, ascending, int64[rows]."""

    def may_hold(self, entity: str, event_id: str) -> bool:
        """Return False where it surely holds no event of an entity with that id."""

    def entities(self, role: str | None) -> list[str]:
        """Return the keys of its entities (of one role), sorted."""

    def check(self) -> Ints:
        """Read everything, the hash of the file included; return the positions, ascending, int64[rows]."""

    def close(self) -> None:
        """Release the file."""


class SegmentFiles(Protocol):
    """Writes and opens segments."""

    suffix: str

    def write(
        self, path: Path, batches: Iterable[RecordBatch], after: int, through: int, replaces: tuple[str, ...] = ()
    ) -> Segment:
        """Write a new file durably (its folder is the caller's to sync).

        Args:
            path: The file; one that is there is overwritten.
            batches: Its records in order of (entity, position).
            after: The position before its first.
            through: Its last position.
            replaces: The names of the files it is made from.
        """

    def open(self, path: Path, segment: Segment | None = None) -> SegmentReader:
        """Open a file.

        Args:
            path: The file.
            segment: What the manifest says of it, or None where there is no manifest.

        Raises:
            SegmentGone: It is not there.
            LogDamaged: It is not what was written.
        """
