"""The port of the decision ledger: durable, chained, idempotent, erasable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import msgspec

from streamgauge.decisions.record import DecisionRecord, Erasure, ErasureAudit
from streamgauge.errors import DecisionErased, LedgerBroken

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streamgauge.decisions.chain import ChainReport, Head
    from streamgauge.errors import StreamgaugeError


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What `append` answers: number, hex digest of the record, hex hash of the chain, and the record as it stands.

    For a repeated decision_id all of it is the first's, and `repeated` is true.
    """

    seq: int
    digest: str
    chain_hash: str
    record: DecisionRecord
    repeated: bool


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a read answers; `record` is None unless `status` is `kept`."""

    seq: int
    decision_id: str
    digest: str
    chain_hash: str
    status: Literal["kept", "erased", "broken"]
    record: DecisionRecord | None

    def require(self) -> DecisionRecord:
        """Return the record.

        Raises:
            DecisionErased: It was erased on purpose.
            LedgerBroken: The stored row is not the one that was chained.
        """
        if self.record is not None:
            return self.record
        if self.status == "erased":
            msg = f'Decision "{self.decision_id}" (entry {self.seq}) was erased; only its place in the chain is left.'
            raise DecisionErased(msg)
        msg = (
            f'Decision "{self.decision_id}" (entry {self.seq}) is not the one that was recorded: its row was changed '
            "or removed. Run the verification of the ledger, and restore the row from a backup."
        )
        raise LedgerBroken(msg)


@runtime_checkable
class Ledger(Protocol):
    """Where decisions are kept.

    One process owns a ledger. In it, one thread at a time appends or erases, and any thread reads. Delivery: when
    `append` returns, its records survive the loss of the process and of power, exactly once per decision_id. When it
    raises anything else than `DecisionConflict` or `DecisionInvalid`, the records may or may not be there; sending
    them again is safe and settles it.

    Every entry holds a salted digest of its record and the hash of the entry before; the newest hash is written
    outside the store after each commit, and is durable before the next. A store that falls behind those heads, or
    whose heads were cut, is opened for reading and verification only: `append` and `erase` raise `LedgerBroken`. It is
    never repaired silently, except for the head of the very last commit, which a crash can leave unwritten and which
    the chain proves.
    """

    def append(self, records: Sequence[DecisionRecord]) -> list[Receipt]:
        """Keep decisions durably, all in one commit or none; called before a decision is answered.

        A decision_id that is used already with the same `request_digest` answers the first's receipt and record,
        and writes nothing.

        Raises:
            DecisionConflict: A decision_id is used already for another request, or its decision was erased.
            DecisionInvalid: A record holds a value that cannot be written.
            LedgerBroken: The store does not continue its heads.
        """

    def append_each(self, records: Sequence[DecisionRecord]) -> list[Receipt | StreamgaugeError]:
        """Like `append`, for decisions of different callers: who is refused gets the error in place of a receipt.

        It is the commit function for a `GroupCommit`.

        Raises:
            LedgerBroken: The store does not continue its heads; nothing was written.
        """

    def get(self, decision_id: str) -> Entry | None:
        """Return a decision by its id, or None if it was never made."""

    def get_many(self, decision_ids: Sequence[str]) -> dict[str, Entry]:
        """Return those of several decisions that were made, by id, read as of one moment."""

    def settle(self) -> None:
        """Make durable what `append` may leave for later: the head of its last commit. Called when there is time.

        It also happens before the next commit. It never raises: what fails here fails there.
        """

    def last(self, n: int) -> list[Entry]:
        """Return the newest n decisions, oldest of them first."""

    def iterate(self, from_seq: int = 1) -> Iterator[Entry]:
        """Yield decisions by number. The ledger may grow meanwhile; what it grew by is yielded too."""

    def head(self) -> Head:
        """Return the newest entry's number and hash."""

    def erase(self, role: str, entity: str, *, erased_at: int, audit: ErasureAudit | None = None) -> int:
        """Delete bodies and salts of an entity's decisions durably, and note that in the chain.

        Digests and decision_ids stay (an id must hold no personal data), so the chain still verifies; reads say
        *erased*, and the ids cannot be used again.

        Args:
            role: The entity's field name.
            entity: Its id.
            erased_at: UTC int64 µs, for the note.
            audit: Noted with it, also where there is no decision; an id that is noted already writes nothing.

        Returns:
            The number of decisions erased; 0 without an audit writes nothing.

        Raises:
            LedgerBroken: The store does not continue its heads.
        """

    def erasures(self) -> list[Erasure]:
        """Return the notes of erasures, the oldest first; one that is not what was chained is left out."""

    def at(self, seq: int) -> Entry | None:
        """Return the decision of a number, or None where that is none's."""

    def verify_chain(self) -> ChainReport:
        """Check every stored byte against the chain and the chain against its heads. Never raises for a break."""

    def close(self) -> None:
        """Release the store; everything appended is durable already."""
