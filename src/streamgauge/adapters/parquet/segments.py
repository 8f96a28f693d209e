"""Segments of the archive as Parquet files."""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from bisect import bisect_left, bisect_right
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from streamgauge.adapters.parquet.columns import (
    DELTAS,
    DICTIONARIES,
    PLAIN,
    SCHEMA,
    batch_of,
    numbers_of,
    runs_of,
    table_of,
)
from streamgauge.adapters.parquet.ids import IdFilter, Keys
from streamgauge.errors import LogDamaged
from streamgauge.log.segment import Segment, SegmentGone

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from streamgauge.events.batch import RecordBatch
    from streamgauge.events.cells import Ints

GROUP_ROWS: Final = 8_192
"""Rows of a row group: what reading one entity decodes."""
SWEPT_AT_ONCE: Final = 4
"""Row groups that a sweep decodes at a time."""
LABEL: Final = b"streamgauge"
_FORMAT: Final = 1
_READ: Final = 2**22
_SHOWN: Final = 200
_FILTERED: Final = 256


class _Label(msgspec.Struct):
    """What a file's footer says of it: enough to write a manifest again."""

    format: int
    after: int
    through: int
    rows: int
    newest: int
    replaces: tuple[str, ...]
    first_keys: list[str]
    group_rows: list[int]


class ParquetSegments:
    """`SegmentFiles` in Parquet: zstd, a checksum for every page and for every row.

    Args:
        group_rows: Rows of a row group.
    """

    suffix = ".parquet"

    def __init__(self, group_rows: int = GROUP_ROWS) -> None:
        self._group_rows = group_rows

    def write(
        self, path: Path, batches: Iterable[RecordBatch], after: int, through: int, replaces: tuple[str, ...] = ()
    ) -> Segment:
        """Write a new file durably (see `SegmentFiles.write`)."""
        label = _Label(_FORMAT, after, through, 0, 0, replaces, [], [])
        ids: list[Keys] = []
        unfinished = path.with_name(f"{path.name}.new")
        with pq.ParquetWriter(
            unfinished,
            SCHEMA,
            compression="zstd",
            use_dictionary=DICTIONARIES,
            column_encoding={**dict.fromkeys(DELTAS, "DELTA_BINARY_PACKED"), **dict.fromkeys(PLAIN, "PLAIN")},
            write_statistics=["position", "event_time"],
            write_page_checksum=True,
        ) as writer:
            for table in self._groups(batches, ids, label):
                writer.write_table(table, row_group_size=self._group_rows)
                label.first_keys.append(table.column("entity")[0].as_py())
                label.group_rows.append(table.num_rows)
            label.rows = sum(label.group_rows)
            writer.add_key_value_metadata({LABEL: _sealed(label)})
        IdFilter.write(path, ids)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        written = Segment(
            name=path.name,
            after=after,
            through=through,
            rows=label.rows,
            size=unfinished.stat().st_size,
            sha256=sha256_of(unfinished),
            newest=label.newest,
            replaces=replaces,
        )
        unfinished.rename(path)
        return written

    def open(self, path: Path, segment: Segment | None = None) -> ParquetSegment:
        """Open a file (see `SegmentFiles.open`)."""
        return ParquetSegment(path, segment)

    def _groups(self, batches: Iterable[RecordBatch], ids: list[Keys], label: _Label) -> Iterator[Any]:
        """Yield tables of one row group each."""
        held: list[Any] = []
        rows = 0
        for batch in batches:
            ids.append(IdFilter.keys_of(batch))
            label.newest = max(label.newest, int(batch.accepted_at.max(initial=0)))
            held.append(table_of(batch))
            rows += len(batch)
            if rows >= self._group_rows:
                joined = pa.concat_tables(held)
                whole = rows - rows % self._group_rows
                for start in range(0, whole, self._group_rows):
                    yield joined.slice(start, self._group_rows)
                held, rows = [joined.slice(whole)], rows - whole
        if rows:
            yield pa.concat_tables(held)


