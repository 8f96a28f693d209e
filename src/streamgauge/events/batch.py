"""Many records as columns: what backfill, rebuilt states and the archive work on instead of `Record` objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from streamgauge.events import array_types as ty
from streamgauge.events.cells import Bytes, Cells, Ints
from streamgauge.events.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Words: TypeAlias = NDArray[np.uint64]
_Plain: TypeAlias = tuple[Bytes, Ints, Ints]

NUMBERS: Final = (
    "position",
    "schema",
    "event_time",
    "sequence",
    "revision",
    "op",
    "accepted_at",
    "known_at",
    "imported",
    "digest_low",
    "digest_high",
)
"""The int64 columns, in the order of `RecordBatch.numbers`."""

DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class RecordBatch:
    """Records of whole entities, in order of (entity key, position).

    Attributes:
        entities: The entities' keys, ascending as their UTF-8 bytes are.
        offsets: int64[entities + 1]: where each entity's rows begin.
        numbers: int64[11, n], see `NUMBERS`; imported is 0 or 1, a digest two little-endian words.
        event_id: The ids, UTF-8.
        units: `Record.units`.
        texts: `Record.texts`.

    >>> from streamgauge.testing.records import record
    >>> batch = RecordBatch.of([("account:A", [record("a", at=5, position=1), record("b", at=7, position=4)])])
    >>> batch.position.tolist(), batch.event_id.texts()
    ([1, 4], ['a', 'b'])
    """

    entities: list[str]
    offsets: Ints
    numbers: Ints
    event_id: Cells
    units: Cells
    texts: Cells

    @classmethod
    def of(cls, groups: Iterable[tuple[str, Sequence[Record]]]) -> RecordBatch:
        """Return records as columns.

        Args:
            groups: (entity, its records in order of position), in order of the entities' keys.
        """
        held = list(groups)
        records = [record for _, own in held for record in own]
        numbers = np.empty((len(NUMBERS), len(records)), np.int64)
        for index, name in enumerate(NUMBERS[:-2]):
            numbers[index] = [getattr(record, name) for record in records]
        numbers[-2:] = np.frombuffer(b"".join(record.digest for record in records), np.int64).reshape(-1, 2).T
        return cls(
            [entity for entity, _ in held],
            np.concatenate(([0], np.cumsum([len(own) for _, own in held]))).astype(np.int64),
            numbers,
            Cells.of([record.event_id.encode() for record in records]),
            Cells.of([record.units for record in records]),
            Cells.of([record.texts for record in records]),
        )

    def __len__(self) -> int:
        return len(self.event_id)

    @property
    def position(self) -> Ints:
        """int64[n]."""
        return self._column(0)

    @property
    def schema(self) -> Ints:
        """int64[n]: the number of the form a record was written under; it names the stream."""
        return self._column(1)

    @property
    def event_time(self) -> Ints:
        """int64[n], µs."""
        return self._column(2)

    @property
    def sequence(self) -> Ints:
        """int64[n]."""
        return self._column(3)

    @property
    def revision(self) -> Ints:
        """int64[n]."""
        return self._column(4)

    @property
    def op(self) -> Ints:
        """int64[n]."""
        return self._column(5)

    @property
    def accepted_at(self) -> Ints:
        """int64[n], µs."""
        return self._column(6)

    @property
    def known_at(self) -> Ints:
        """int64[n], µs."""
        return self._column(7)

    @property
    def imported(self) -> Ints:
        """int64[n]: 1 where an import brought the record."""
        return self._column(8)

    @property
    def digest(self) -> Ints:
        """int64[2, n]: the digests' halves."""
        halves: Ints = self.numbers[9:11]
        return halves

    def _column(self, number: int) -> Ints:
        column: Ints = self.numbers[number]
        return column

    @property
    def owner(self) -> Ints:
        """int64[n]: the number of each row's entity."""
        return np.repeat(np.arange(len(self.entities)), np.diff(self.offsets))

    def slice(self, first: int, last: int) -> RecordBatch:
        """Return the entities from one number up to, and without, another."""
        rows = slice(int(self.offsets[first]), int(self.offsets[last]))
        return RecordBatch(
            self.entities[first:last],
            self.offsets[first : last + 1] - self.offsets[first],
            self.numbers[:, rows],
            self.event_id.take(rows),
            self.units.take(rows),
            self.texts.take(rows),
        )

    def kept(self, keep: NDArray[np.bool_]) -> RecordBatch:
        """Return the rows where ``keep`` is true, and the entities that have any."""
        if keep.all():
            return self
        rows = np.flatnonzero(keep)
        counts = np.add.reduceat(np.append(keep, False), self.offsets[:-1]) if len(self.entities) else np.empty(0)
        counts = np.where(np.diff(self.offsets) > 0, counts, 0).astype(np.int64)
        held = np.flatnonzero(counts)
        return RecordBatch(
            [self.entities[i] for i in held.tolist()],
            np.concatenate(([0], np.cumsum(counts[held]))).astype(np.int64),
            self.numbers[:, rows],
            self.event_id.take(rows),
            self.units.take(rows),
            self.texts.take(rows),
        )

    def up_to(self, position: int) -> RecordBatch:
        """Return the records with positions up to one."""
        return self.kept(self.position <= position)

    def without(self, entity: str) -> RecordBatch:
        """Return the records of all entities but one."""
        others = np.array([key != entity for key in self.entities], np.bool_)
        return self.kept(np.repeat(others, np.diff(self.offsets)))

    def split(self, rows: int) -> Iterator[RecordBatch]:
        """Yield whole entities together until they have ``rows`` records or more."""
        first = 0
        while first < len(self.entities):
            wanted = int(self.offsets[first]) + rows
            last = min(max(int(np.searchsorted(self.offsets, wanted)), first + 1), len(self.entities))
            yield self.slice(first, last)
            first = last

    def records(self, streams: Mapping[int, str]) -> list[Record]:
        """Return the records.

        Args:
            streams: The name of the stream of each schema number.
        """
        position, schema, time, sequence, revision, op, accepted, known, imported = self.numbers[:9].tolist()
        digests = self.digests(np.arange(len(self)))
        entities = self.entities
        return [
            Record(
                position[i],
                streams[schema[i]],
                entities[owner],
                event_id,
                time[i],
                sequence[i],
                revision[i],
                op[i],
                schema[i],
                units,
                texts,
                digests[i],
                accepted[i],
                known[i],
                imported[i] == 1,
            )
            for i, (owner, event_id, units, texts) in enumerate(
                zip(self.owner.tolist(), self.event_id.texts(), self.units.tolist(), self.texts.tolist(), strict=True)
            )
        ]

    def digests(self, rows: Ints) -> list[bytes]:
        """Return the digests of some rows."""
        data = np.ascontiguousarray(self.digest[:, rows].T).tobytes()
        return [data[at : at + DIGEST_BYTES] for at in range(0, len(data), DIGEST_BYTES)]

    def groups(self, streams: Mapping[int, str]) -> Iterator[tuple[str, list[Record]]]:
        """Yield (entity, its records in order of position)."""
        records = self.records(streams)
        ends = self.offsets.tolist()
        for number, entity in enumerate(self.entities):
            yield entity, records[ends[number] : ends[number + 1]]

    @staticmethod
    def merged(parts: Sequence[RecordBatch]) -> RecordBatch:
        """Return the records of several batches, which may share entities, in order of (entity, position)."""
        if len(parts) == 1:
            return parts[0]
        keys = sorted({key for part in parts for key in part.entities})
        number = {key: index for index, key in enumerate(keys)}
        owner = np.concatenate([np.empty(0, np.int64)] + [_numbers_of(part, number) for part in parts])
        numbers = np.concatenate([NOTHING.numbers] + [part.numbers for part in parts], axis=1)
        order = np.lexsort((numbers[0], owner))
        return RecordBatch(
            keys,
            np.searchsorted(owner[order], np.arange(len(keys) + 1)).astype(np.int64),
            numbers[:, order],
            Cells.joined([NOTHING.event_id] + [part.event_id for part in parts]).take(order),
            Cells.joined([NOTHING.units] + [part.units for part in parts]).take(order),
            Cells.joined([NOTHING.texts] + [part.texts for part in parts]).take(order),
        )

    def checks(self) -> Words:
        """Return a checksum over all of each record, uint64[n]."""
        keys = Cells.of([key.encode() for key in self.entities])
        out = np.empty(len(self), np.uint64)
        ids, units, texts = _plain(self.event_id), _plain(self.units), _plain(self.texts)
        _checks(self.numbers, self.owner, _plain(keys), ids, units, texts, out)
        return out


