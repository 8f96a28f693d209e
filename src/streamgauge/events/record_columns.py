"""Records kept as columns, and built when they are asked for: a million need a third of the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np

from streamgauge.events.content import DIGEST_BYTES, HEADER, encode_texts
from streamgauge.events.record import INSERT, REPLACE, NewRecord

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

CHUNK: Final = 50_000
"""How many records are built at a time."""


@dataclass(frozen=True, slots=True)
class TextColumn:
    """The texts of one field: each distinct text once, in MessagePack, and the code of each row's."""

    encoded: list[bytes]
    codes: Ints


@dataclass(frozen=True, slots=True, eq=False)
class RecordColumns(Sequence[NewRecord]):
    """The accepted records of a frame, in its order, kept as columns and built when they are asked for.

    Attributes:
        stream: The stream's name.
        rows: The row of each record in the frame, int64, ascending.
        entity: Entity keys, one a row of the frame; so are the following.
        event_id: Ids.
        event_time: µs, int64.
        sequence: int64.
        revision: int64.
        units: int64 of shape (rows, fields).
        texts: One for each text field.
        known_at: Declared arrival in µs, int64, or None for live records.
        single: The records of rows that were validated alone.
    """

    stream: str
    rows: Ints
    entity: pl.Series
    event_id: pl.Series
    event_time: Ints
    sequence: Ints
    revision: Ints
    units: Ints
    texts: tuple[TextColumn, ...]
    known_at: Ints | None
    single: dict[int, NewRecord]

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> NewRecord: ...

    @overload
    def __getitem__(self, index: slice) -> list[NewRecord]: ...

    def __getitem__(self, index: int | slice) -> NewRecord | list[NewRecord]:
        return self._build(self.rows[index]) if isinstance(index, slice) else self._build(self.rows[[index]])[0]

    def __iter__(self) -> Iterator[NewRecord]:
        for start in range(0, len(self.rows), CHUNK):
            yield from self[start : start + CHUNK]

    def _build(self, rows: Ints) -> list[NewRecord]:
        """Return the records of some rows of the frame."""
        fields = self.units.shape[1]
        content = np.zeros(
            len(rows),
            [("op", "u1"), ("time", "<i8"), ("sequence", "<i8"), ("size", "<i4"), ("units", "<i8", (fields,))],
        )
        content["op"] = np.where(self.revision[rows] > 0, REPLACE, INSERT)
        content["time"] = self.event_time[rows]
        content["sequence"] = self.sequence[rows]
        content["size"] = 8 * fields
        content["units"] = self.units[rows]
        data, texts = _rows_of(content), self._texts(rows)
        fresh = zip(
            [self.stream] * len(rows),
            self.entity.gather(rows).to_list(),
            self.event_id.gather(rows).to_list(),
            content["time"].tolist(),
            content["sequence"].tolist(),
            self.revision[rows].tolist(),
            content["op"].tolist(),
            [row[HEADER.size :] for row in data],
            texts,
            [blake2b(row + text, digest_size=DIGEST_BYTES).digest() for row, text in zip(data, texts, strict=True)],
            [None] * len(rows) if self.known_at is None else self.known_at[rows].tolist(),
            strict=True,
        )
        records = [NewRecord(*values) for values in fresh]
        if self.single:
            records = [self.single.get(row, record) for row, record in zip(rows.tolist(), records, strict=True)]
        return records

    def _texts(self, rows: Ints) -> list[bytes]:
        """Return the MessagePack array of texts of some rows."""
        if not self.texts:
            return [b""] * len(rows)
        head = encode_texts([None] * len(self.texts))[: -len(self.texts)]
        parts = [[column.encoded[code] for code in column.codes[rows].tolist()] for column in self.texts]
        return [head + b"".join(part) for part in zip(*parts, strict=True)]


def _rows_of(content: np.ndarray[Any, Any]) -> list[bytes]:
    """Return the bytes of each row of a structured array."""
    data, width = content.tobytes(), content.dtype.itemsize
    return [data[start : start + width] for start in range(0, len(data), width)]
