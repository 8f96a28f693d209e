"""A stretch of sealed records in order of position, for those who read the log from its beginning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from streamgauge.events.batch import NOTHING, RecordBatch

if TYPE_CHECKING:
    from streamgauge.events.cells import Ints
    from streamgauge.log.archive import Snapshot

RECORDS: Final = 250_000
"""Segments are sorted by entity: to read on in order of position, so many records are picked from one at a time."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The records behind one position up to another.

    Attributes:
        manifest: The number of the manifest it was read under.
        after: The position before them.
        through: The last position.
        positions: Theirs, ascending.
        batch: They.
    """

    manifest: int
    after: int
    through: int
    positions: Ints
    batch: RecordBatch

    @classmethod
    def behind(cls, snapshot: Snapshot, position: int) -> Self:
        """Return the stretch that begins behind a position that is sealed."""
        reader = snapshot.reader_at(position + 1)
        if reader is None:
            raise ValueError(f"Position {position + 1} is not in the archive.")
        held = reader.positions()
        first = int(np.searchsorted(held, position, "right"))
        wanted = held[first : first + RECORDS]
        ended = first + len(wanted) == len(held)
        parts = list(reader.at(wanted))
        return cls(
            snapshot.manifest.number,
            position,
            reader.segment.through if ended else int(wanted[-1]),
            wanted,
            RecordBatch.merged(parts) if parts else NOTHING,
        )

    def covers(self, snapshot: Snapshot, position: int) -> bool:
        """Return whether what lies behind a position begins here."""
        return self.manifest == snapshot.manifest.number and self.after <= position < self.through

    def batch_behind(self, position: int, limit: int) -> RecordBatch:
        """Return up to ``limit`` records with greater positions."""
        first = int(np.searchsorted(self.positions, position, "right"))
        wanted = self.positions[first : first + limit]
        if not len(wanted):
            return NOTHING
        return self.batch.kept((self.batch.position > position) & (self.batch.position <= wanted[-1]))