def _numbers_of(part: RecordBatch, number: Mapping[str, int]) -> Ints:
    """Return the numbers of a batch's rows' entities among those of several batches."""
    own = np.array([number[key] for key in part.entities], np.int64)
    return np.repeat(own, np.diff(part.offsets))


@njit(cache=True, nogil=True)
def _mix(check: np.uint64, word: np.uint64) -> np.uint64:
    check = (check ^ word) * np.uint64(0x9E3779B97F4A7C15)
    return check ^ (check >> np.uint64(29))


@njit(cache=True, nogil=True)
def _mix_bytes(check: np.uint64, cells: _Plain, row: int) -> np.uint64:
    data, first, size = cells[0], cells[1][row], cells[2][row]
    check = _mix(check, np.uint64(size))
    word = np.uint64(0)
    for i in range(size):
        word = (word << np.uint64(8)) | np.uint64(data[first + i])
        if i % 8 == 7:  # noqa: PLR2004 - eight bytes are a word
            check = _mix(check, word)
            word = np.uint64(0)
    return _mix(check, word)


_Cells = ty.READ_CELLS
_Numbers = types.Array(ty.INT, 2, "A", readonly=True)


@njit(ty.NONE(_Numbers, ty.READ_INTS, _Cells, _Cells, _Cells, _Cells, ty.WORDS), cache=True, nogil=True)
def _checks(numbers: Ints, owner: Ints, keys: _Plain, ids: _Plain, units: _Plain, texts: _Plain, out: Words) -> None:
    of_key = np.empty(len(keys[1]), np.uint64)
    for i in range(len(of_key)):
        of_key[i] = _mix_bytes(np.uint64(1), keys, i)
    for row in range(numbers.shape[1]):
        check = of_key[owner[row]]
        for column in range(numbers.shape[0]):
            check = _mix(check, np.uint64(numbers[column, row]))
        check = _mix_bytes(check, ids, row)
        check = _mix_bytes(check, units, row)
        out[row] = _mix_bytes(check, texts, row)


def _plain(cells: Cells) -> _Plain:
    return cells.data, cells.start, cells.size


_NO_BYTES: Final = Cells(np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int64))
NOTHING: Final = RecordBatch(
    [], np.zeros(1, np.int64), np.empty((len(NUMBERS), 0), np.int64), _NO_BYTES, _NO_BYTES, _NO_BYTES
)
"""No records."""
