"""What a crash left the stored states without: the records of the log behind the last checkpoint.

Any of these entities may be asked for next, and their records lie in the log in the order they came. They are read
once, as columns, and found by entity from then on. What sealing moves meanwhile has been read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamgauge.events.batch import RecordBatch
    from streamgauge.events.record import Record
    from streamgauge.features.decode import SchemaBook
    from streamgauge.log.port import Log

MOST: Final = 1_000_000
"""So many records are held at most, some two hundred bytes each; of more, each reading asks the log."""


class LeftBehind:
    """The records between two positions, by entity.

    Args:
        log: The log.
        book: The forms that records were written under.
        after: The position before the first: what the stored states know.
        through: The last position.
    """

    def __init__(self, log: Log, book: SchemaBook, after: int, through: int) -> None:
        """Read nothing yet."""
        self.after = after
        self.through = through
        self._log = log
        self._book = book
        self._changed: set[str] = set()
        self._batches: list[RecordBatch] = []
        self._places: dict[str, tuple[int, int]] | None = None

    @property
    def few(self) -> bool:
        """Whether the records are few enough to be held."""
        return self.through - self.after <= MOST

    def change(self, entity: str) -> None:
        """Note that an entity has later records that no state of it knows yet."""
        self._changed.add(entity)

    def knows(self, entity: str) -> bool:
        """Return whether a stored state lacks nothing but what is here."""
        return entity not in self._changed

    def records(self, entities: Iterable[str]) -> dict[str, list[Record]]:
        """Return the records of those of the entities that have any, in order of position."""
        places = self._read() if self._places is None else self._places
        found: dict[str, list[Record]] = {}
        for entity in entities:
            if entity in places:
                batch, number = places[entity]
                part = self._batches[batch].slice(number, number + 1)
                names = {schema: self._book.spec(schema).name for schema in set(part.schema.tolist())}
                found[entity] = part.records(names)
        return found

    def _read(self) -> dict[str, tuple[int, int]]:
        places: dict[str, tuple[int, int]] = {}
        for batch in self._log.read_columns(None, self.through, self.after):
            places |= {entity: (len(self._batches), number) for number, entity in enumerate(batch.entities)}
            self._batches.append(batch)
        self._places = places
        return places
