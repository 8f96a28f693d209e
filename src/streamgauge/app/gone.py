"""Records that were erased from the log while they waited to be applied: they are passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamgauge.events.roles import entities_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamgauge.events.record import Record
    from streamgauge.features.decode import SchemaBook


class Gone:
    """Which entities were erased since the owner started, and up to which position.

    Args:
        book: The forms that records were written under.
    """

    def __init__(self, book: SchemaBook) -> None:
        self._book = book
        self._up_to: dict[str, int] = {}

    def add(self, entities: Iterable[str], up_to: int) -> None:
        """Note entities as erased up to a position."""
        self._up_to.update(dict.fromkeys(entities, up_to))

    def covers(self, record: Record) -> bool:
        """Return whether a record's event was one of an erased entity."""
        if not self._up_to:
            return False
        keys = entities_of(record, self._book.spec(record.schema)).values()
        return any(record.position <= self._up_to.get(key, 0) for key in keys)
