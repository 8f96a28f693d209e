"""The chain of a ledger's entries, and where it was broken."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from streamgauge.decisions.record import identity, record_digest
from streamgauge.errors import LedgerBroken

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

GENESIS = bytes(32)
"""The hash before the first entry."""

Kind = Literal["edited", "deleted", "reordered", "truncated", "inserted", "heads"]


class Head(msgspec.Struct, frozen=True):
    """The newest entry of a chain: its number and hash in hex; number 0 where there is none."""

    seq: int
    chain_hash: str


EMPTY = Head(0, GENESIS.hex())


class StoredEntry(msgspec.Struct, frozen=True):
    """One entry as it lies in the store; salt and body are None where the store has none."""

    seq: int
    after: int
    """The number of the last entry before the group that was committed together with this one."""
    decision_id: str | None
    """None for the note of an erasure."""
    record_digest: bytes
    entry_hash: bytes
    salt: bytes | None
    body: bytes | None
    entities: dict[str, str]
    """As the store's own index of entities has them."""


class Break(msgspec.Struct, frozen=True):
    """The first place where a chain does not hold.

    `kind` is `edited` (a stored value changed), `deleted` (a row or body went), `reordered` (rows changed places),
    `truncated` (the end went), `inserted` (a row that was never chained) or `heads` (the file of heads, not the store,
    was changed). Where heads only bound the place, it lies in `seq` to `through`.
    """

    seq: int
    through: int
    kind: Kind
    detail: str

    def __str__(self) -> str:
        """Say where, and what."""
        where = f"entry {self.seq}" if self.seq == self.through else f"entries {self.seq} to {self.through}"
        return f"{where} {self.kind}: {self.detail}"


class ChainReport(msgspec.Struct, frozen=True):
    """The answer of a verification: entries checked (erased among them), the last one that holds, the first break."""

    checked: int
    erased: int
    head: Head
    broken: Break | None

    @property
    def ok(self) -> bool:
        """Whether the whole chain holds and the heads agree."""
        return self.broken is None


class EntrySource(Protocol):
    """A store's entries as of one moment, for verification."""

    def rows(self, from_seq: int) -> Iterator[StoredEntry]:
        """Yield the entries numbered `from_seq` and later, by number. Raises LedgerBroken where it cannot be read."""

    def erased(self) -> Container[int]:
        """Return the numbers that intact notes of erasure name."""

    def stray(self) -> int | None:
        """Return the first number that has a body or an entity but no entry in the chain."""


def entry_hash(previous: bytes, digest: bytes, seq: int, after: int, decision_id: str | None) -> bytes:
    """Hash an entry with the one before it.

    The group's boundary and the decision_id are part of it because both outlive the erasure of the body.
    """
    name = b"\0" if decision_id is None else b"\1" + decision_id.encode("utf-8", "surrogateescape")
    place = seq.to_bytes(8, "big", signed=True) + after.to_bytes(8, "big", signed=True)
    return hashlib.sha256(b"streamgauge ledger 1\0" + previous + digest + place + name).digest()


def verify_entries(source: EntrySource, heads: Iterable[Head | None]) -> ChainReport:
    """Walk a store from its first entry and compare it with the heads kept outside; report the first break.

    Args:
        source: The store.
        heads: The heads in the order written, None for a line that cannot be read. They must have been read no later
            than the store's moment: a head is written after its commit.
    """
    walk = _Walk(source, heads)
    try:
        fault = walk.run()
        if fault is None and (stray := source.stray()) is not None:
            fault = Break(stray, stray, "inserted", "a body or an entity that belongs to no entry of the chain")
    except LedgerBroken as error:
        seq = walk.held.seq + 1
        fault = Break(seq, seq, "edited", str(error))
    if walk.missing is not None:
        excuse = f"; the body of entry {walk.missing.seq} is missing too, or the note of its erasure is what is broken"
        fault = walk.missing if fault is None else msgspec.structs.replace(fault, detail=fault.detail + excuse)
    return ChainReport(checked=walk.held.seq, erased=walk.erased, head=walk.held, broken=fault)


def fault_of(row: StoredEntry, erased: Container[int]) -> Break | None:
    """Say what is wrong with an entry's body and index, given that its place in the chain is right."""
    if row.seq in erased:
        if row.body is None and not row.entities:
            return None
        return Break(row.seq, row.seq, "inserted", "what had been erased has come back")
    if row.body is None or row.salt is None:
        return Break(row.seq, row.seq, "deleted", "its body is gone, and no erasure says so")
    if record_digest(row.salt, row.body) != row.record_digest:
        return Break(row.seq, row.seq, "edited", "its body or salt does not give the digest in the chain")
    known = identity(row.body)
    if known.decision_id != row.decision_id or known.entities != row.entities:
        return Break(row.seq, row.seq, "edited", "the index of decisions and entities does not agree with the body")
    return None


