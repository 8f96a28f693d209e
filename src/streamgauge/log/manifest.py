"""The manifest: which segments the archive consists of; written in one step, and made again where only it is lost."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.errors import LogDamaged
from streamgauge.log.segment import Segment, SegmentGone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from streamgauge.log.segment import SegmentFiles

NAME: Final = "manifest.json"
FORMAT: Final = 1
FANOUT: Final = 4
"""So many neighbours are merged into one, or more."""


class Manifest(msgspec.Struct, frozen=True):
    """The segments, in order of their positions, which join without a gap.

    Attributes:
        format: The version of this form.
        number: Grows with every change; new files are named after it.
        segments: The segments.
        derived: Whether it was made from the segments' footers: the file itself is missing or damaged.
    """

    format: int = FORMAT
    number: int = 0
    segments: tuple[Segment, ...] = ()
    derived: bool = False

    @property
    def sealed_to(self) -> int:
        """The last position in the archive, 0 for none."""
        return self.segments[-1].through if self.segments else 0

    def with_segments(self, segments: Sequence[Segment]) -> Manifest:
        """Return the next manifest."""
        return Manifest(number=self.number + 1, segments=tuple(segments))


def read_manifest(folder: Path, files: Callable[[], SegmentFiles]) -> Manifest:
    """Read the manifest of a folder, or make it from the segments where it is missing or damaged.

    Args:
        folder: The folder.
        files: Gives what opens segments; called only where the manifest is to be made.

    Raises:
        LogDamaged: Segments are damaged or missing as well, or it is of a newer format.
    """
    try:
        text, _, check = (folder / NAME).read_bytes().rpartition(b"\n")
    except FileNotFoundError:
        return _derived(folder, files())
    if check != _check(text):
        return _derived(folder, files())
    manifest = msgspec.json.decode(text, type=Manifest)
    if manifest.format != FORMAT:
        raise LogDamaged(
            f"{NAME} of the event log's archive has format {manifest.format}, and this version of Streamgauge reads "
            f"format {FORMAT}. Install the version that wrote it, or a newer one."
        )
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in force: once this returns it is durable, and before that the old one is."""
    sync_folder(folder)  # the segments' names must not be less durable than the manifest that says them
    text = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(manifest, derived=False)))
    temporary = folder / f"{NAME}.new"
    with temporary.open("wb") as file:
        file.write(text + b"\n" + _check(text))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(folder / NAME)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the names of a folder's files durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_merge(segments: Sequence[Segment]) -> tuple[int, int] | None:
    """Return which neighbours are to become one, as (first, behind the last); None where there are few enough.

    They are the longest end of the sequence whose first segment is no longer than the rest of it together. So whenever
    a record is written again its segment is at least twice as long: of n sealings there are about log2(n) segments at
    most, and each record is written as often at most.

    >>> sizes = [4_000_000, 250_000, 250_000, 250_000, 250_000]
    >>> to_merge([Segment("", 0, 0, rows, 0, "", 0) for rows in sizes])
    (1, 5)
    """
    first, later = None, 0
    for index in reversed(range(len(segments))):
        rows = segments[index].rows
        if rows <= later and len(segments) - index >= FANOUT:
            first = index
        later += rows
    return None if first is None else (first, len(segments))


def _derived(folder: Path, files: SegmentFiles) -> Manifest:
    """Make the manifest from the segments' footers.

    Raises:
        LogDamaged: They do not join.
    """
    found: list[Segment] = []
    problems: list[str] = []
    for path in sorted(folder.glob(f"*{files.suffix}")):
        try:
            reader = files.open(path)
        except SegmentGone:
            continue
        except LogDamaged as error:
            problems.append(str(error))
            continue
        found.append(reader.segment)
        reader.close()
    gone = {name for segment in found for name in segment.replaces}
    segments = sorted((one for one in found if one.name not in gone), key=lambda one: one.after)
    reached = 0
    for segment in segments:
        if segment.after != reached:
            break
        reached = segment.through
    if problems or reached != max((segment.through for segment in segments), default=0):
        detail = problems[0] if problems else f"Segments behind position {reached} are missing."
        raise LogDamaged(
            f"{NAME} of the event log's archive is missing or damaged, and so are segments. {detail} "
            f"Stop the engine and restore the folder {folder.name} from a backup."
        )
    number = max((int(one.name.partition(".")[0].rpartition("-")[2]) for one in found), default=0)
    return Manifest(number=number, segments=tuple(segments), derived=bool(segments))


def _check(text: bytes) -> bytes:
    return f"{zlib.crc32(text):08x}".encode()
