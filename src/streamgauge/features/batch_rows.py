"""Some rows of a batch as records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

from streamgauge.events.record import Record

if TYPE_CHECKING:
    from streamgauge.events.batch import RecordBatch
    from streamgauge.events.cells import Ints
    from streamgauge.features.decode import SchemaBook


class BatchRows(Sequence[Record]):
    """Rows of a batch as records, each built when it is asked for."""

    def __init__(self, batch: RecordBatch, rows: Ints, book: SchemaBook) -> None:
        """Keep which rows there are."""
        self._batch = batch
        self._rows = rows
        self._book = book

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        keep = np.zeros(len(self._batch), np.bool_)
        keep[self._rows[index]] = True
        found = self._batch.kept(keep)
        records = found.records({number: self._book.spec(number).name for number in np.unique(found.schema).tolist()})
        return records if isinstance(index, slice) else records[0]

    def __iter__(self) -> Iterator[Record]:
        return iter(self[:])

    def ids(self, rows: Ints) -> list[str]:
        """Return the ids of some of the rows."""
        return self._batch.event_id.take(self._rows[rows]).texts()