def follows(row: StoredEntry, previous: bytes, seq: int) -> bool:
    """Say whether a row is the entry numbered `seq` after the hash `previous`."""
    return entry_hash(previous, row.record_digest, seq, row.after, row.decision_id) == row.entry_hash


class _Walk:
    """One pass over a store: what holds so far, and the bodies that no erasure explains."""

    def __init__(self, source: EntrySource, heads: Iterable[Head | None]) -> None:
        self._source = source
        self._watch = _HeadWatch(heads)
        self.held = EMPTY
        self.erased = 0
        self.missing: Break | None = None
        """Told only if nothing else is broken: another fault may be of the note that explains it."""
        self._missing_note = False

    def run(self) -> Break | None:
        """Return the first break of links, bodies and heads, missing bodies aside."""
        named = self._source.erased()
        after = 0
        for row in self._source.rows(1):
            fault = _link_fault(self._source, row, self.held) or self._body_fault(row, named)
            if fault is not None:
                return self._watch.settle(fault, self.held, after)
            self.held, after = Head(row.seq, row.entry_hash.hex()), row.after
            self._watch.compare(self.held)
        return self._watch.settle(None, self.held, after)

    def _body_fault(self, row: StoredEntry, named: Container[int]) -> Break | None:
        fault = fault_of(row, named)
        if fault is not None and fault.kind == "deleted":
            is_note = row.decision_id is None
            if self.missing is None or (is_note and not self._missing_note):
                self.missing, self._missing_note = fault, is_note
            return None
        self.erased += row.body is None
        return fault


def _link_fault(source: EntrySource, row: StoredEntry, held: Head) -> Break | None:
    previous, expected = bytes.fromhex(held.chain_hash), held.seq + 1
    if row.seq == expected and follows(row, previous, expected):
        return None
    for other in source.rows(expected):
        if other.seq != expected and follows(other, previous, expected):
            return Break(expected, expected, "reordered", f"the entry that belongs here is stored as {other.seq}")
    if row.seq > expected:
        return Break(expected, row.seq - 1, "deleted", f"the next entry in the store is {row.seq}")
    if _renumbered(source, row):
        return Break(expected, expected, "deleted", "the entry is gone and those after it were renumbered")
    return Break(expected, expected, "edited", "its link to the entry before does not hold")


def _renumbered(source: EntrySource, row: StoredEntry) -> bool:
    """Say whether the row links to the one after it under the number that each would have had with one more before."""
    rows = source.rows(row.seq + 1)
    following = next(rows, None)
    return following is not None and follows(following, row.entry_hash, following.seq + 1)


class _HeadWatch:
    """Compares heads with entries as both go by."""

    def __init__(self, heads: Iterable[Head | None]) -> None:
        self._heads = iter(heads)
        self._next: Head | None = EMPTY
        self._line = EMPTY
        """The newest readable head."""
        self._agreed = 0
        self._differing: Head | None = None
        self._damage: Break | None = None
        self._advance()

    def compare(self, held: Head) -> None:
        while self._next is not None and self._next.seq <= held.seq:
            head = self._next
            if head == held:
                if self._differing is not None:
                    # A later head covers all before it, so the store is right and the line is not.
                    seq = self._differing.seq
                    self._damaged(seq, seq, "a line was changed; later heads agree with the store")
                    self._differing = None
                self._agreed = head.seq
            elif self._differing is None:
                self._differing = head
            self._advance()

    def settle(self, fault: Break | None, held: Head, after: int) -> Break | None:
        """Return the first break, once the store has ended or `fault` ended the walk."""
        if self._differing is not None:
            detail = "the chain was written anew: it does not lead to the head written outside the store"
            return Break(self._agreed + 1, self._differing.seq, "edited", detail)
        if fault is not None:
            return fault
        while self._next is not None:
            self._advance()
        if self._line.seq > held.seq:
            return Break(held.seq + 1, self._line.seq, "truncated", f"the store ends at {held.seq}")
        if self._damage is None and self._line.seq < after:
            self._damaged(self._line.seq + 1, after, "the last heads are missing from the file")
        return self._damage

    def _advance(self) -> None:
        for head in self._heads:
            if head is None or head.seq < self._line.seq:
                seq = self._line.seq + 1
                self._damaged(seq, seq, "the line after the head before this entry cannot be read, or goes back")
                continue
            self._line = self._next = head
            return
        self._next = None

    def _damaged(self, seq: int, through: int, detail: str) -> None:
        if self._damage is None:
            self._damage = Break(seq, through, "heads", detail)
