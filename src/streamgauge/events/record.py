"""A record: one event as the log holds it."""

from __future__ import annotations

from typing import Final

import msgspec

INSERT: Final = 0
REPLACE: Final = 1
DELETE: Final = 2


class NewRecord(msgspec.Struct, frozen=True, gc=False):
    """A validated event that the log has not seen yet.

    Attributes:
        stream: The stream's name.
        entity: The entity key ``role:id`` (``account:A-17``).
        event_id: The event's id.
        event_time: µs since the epoch, UTC.
        sequence: The order among events that share an event time; 0 where the sender gave none.
        revision: 0 for an insert, 1 or more for a replace or delete.
        op: ``INSERT``, ``REPLACE`` or ``DELETE``.
        units: The payload's int64 units in the stream's field order, little endian, 8 bytes each; for a delete all
            null.
        texts: MessagePack array of the texts of the stream's text fields (`FieldSpec.is_text`) in order, nil for
            null; empty
            where the stream has none.
        digest: 16 bytes of BLAKE2b over op, event time, sequence, units and texts: equal digests mean equal content.
        declared_known_at: When an import says the record became known, µs; None for a live record.
    """

    stream: str
    entity: str
    event_id: str
    event_time: int
    sequence: int
    revision: int
    op: int
    units: bytes
    texts: bytes
    digest: bytes
    declared_known_at: int | None = None


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record with what the log gave it, durably and once.

    Attributes:
        position: Strictly increasing in the log.
        accepted_at: When the log accepted it, µs; never smaller than that of the entity's record before it.
        known_at: ``accepted_at``, or for imported history min(declared, ``accepted_at``).
        imported: Whether an import brought it.
        schema: The number of the stream's schema it was written under.

    The other attributes are those of `NewRecord`.
    """

    position: int
    stream: str
    entity: str
    event_id: str
    event_time: int
    sequence: int
    revision: int
    op: int
    schema: int
    units: bytes
    texts: bytes
    digest: bytes
    accepted_at: int
    known_at: int
    imported: bool