class ParquetSegment:
    """A `SegmentReader` of one Parquet file.

    Args:
        path: The file.
        segment: What the manifest says of it, or None.

    Raises:
        SegmentGone: It is not there.
        LogDamaged: It is not what was written.
    """

    def __init__(self, path: Path, segment: Segment | None) -> None:
        self._path = path
        self._using = threading.Lock()
        self._ids: IdFilter | None = None
        with self._named():
            size = path.stat().st_size
            if segment is not None and size != segment.size:
                raise self._damaged(f"it has {size} bytes, its manifest says {segment.size}")
            self._file = self._opened()
            self._label = self._read_label()
            label = self._label
        self.segment = segment or Segment(
            path.name, label.after, label.through, label.rows, size, sha256_of(path), label.newest, label.replaces
        )
        if (label.after, label.through, label.rows) != (
            self.segment.after,
            self.segment.through,
            self.segment.rows,
        ):
            raise self._damaged("its footer says otherwise than the manifest")

    def sweep(self, names: Collection[str] | None = None, after: str | None = None) -> Iterator[RecordBatch]:
        """Yield its records in order of (entity, position) (see `SegmentReader.sweep`)."""
        if names is not None and len(names) <= _FILTERED:  # of entities it knows nothing of, nothing is read
            names = [name for name in names if self._filter().may_hold_entity(name)]
        groups = self._groups_of(sorted(names)) if names is not None else list(range(len(self._label.first_keys)))
        if after is not None:
            groups = groups[bisect_left(groups, max(bisect_right(self._label.first_keys, after) - 1, 0)) :]
        wanted = None if names is None else frozenset(names)
        for start in range(0, len(groups), SWEPT_AT_ONCE):
            batch = self._read(groups[start : start + SWEPT_AT_ONCE])
            if wanted is not None or after is not None:
                chosen = [
                    (wanted is None or key in wanted) and (after is None or key > after) for key in batch.entities
                ]
                batch = batch.kept(np.repeat(np.array(chosen, np.bool_), np.diff(batch.offsets)))
            if len(batch):
                yield batch

    def at(self, positions: Sequence[int] | Ints) -> Iterator[RecordBatch]:
        """Yield the records at some positions (ascending), those it has."""
        wanted = np.asarray(positions, np.int64)
        if not len(wanted):
            return
        held = self._column("position")
        place = np.minimum(np.searchsorted(wanted, held), len(wanted) - 1)
        rows = np.flatnonzero(wanted[place] == held)
        ends = np.cumsum(self._label.group_rows)
        for group in np.unique(np.searchsorted(ends, rows, "right")).tolist():
            batch = self._read([group])
            place = np.minimum(np.searchsorted(wanted, batch.position), len(wanted) - 1)
            yield batch.kept(wanted[place] == batch.position)

    def positions(self) -> Ints:
        """Return the positions it holds, ascending, int64[rows]."""
        return np.sort(self._column("position"))

    def may_hold(self, entity: str, event_id: str) -> bool:
        """Return False where it surely holds no event of an entity with an id."""
        return self._filter().may_hold(entity, event_id)

    def entities(self, role: str | None) -> list[str]:
        """Return the keys of its entities (of one role), sorted."""
        first, last = ("", None) if role is None else (f"{role}:", f"{role};")
        keys = self._label.first_keys
        low = max(bisect_right(keys, first) - 1, 0)
        high = len(keys) if last is None else bisect_left(keys, last)
        found: list[str] = []
        for start in range(low, high, SWEPT_AT_ONCE):
            groups = list(range(start, min(start + SWEPT_AT_ONCE, high)))
            with self._named(), self._using:
                table = self._file.read_row_groups(groups, columns=["entity"], use_threads=False)
                names = runs_of(table.column("entity"))
            found += names[1:] if found and names and names[0] == found[-1] else names
        return [name for name in found if role is None or name.startswith(first)]

    def check(self) -> Ints:
        """Read everything; return the positions, ascending, int64[rows]."""
        with self._named():
            if sha256_of(self._path) != self.segment.sha256:
                raise self._damaged("its hash is not the one it was written with")
        parts, last = [np.empty(0, np.int64)], ("", 0)
        for batch in self.sweep():
            same = np.diff(batch.owner) == 0
            begin = (batch.entities[0], int(batch.position[0]))
            if begin <= last or (np.diff(batch.position)[same] <= 0).any() or sorted(batch.entities) != batch.entities:
                raise self._damaged("its records are not in order")
            if (np.diff(batch.accepted_at)[same] < 0).any():
                raise self._damaged("its records go back in time")
            last = (batch.entities[-1], int(batch.position[-1]))
            parts.append(batch.position)
        found = np.sort(np.concatenate(parts))
        inside = not len(found) or (found[0] > self.segment.after and found[-1] <= self.segment.through)
        if len(found) != self.segment.rows or not inside or (np.diff(found) <= 0).any():
            raise self._damaged("its positions are not those it was written with")
        return found

    def close(self) -> None:
        """Release the file."""
        with self._using:
            self._file.close()

    def _filter(self) -> IdFilter:
        if self._ids is None:
            # Made twice where two threads ask at once; it is the same.
            found = IdFilter.read(self._path, self.segment.rows)
            self._ids = found or IdFilter.of([IdFilter.keys_of(batch) for batch in self.sweep()])
        return self._ids

    def _opened(self) -> Any:  # noqa: ANN401 - pyarrow ships no types
        return pq.ParquetFile(
            self._path, read_dictionary=["entity"], page_checksum_verification=True, memory_map=False, pre_buffer=False
        )

    def _read_label(self) -> _Label:
        sealed: bytes = (self._file.metadata.metadata or {}).get(LABEL, b"")
        check, _, text = sealed.partition(b" ")
        if check != _check(text):
            raise self._damaged("its footer is not what was written")
        label = msgspec.json.decode(text, type=_Label)
        if label.format != _FORMAT:
            raise LogDamaged(
                f"{self._path.name} of the archive has format {label.format}, and this version of Streamgauge reads "
                f"format {_FORMAT}. Install the version that wrote it, or a newer one."
            )
        return label

    def _groups_of(self, names: Sequence[str]) -> list[int]:
        """Return the row groups that may hold some entities (sorted)."""
        keys = self._label.first_keys
        found = []
        for group, first in enumerate(keys):
            last = keys[group + 1] if group + 1 < len(keys) else None
            at = bisect_left(names, first)
            if at < len(names) and (last is None or names[at] <= last):
                found.append(group)
        return found

    def _read(self, groups: list[int]) -> RecordBatch:
        """Return the records of some row groups, each with the checksum it was written with."""
        with self._named():
            with self._using:
                table = self._file.read_row_groups(groups, use_threads=False)
            batch, checks = batch_of(table)
            if len(batch) != sum(self._label.group_rows[group] for group in groups):
                raise self._damaged("records are missing from it")
            wrong = np.flatnonzero(batch.checks() != checks)
        if len(wrong):
            raise self._damaged(f"the record at position {batch.position[wrong[0]]} is not what was written")
        return batch

    def _column(self, name: str) -> Ints:
        with self._named(), self._using:
            return numbers_of(self._file.read(columns=[name], use_threads=False).column(name))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn the failures of reading into the log's."""
        try:
            yield
        except FileNotFoundError as error:
            raise SegmentGone(self._path.name) from error
        except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, TypeError, msgspec.MsgspecError) as error:
            if isinstance(error, ValueError) and "closed file" in str(error):
                raise ValueError("The log was closed.") from error
            what = " ".join(str(error).split())[:_SHOWN].rstrip(".")
            raise self._damaged(f"it cannot be read: {what}") from error

    def _damaged(self, what: str) -> LogDamaged:
        return LogDamaged(
            f"{self._path.name} of the event log's archive is damaged: {what}. Stop the engine and restore the file "
            "from a backup; a segment is never written again, so any copy of it will do."
        )


def sha256_of(path: Path) -> str:
    """Return the hash of a file, hex."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_READ):
            found.update(data)
    return found.hexdigest()


def _sealed(label: _Label) -> bytes:
    text = msgspec.json.encode(label)
    return _check(text) + b" " + text


def _check(text: bytes) -> bytes:
    return f"{zlib.crc32(text):08x}".encode()
