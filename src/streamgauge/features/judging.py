"""Identity of many records at once: only ids that occur more than once are judged one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamgauge.events import array_types as ty
from streamgauge.features.batch_rows import BatchRows
from streamgauge.features.timeline import Identities

if TYPE_CHECKING:
    from streamgauge.events.batch import RecordBatch
    from streamgauge.events.cells import Bytes, Cells, Ints
    from streamgauge.events.record import Record
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.identity import Verdict

Words: TypeAlias = NDArray[np.uint64]
_Ids: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(slots=True)
class Repeated:
    """The records of one stream of one entity whose ids came more than once.

    Attributes:
        identities: They, judged.
        rows: Their rows in the batch.
    """

    identities: Identities = field(default_factory=Identities)
    rows: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The verdicts on a batch.

    Attributes:
        batch: The records.
        stream: int64[n]: the number of each record's stream among `streams`.
        streams: The streams' names.
        event: int64[n]: the row that each row's event began with.
        key: int64[n]: the row that each row's id began with.
        rejected: The verdicts other than ``applied``, by row.
        repeated: By (number of the entity, stream), the ids that came more than once.
        hashes: uint64[n], of (entity, stream, id), ascending, and `by_hash`, int64[n], the rows in that order.
        by_hash: Equal ones in order of position.
    """

    batch: RecordBatch
    stream: Ints
    streams: list[str]
    event: Ints
    key: Ints
    rejected: dict[int, Verdict]
    repeated: dict[tuple[int, str], Repeated]
    hashes: Words
    by_hash: Ints

    @classmethod
    def of(cls, batch: RecordBatch, book: SchemaBook) -> Judged:
        """Judge the records of a batch.

        Args:
            batch: Whole entities.
            book: The forms they were written under.
        """
        forms = np.unique(batch.schema).tolist()
        names = {number: book.spec(number).name for number in forms}
        streams = sorted(set(names.values()))
        place = np.zeros(max(forms, default=0) + 1, np.int64)
        for number, name in names.items():
            place[number] = streams.index(name)
        stream = place[batch.schema]
        hashes = np.empty(len(batch), np.uint64)
        _hash(batch.owner, stream, batch.event_id.data, batch.event_id.start, batch.event_id.size, hashes)
        by_hash = np.argsort(hashes, kind="stable")
        ordered = hashes[by_hash]
        rows = np.arange(len(batch))
        judged = cls(batch, stream, streams, rows, rows.copy(), {}, {}, ordered, by_hash)
        again = ordered[1:] == ordered[:-1]
        if again.any():
            repeats = np.zeros(len(batch), np.bool_)
            repeats[by_hash[1:][again]] = True
            repeats[by_hash[:-1][again]] = True
            judged._judge_repeated(repeats, names, book)
        return judged

    def _judge_repeated(self, repeats: NDArray[np.bool_], names: dict[int, str], book: SchemaBook) -> None:
        rows = np.flatnonzero(repeats).tolist()
        owners = self.batch.owner[repeats].tolist()
        for row, owner, record in zip(rows, owners, self.batch.kept(repeats).records(names), strict=True):
            held = self.repeated.setdefault((owner, record.stream), Repeated())
            verdict = held.identities.judge(record, book)
            if verdict != "applied":
                self.rejected[row] = verdict
                continue
            held.rows.append(row)
            self.event[row] = held.rows[held.identities.event[-1]]
            self.key[row] = held.rows[held.identities.key[-1]]

    def applied(self, stream: str) -> Ints:
        """Return the rows of a stream's applied records, int64[m], ascending."""
        if stream not in self.streams:
            return np.empty(0, np.int64)
        keep = self.stream == self.streams.index(stream)
        if self.rejected:
            keep[list(self.rejected)] = False
        return np.flatnonzero(keep)

    def rejected_records(self, book: SchemaBook) -> list[tuple[Record, Verdict]]:
        """Return the records that were not applied, and their verdicts."""
        records = BatchRows(self.batch, np.array(list(self.rejected), np.int64), book)
        return list(zip(records, (self.rejected[row] for row in sorted(self.rejected)), strict=True))

    def first_rows(self, stream: str, owner: Ints, ids: Cells) -> Ints:
        """Return the first row of each (entity, id) of a stream, -1 where there is none, int64[m]."""
        if stream not in self.streams:
            return np.full(len(owner), -1, np.int64)
        number = self.streams.index(stream)
        found = np.empty(len(owner), np.uint64)
        _hash(owner, np.full(len(owner), number), ids.data, ids.start, ids.size, found)
        at = np.searchsorted(self.hashes, found)
        own = self.batch.event_id
        out = np.full(len(owner), -1, np.int64)
        _match(
            at,
            found,
            (self.hashes, self.by_hash),
            (own.data, own.start, own.size, self.batch.owner, self.stream),
            (ids.data, ids.start, ids.size, owner, np.full(len(owner), number)),
            out,
        )
        return out


@njit(ty.NONE(ty.READ_INTS, ty.READ_INTS, ty.READ_BYTES, ty.READ_INTS, ty.READ_INTS, ty.WORDS), cache=True, nogil=True)
def _hash(owner: Ints, stream: Ints, data: Bytes, start: Ints, size: Ints, out: Words) -> None:
    for row in range(len(out)):
        check = np.uint64(owner[row]) * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64(stream[row])
        word = np.uint64(size[row])
        for i in range(size[row]):
            word = (word << np.uint64(8)) | np.uint64(data[start[row] + i])
            if i % 8 == 7:  # noqa: PLR2004 - eight bytes are a word
                check = (check ^ word) * np.uint64(0x9E3779B97F4A7C15)
                check ^= check >> np.uint64(29)
                word = np.uint64(0)
        check = (check ^ word) * np.uint64(0x9E3779B97F4A7C15)
        out[row] = check ^ (check >> np.uint64(32))


@njit(cache=True, nogil=True)
def _same(own: _Ids, row: int, wanted: _Ids, other: int) -> bool:
    """Return whether two ids are one, of one stream of one entity."""
    if own[3][row] != wanted[3][other] or own[4][row] != wanted[4][other] or own[2][row] != wanted[2][other]:
        return False
    for byte in range(own[2][row]):  # noqa: SIM110 - Numba compiles no generator
        if own[0][own[1][row] + byte] != wanted[0][wanted[1][other] + byte]:
            return False
    return True


@njit(cache=True, nogil=True)
def _match(at: Ints, found: Words, sorted_rows: tuple[Words, Ints], own: _Ids, wanted: _Ids, out: Ints) -> None:
    """Find ids by their hashes; equal hashes of other ids are passed over."""
    hashes, rows = sorted_rows
    for i in range(len(at)):
        place = at[i]
        while place < len(hashes) and hashes[place] == found[i]:
            if _same(own, rows[place], wanted, i):
                out[i] = rows[place]
                break
            place += 1
