"""The newest state of an entity: the stored one, and the log's later records of the entity on top.

States are stored at checkpoints, so a stored one may be some records behind what was applied; the log has them. This is
what owner and API workers read by: it needs a log and a store that can be read, and nothing of the process that writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamgauge.errors import BeyondState, StateDamaged
from streamgauge.features.state import EntityState

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from streamgauge.events.record import Record
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.layout import Layouts
    from streamgauge.features.store import StateStore
    from streamgauge.log.port import Log


@dataclass(frozen=True, slots=True)
class FreshStates:
    """Reads states as they are after every applied record; any thread may call it.

    Attributes:
        log: The log.
        store: The store, which was opened for the layouts.
        layouts: What the states keep, by role.
        book: The forms that records were written under.
    """

    log: Log
    store: StateStore
    layouts: Layouts
    book: SchemaBook

    def applied(self) -> int:
        """Return the position that reads answer for: ask before `state`, so that none claims what it has not seen."""
        return self.store.applied()

    def state(self, entity: str, applied: int) -> EntityState | None:
        """Return an entity's state, knowing every record of it up to a position and perhaps some later ones.

        Args:
            entity: The entity's key.
            applied: What `applied` returned.

        Returns:
            The state, whose `last_position` may lie beyond ``applied``; the caller's own to change. None where the
            entity has no record, or where a record reaches back to what the stored state no longer holds: then the
            log's records themselves answer (`streamgauge.features.history.EntityHistory`).
        """
        complete = self.store.watermark()  # known before the state is read, which so surely holds what came until then
        stored = self.stored(entity)
        if stored is None:
            records = self.log.read_entity(entity, applied)
            layout = self.layouts.of_entity(entity)
            return EntityState.rebuild(layout, records, self.book) if records else None
        return self.replayed(stored, self.log.read_entity(entity, applied, max(complete, stored.last_position)))

    def stored(self, entity: str) -> EntityState | None:
        """Return an entity's stored state, which may lack records; None where there is none that is sound."""
        return self._decoded(entity, self.store.get(entity))

    def stored_many(self, entities: Sequence[str]) -> list[EntityState | None]:
        """Return what `stored` does of several entities."""
        return [self._decoded(*pair) for pair in zip(entities, self.store.get_many(entities), strict=True)]

    def replayed(self, state: EntityState, records: Iterable[Record]) -> EntityState | None:
        """Return a stored state with later records of its entity; None where one reaches back too far."""
        try:
            for record in records:
                state.apply(record, self.book)
        except BeyondState:
            return None
        return state

    def states(self, entities: Sequence[str], behind: Container[str], applied: int) -> list[EntityState | None]:
        """Return several states at once, reading the log for those alone that are said to be behind or are not stored.

        Args:
            entities: The entities' keys.
            behind: The entities whose stored states lack records up to ``applied``.
            applied: The position that the states have to know.
        """
        found: list[EntityState | None] = []
        for entity, data in zip(entities, self.store.get_many(entities), strict=True):
            stored = None if entity in behind else self._decoded(entity, data)
            found.append(self.state(entity, applied) if stored is None else stored)
        return found

    def _decoded(self, entity: str, data: bytes | None) -> EntityState | None:
        try:
            return None if data is None else EntityState.decode(self.layouts.of_entity(entity), data)
        except StateDamaged:
            return None
