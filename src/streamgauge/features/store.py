"""Where the states of entities live between checkpoints: one value per entity, beside the outbox of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from streamgauge.features.packed_states import StatePage


class StateStore(Protocol):
    """The states of all entities under one layout, the watermark they stand at, and scores still to be published.

    One process writes; any thread of it, and other processes, may read meanwhile. A read sees whole batches only.
    A batch of records writes its scores and the position it was applied to (`applied`); states follow at checkpoints
    and say themselves how far they go. Every record up to `watermark` is in the stored states; those of an entity after
    that, up to `applied`, may have to be read from the log on top of its stored state (`streamgauge.app.fresh`).
    States are never the only copy of anything: a store that is lost, damaged or of another layout is rebuilt from the
    log (`streamgauge.features.rebuild`).
    """

    @property
    def layout_digest(self) -> str:
        """The digest of the layout that the states were written under."""

    @property
    def stale(self) -> str:
        """Why the states that were found on opening had to be dropped, or an empty string.

        Anything but an empty string asks the owner to rebuild every state from the log: another layout, another format
        of the store, or a damaged file. So does a watermark of 0 over a log that is not empty: a rebuild was cut short.
        """

    @property
    def unclean(self) -> bool:
        """Whether the last owner died before it had written a state: check the values before they are trusted."""

    def get(self, entity: str) -> bytes | None:
        """Return one entity's state, or None where there is none, or not the one that was written.

        Raises:
            StateDamaged: The store cannot be read there.
        """

    def get_many(self, entities: Sequence[str]) -> list[bytes | None]:
        """Return several states, as of one moment, in the order asked for."""

    def put_batch(
        self,
        states: Mapping[str, bytes],
        outbox: Sequence[bytes] = (),
        watermark: int | None = None,
        applied: int | None = None,
    ) -> int:
        """Write states, append to the outbox and move both positions, all or nothing.

        Called once for each batch of records applied and for each part of a checkpoint, and only after the log holds
        the records. What was written outlives the process; what a machine that goes down takes with it is noticed when
        the store is opened (`stale`), and built again.

        Args:
            states: Encoded states by entity.
            outbox: What is to be published, in order.
            watermark: The position up to which every record is in the states; None leaves it where it is.
            applied: The position of the last record that was applied and published; None leaves it where it is.

        Returns:
            The number of the newest entry of the outbox, 0 while there never was one.

        Raises:
            OSError: The disk refused; nothing was written.
            StateDamaged: The store is damaged; nothing was written.
        """

    def watermark(self) -> int:
        """Return the position up to which all records are in the states, 0 in the beginning.

        Raises:
            StateDamaged: It is not what was written.
        """

    def applied(self) -> int:
        """Return the position up to which all records were applied and published; never less than the watermark.

        Raises:
            StateDamaged: It is not what was written.
        """

    def outbox_after(self, number: int, limit: int) -> list[tuple[int, bytes]]:
        """Return up to ``limit`` entries with greater numbers, in order.

        The oldest ones are dropped in time, and one that is not what was written is left out.
        """

    def outbox_newest(self) -> int:
        """Return the number of the newest entry of the outbox, 0 while there never was one."""

    def entities(self) -> Iterator[str]:
        """Yield the keys of all entities, in no promised order; entities written meanwhile may be missing."""

    def states(self, prefix: str) -> Iterator[StatePage]:
        """Yield the states of all entities whose keys begin so, some at a time, those of a page as of one moment.

        They come in the order of their keys' bytes, but for very long keys, which come last. A state that is not the
        one that was written is an empty one. Entities written meanwhile may be missing.
        """

    def count(self) -> int:
        """Return how many entities have a state."""

    def delete(self, entities: Sequence[str]) -> None:
        """Drop the states of some entities."""

    def erase(self, entities: Collection[str], drops: Callable[[bytes], bool]) -> int:
        """Remove states and entries of the outbox from the disk for ever; writes wait meanwhile, reads go on.

        Args:
            entities: Whose states go.
            drops: Picks the entries of the outbox that go.

        Returns:
            How many entries went.
        """

    def clear(self) -> None:
        """Drop every state and set both positions to 0; numbers of the outbox go on."""

    def renew(self, why: str) -> None:
        """Put a damaged store aside, and go on with an empty and stale one."""

    def forget_readers(self) -> None:
        """Let go of what processes that died in the middle of a read were reading, so that its place is used again."""

    def close(self) -> None:
        """Note that all is well, and release the files; further calls fail."""
