"""The event log: the durable order of what was accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.arrival import Arrival
    from streamgauge.events.batch import RecordBatch
    from streamgauge.events.record import NewRecord, Record


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record, or a whole event, that was not accepted, and why.

    Attributes:
        number: Its number in the quarantine (0 before it is stored).
        stream: The stream's name, or an empty string where the event names none.
        entity: The entity key, or an empty string.
        event_id: The event's id, or an empty string.
        reason: Machine-readable: ``unknown_stream missing_field unknown_field wrong_type too_precise out_of_range
            unknown_level bad_time too_late too_early bad_revision conflict identity_changed malformed``.
        detail: The sentence for a person.
        body: The event as it came, JSON text; bounded in length, see ``whole``.
        at: When it was refused, µs.
        position: The position of the record in the log for ``conflict`` and ``identity_changed``, else None.
        field: The field that it was refused for, or an empty string.
        arrival: Set where it came as the row of a file.
        whole: Whether all of the body is kept.
        retries: How often it was tried again in vain.
        resolved: The position of the record that a retry made of it, None while it is open.
        resolved_at: When, µs.
    """

    stream: str
    entity: str
    event_id: str
    reason: str
    detail: str
    body: str
    at: int
    position: int | None = None
    number: int = 0
    field: str = ""
    arrival: Arrival | None = None
    whole: bool = True
    retries: int = 0
    resolved: int | None = None
    resolved_at: int | None = None

    @property
    def retriable(self) -> bool:
        """Whether the event could be sent again: it is open, all there, and not in the log."""
        return self.resolved is None and self.whole and self.position is None


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of a refused event that was tried again.

    Attributes:
        number: Its number in the quarantine.
        at: When, µs.
        position: The position of the record it became; None where it was refused again.
        newer: Why it was refused again; where the log has stored that under a number of its own, that one goes.
    """

    number: int
    at: int
    position: int | None = None
    newer: Quarantined | None = None


class Log(Protocol):
    """The durable order of events.

    One process appends; any thread of it may read while another appends. A record is visible to every read that starts
    after `append` returned. Positions strictly increase with the order of appending; gaps are allowed.
    """

    def append(self, records: Sequence[NewRecord], now_us: int) -> list[Record | Quarantined]:
        """Accept records durably, in order, in one group commit; answer for each, in order.

        A record outside −tolerance ≤ known_at − event_time ≤ lateness is not accepted: it is stored in the
        quarantine with
        the reason ``too_late`` or ``too_early`` in the same commit. ``accepted_at`` is max(now_us, the entity's last):
        where the clock stepped back, an entity waits for its own records only; an event of several for theirs.

        A record of a stream with several roles is its primary entity's; right behind it the log keeps those of the
        other roles and pairs (`streamgauge.events.roles.expand`). One whose id stands for other entities is not
        accepted (``identity_changed``, see `streamgauge.log.door`).

        Raises:
            OSError: The disk refused; nothing of the batch was accepted.
        """

    def quarantine(self, items: Sequence[Quarantined]) -> list[int]:
        """Store refused events durably and return their numbers; a position is quarantined once."""

    def quarantined(
        self,
        *,
        number: int | None = None,
        last: int = 100,
        before: int | None = None,
        reason: str | None = None,
        stream: str | None = None,
        resolved: bool | None = None,
        mentions: str | None = None,
    ) -> list[Quarantined]:
        """Return one refused event by number, or the newest ones, newest first.

        Args:
            number: Its number.
            last: The most that are returned.
            before: Only those with smaller numbers.
            reason: Only those refused for it.
            stream: Only those of it.
            resolved: Only those that a retry has resolved, or has not; None for both.
            mentions: Only those with a text in their entity, body or detail.
        """

    def quarantine_counts(self) -> dict[str, int]:
        """Return how many are open, by reason."""

    def retried(self, outcomes: Sequence[Retried]) -> list[Quarantined]:
        """Note durably what became of refused events that were tried again; return them as they are now.

        One whose record contradicts an earlier one is not resolved: it takes the contradiction's reason.
        """

    def last_position(self) -> int:
        """Return the newest position, 0 for an empty log."""

    def last_accepted_at(self) -> int:
        """Return the ``accepted_at`` of the newest record, 0 for an empty log."""

    def read_after(self, position: int, limit: int) -> list[Record]:
        """Return up to ``limit`` records with greater positions, in order of position."""

    def read_entity(self, entity: str, up_to: int | None = None, after: int = 0) -> list[Record]:
        """Return one entity's records with ``after`` < position ≤ ``up_to`` (all if None), in order of position."""

    def entities_after(self, position: int) -> list[str]:
        """Return the keys of the entities that have a record at a greater position, in the order of their first one."""

    def read_by_entity(
        self, entities: Sequence[str] | None = None, up_to: int | None = None
    ) -> Iterator[tuple[str, list[Record]]]:
        """Yield (entity, its records in order of position) for the named entities, or for all in order of their key."""

    def read_columns(
        self, entities: Collection[str] | None = None, up_to: int | None = None, after: int = 0
    ) -> Iterator[RecordBatch]:
        """Yield whole entities as columns, in order of their keys: all of them, or the named ones that have records.

        Every batch is read under the same cut: ``up_to``, or the last position as the reading starts. Of records up to
        ``after`` none is read.
        """

    def find(self, stream: str, entity: str, event_id: str) -> Record | None:
        """Return the first record of an event, or None."""

    def get(self, position: int) -> Record | None:
        """Return the record at a position, or None."""

    def entities(self, role: str | None = None) -> list[str]:
        """Return the keys of all entities (of one role), sorted."""

    def register_schema(self, spec: StreamSpec) -> int:
        """Return the number of this form of a stream's fields, storing it the first time it is seen."""

    def schema(self, number: int) -> StreamSpec:
        """Return the stream as it was declared under a schema number."""

    def schemas(self) -> list[StreamSpec]:
        """Return every form of every stream that was registered, the oldest first."""

    def text_of(self, value: int) -> str | None:
        """Return the text behind an open category's finished value, its `open_code`; None where it is unknown."""

    def seal(self, keep: int, least: int, stopped: Callable[[], bool] = ...) -> int:
        """Move old records into the archive, if the log has one; no read sees a difference.

        May run beside everything else, and be cut short at any moment: nothing is lost or doubled.

        Args:
            keep: How many of the newest records stay where they are quickest to append and read.
            least: How many records are moved at a time; fewer are left where they are.
            stopped: Asked often; once it says so, the rest is left for another time.

        Returns:
            How many were moved.

        Raises:
            OSError: The disk refused; the rest stays where it is.
            LogDamaged: The archive is not what was written.
        """

    def erase(self, entity: str, beside: Mapping[str, Sequence[int]] = ..., *, up_to: int | None = None) -> int:
        """Remove every record of an entity, and what the quarantine holds of it, from the disk for ever.

        Args:
            entity: Its key.
            beside: By other entity's key, the positions of records that go with it: of the same events. Where such an
                entity is to be named later (`thinned`), its key must say nothing of the erased one; positions under its
                own key are of no other.
            up_to: Later records of it stay; None for all.

        Their positions stay taken and are known to be erased. An erasure that was cut short is brought to its end by
        the next one, or by `seal`. The entity may have new records afterwards.

        Returns:
            How many records were erased, now and by an interrupted erasure before.
        """

    def drop_quarantined(self, numbers: Sequence[int]) -> None:
        """Remove refused events from the disk for ever."""

    def erased(self, up_to: int | None = None) -> NDArray[np.int64]:
        """Return the positions (up to one) whose records were erased, ascending, int64."""

    def thinned(self, entity: str) -> int | None:
        """Return the first position that an entity lost to the erasure of another one of its events, or None."""

    def check(self) -> int:
        """Read everything, and return how many records are sound.

        Raises:
            LogDamaged: Something is not.
        """

    def close(self) -> None:
        """Release the files; further calls fail."""
