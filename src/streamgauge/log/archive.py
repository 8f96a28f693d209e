"""The archive: immutable sorted segments of what was sealed, and a manifest that says which are in force."""

from __future__ import annotations

import fcntl
import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from streamgauge.log.manifest import NAME, Manifest, read_manifest, sync_folder, to_merge, write_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from streamgauge.events.batch import RecordBatch
    from streamgauge.log.segment import Segment, SegmentFiles, SegmentReader

logger = logging.getLogger(__name__)

LOCK: Final = "sealing.lock"
_UNFINISHED: Final = ".new"


class Snapshot:
    """The segments that were in force at one moment, opened when they are first read.

    Args:
        manifest: The manifest of that moment.
        open_segment: Opens one.

    Attributes:
        sealed_to: Positions up to this one are read here, later ones from the tail.
    """

    def __init__(self, manifest: Manifest, open_segment: Callable[[Segment], SegmentReader]) -> None:
        self.manifest = manifest
        self.sealed_to = manifest.sealed_to
        self._open = open_segment

    def readers(self, after: int = 0) -> list[SegmentReader]:
        """Return the segments that hold positions behind one, the oldest first.

        Raises:
            SegmentGone: One was replaced meanwhile: take a new snapshot.
            LogDamaged: One is not what was written.
        """
        return [self._open(segment) for segment in self.manifest.segments if segment.through > after]

    def ahead_of(self, moment: int) -> list[SegmentReader]:
        """Return the segments that hold a record accepted later than a moment, µs."""
        return [self._open(segment) for segment in self.manifest.segments if segment.newest > moment]

    def reader_at(self, position: int) -> SegmentReader | None:
        """Return the segment that holds a position, or None."""
        for segment in self.manifest.segments:
            if segment.after < position <= segment.through:
                return self._open(segment)
        return None


class Archive:
    """The segments of one log. Any thread may read; those that write take turns by `writing`.

    Args:
        folder: Where they are; it is created by the first that is written.
        files: Gives what writes and opens them, called when the first is met.
    """

    def __init__(self, folder: Path, files: Callable[[], SegmentFiles]) -> None:
        self.folder = folder
        self._make_files = files
        self._files: SegmentFiles | None = None
        self._changing = threading.RLock()
        self._readers: dict[str, SegmentReader] = {}
        self._snapshot: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        """Return the segments in force as this process last saw them."""
        return self._snapshot or self.reload()

    def reload(self) -> Snapshot:
        """Read the manifest again.

        Raises:
            LogDamaged: It cannot be read, nor made again.
        """
        with self._changing:
            if not self.folder.is_dir():
                return self._adopt(Manifest())
            manifest = read_manifest(self.folder, self._segment_files)
            if manifest.derived:
                logger.warning("%s of the event log's archive was missing or damaged; it was made again.", NAME)
            return self._adopt(manifest)

    def close(self) -> None:
        """Release the files."""
        with self._changing:
            for reader in self._readers.values():
                reader.close()
            self._readers.clear()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only one that writes, over all processes; what an interrupted one left behind is removed.

        Raises:
            LogDamaged: The manifest cannot be read, nor made again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # it ends with the file, also where the process is killed
            snapshot = self.reload()
            if snapshot.manifest.derived:
                write_manifest(self.folder, snapshot.manifest)
            self._remove_leftovers(snapshot.manifest)
            yield

    def add(self, batches: Iterable[RecordBatch], through: int) -> None:
        """Seal the records behind the last sealed position up to another; durable once this returns.

        Args:
            batches: They, in order of (entity, position).
            through: The position; it may lie behind the last record where that was erased.
        """
        manifest = self.snapshot().manifest
        new = self._write(manifest, batches, manifest.sealed_to, through, ())
        self._put_in_force(manifest.with_segments([*manifest.segments, new]))

    def compact(self, watched: Callable[[Iterable[RecordBatch]], Iterable[RecordBatch]]) -> bool:
        """Merge neighbouring segments, if there are enough; return whether there were.

        Args:
            watched: Passes the batches on, or raises where the merging is to end; it is begun anew another time.
        """
        snapshot = self.snapshot()
        found = to_merge(snapshot.manifest.segments)
        if found is None:
            return False
        from streamgauge.log.merging import merged

        manifest = snapshot.manifest
        old = manifest.segments[found[0] : found[1]]
        batches = merged([self._opened(segment).sweep() for segment in old])
        names = tuple(segment.name for segment in old)
        new = self._write(manifest, watched(batches), old[0].after, old[-1].through, names)
        self._put_in_force(
            manifest.with_segments([*manifest.segments[: found[0]], new, *manifest.segments[found[1] :]])
        )
        self._remove_leftovers(self.snapshot().manifest)
        return True

    def erase(self, positions: NDArray[np.int64]) -> None:
        """Write the segments that hold any of some positions again without them, and remove the old ones."""
        import numpy as np

        manifest = self.snapshot().manifest
        kept: list[Segment] = []
        for segment in manifest.segments:
            reader = self._opened(segment)
            if not np.isin(reader.positions(), positions).any():
                kept.append(segment)
                continue
            others = (batch.kept(~np.isin(batch.position, positions)) for batch in reader.sweep())
            kept.append(self._write(manifest, others, segment.after, segment.through, (segment.name,)))
        if kept != list(manifest.segments):
            self._put_in_force(manifest.with_segments(kept))
            self._remove_leftovers(self.snapshot().manifest)

    def _write(
        self, manifest: Manifest, batches: Iterable[RecordBatch], after: int, through: int, replaces: tuple[str, ...]
    ) -> Segment:
        """Write a segment beside those in force."""
        files = self._segment_files()
        path = self.folder / f"{through:015d}-{manifest.number + 1:06d}{files.suffix}"
        return files.write(path, batches, after, through, replaces)

    def _put_in_force(self, manifest: Manifest) -> None:
        write_manifest(self.folder, manifest)
        with self._changing:
            self._adopt(manifest)

    def _adopt(self, manifest: Manifest) -> Snapshot:
        """Make a manifest the one that reads see."""
        names = {segment.name for segment in manifest.segments}
        # A read that is under way holds its readers; the files close with the last one that uses them.
        self._readers = {name: reader for name, reader in self._readers.items() if name in names}
        self._snapshot = Snapshot(manifest, self._opened)
        return self._snapshot

    def _opened(self, segment: Segment) -> SegmentReader:
        with self._changing:
            reader = self._readers.get(segment.name)
            if reader is None:
                reader = self._segment_files().open(self.folder / segment.name, segment)
                self._readers[segment.name] = reader
            return reader

    def _segment_files(self) -> SegmentFiles:
        if self._files is None:
            self._files = self._make_files()
        return self._files

    def _remove_leftovers(self, manifest: Manifest) -> None:
        """Remove files that the manifest does not name: of a writer that was killed, or replaced ones."""
        stems = {segment.name.partition(".")[0] for segment in manifest.segments}
        removed = False
        for path in self.folder.iterdir():
            if path.name not in {NAME, LOCK} and path.name.partition(".")[0] not in stems:
                path.unlink(missing_ok=True)
                removed = True
            elif path.suffix == _UNFINISHED:
                path.unlink(missing_ok=True)
        if removed:
            sync_folder(self.folder)
