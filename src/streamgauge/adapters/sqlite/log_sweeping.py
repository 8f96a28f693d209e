"""Reading much of the log at once, as columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamgauge.adapters.sqlite.log_columns import COLUMNS, RowGatherer, batch_of
from streamgauge.adapters.sqlite.log_slices import positions_of
from streamgauge.events.batch import NOTHING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from streamgauge.adapters.sqlite.log_reading import LogReader
    from streamgauge.events.batch import RecordBatch

SEARCHED_AT_ONCE: Final = 256
"""So many entities are searched by the index in one reading."""
ROWS_OF_A_FETCH: Final = 5_000
"""Rows that become columns at a time; few, for other threads wait meanwhile."""
ROWS_AT_ONCE: Final = 300_000
"""About how many rows one reading through the log may return: what bounds its memory."""
# SQLite finds one end at a time by the tree; of both in one query it looks at every row.
_ENDS: Final = """
SELECT (SELECT min(position) FROM records WHERE position > :after AND position <= :cut),
       (SELECT max(position) FROM records WHERE position > :after AND position <= :cut)
"""

SCANNED_AT_MOST: Final = 4_000_000
"""The longest log that is read through once for every so many rows; a longer one is searched by entity."""


class LogSweeper:
    """The reads of many records of a log.

    Args:
        reader: The log's reader.
    """

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader

    def between(self, after: int, through: int) -> RecordBatch:
        """Return the records with positions behind one and up to another."""
        found = list(self._scanned(None, (after, through), None, None))
        return found[0] if found else NOTHING

    def columns(
        self, names: Collection[str] | None, after: int, up_to: int | None, behind: str | None = None
    ) -> Iterator[RecordBatch]:
        """Yield whole entities in order of their keys, each reading under one cut.

        Args:
            names: The entities, or None for all.
            after: The position before the first that is wanted.
            up_to: The last position, or None for the newest as the reading starts.
            behind: Begin with the entities behind this one.
        """
        cut = self._reader.last_position() if up_to is None else up_to
        first, last = self._reader.rows(_ENDS, {"after": after, "cut": cut})[0]
        if first is None:
            return
        rows = last - first + 1
        wanted = None if names is None else sorted({name for name in names if behind is None or name > behind})
        if wanted is not None and not self._most(wanted, rows):
            for start in range(0, len(wanted), SEARCHED_AT_ONCE):
                yield from self._searched(wanted[start : start + SEARCHED_AT_ONCE], after, cut)
            return
        some = None if wanted is None else frozenset(wanted)
        if rows <= ROWS_AT_ONCE:
            yield from self._scanned(some, (after, cut), behind, None)
            return
        every = [name for name in self._reader.entities(None) if behind is None or name > behind]
        keys = every if wanted is None else wanted
        at_once = max(1, len(every) * ROWS_AT_ONCE // rows)
        for start in range(0, len(keys), at_once):
            last = keys[min(start + at_once, len(keys)) - 1]
            yield from self._scanned(some, (after, cut), behind, last)
            behind = last

    def _most(self, names: Sequence[str], rows: int) -> bool:
        """Return whether names are so many of the entities that reading all rows through is quicker."""
        if len(names) <= SEARCHED_AT_ONCE or rows > SCANNED_AT_MOST:
            return False
        return self._reader.count_entities(2 * len(names) + 1) <= 2 * len(names)

    def _searched(self, names: Sequence[str], after: int, cut: int) -> Iterator[RecordBatch]:
        """Yield some entities' records: the index names rows, which are then read in order of position."""
        query = f"{COLUMNS} WHERE position IN ({positions_of(len(names))}) ORDER BY position"
        found = self._reader.rows(query, (after, cut, *names))
        if found:
            yield batch_of(found)

    def _scanned(
        self, names: frozenset[str] | None, cut: tuple[int, int], behind: str | None, last: str | None
    ) -> Iterator[RecordBatch]:
        """Yield the entities between two keys: for most of a log, reading it through is quicker."""
        query = f"{COLUMNS} NOT INDEXED WHERE position > ? AND position <= ?"
        values: list[str | int] = list(cut)
        for test, value in ((" AND entity > ?", behind), (" AND entity <= ?", last)):
            if value is not None:
                query, values = query + test, [*values, value]
        gatherer = RowGatherer()
        for rows in self._reader.batches(query + " ORDER BY position", values, ROWS_OF_A_FETCH):
            gatherer.add(rows)
        batch = gatherer.batch(names)
        if batch.entities:
            yield batch
