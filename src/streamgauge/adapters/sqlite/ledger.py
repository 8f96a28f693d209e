"""The decision ledger in one SQLite file."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, Self

import msgspec

from streamgauge.adapters.sqlite.checkpoint import Checkpointer
from streamgauge.adapters.sqlite.ledger_rows import READ_ENTRY, RowSource, connect, connect_writer, mend_indexes, to_row
from streamgauge.decisions.chain import (
    EMPTY,
    Break,
    Head,
    StoredEntry,
    entry_hash,
    fault_of,
    follows,
    verify_entries,
)
from streamgauge.decisions.heads import HeadFile
from streamgauge.decisions.ledger import Entry, Receipt
from streamgauge.decisions.record import DecisionRecord, Erasure, ErasureAudit, decode, encode, record_digest
from streamgauge.errors import DecisionConflict, DecisionInvalid, LedgerBroken, LedgerUnavailable, StreamgaugeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from streamgauge.decisions.chain import ChainReport

SALT_BYTES = 16
_PAGE = 500
_PAGES_OF_A_COMMIT = 3
_PAGES_OF_A_RECORD = 3
_MOST = 2**63 - 1


class SqliteLedger:
    """A `Ledger` of chain, bodies and entities in three tables, with its heads in a file beside it.

    Commits are WAL with full synchronization, then one synced line in the file of heads. Erased bytes are overwritten
    (`secure_delete`) and the write-ahead log is emptied. See the port for what every method promises.
    """

    def __init__(self, path: Path, heads_path: Path, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        """Open or create a ledger, and write the head that a crash may have left unwritten.

        Args:
            path: The database file.
            heads_path: The file of heads; best on another disk, or shipped to one.
            random_bytes: Source of salts.
        """
        self._path = path
        self._random_bytes = random_bytes
        self._writing = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._connection = connect_writer(path)
        self._heads = HeadFile(heads_path)
        self._checkpointer = Checkpointer(path)
        self._erased = RowSource(self._connection).erased()
        self._head, self._group_after = self._newest(self._connection)
        self._unwritten: Head | None = None
        self._broken = self._check_heads()

    def mend(self, found: Sequence[str] | None = None) -> bool:
        """Make the indexes again where they do not fit the entries, and return whether they had to be.

        Args:
            found: What an `IndexCheck` found; None to look now.
        """
        with self._writing:
            return mend_indexes(self._connection, found)

    def append(self, records: Sequence[DecisionRecord]) -> list[Receipt]:
        """Keep decisions durably, all or none."""
        with self._writing:
            answers = self._plan(records)
            for answer in answers:
                if isinstance(answer, StreamgaugeError):
                    raise answer
            return [answer for answer in self._commit(records, answers) if isinstance(answer, Receipt)]

    def append_each(self, records: Sequence[DecisionRecord]) -> list[Receipt | StreamgaugeError]:
        """Keep decisions durably, answering an error for each one that is refused."""
        with self._writing:
            return self._commit(records, self._plan(records))

    def get(self, decision_id: str) -> Entry | None:
        """Return a decision by its id."""
        if not _is_text(decision_id):
            return None
        with self._reading() as connection:
            found = connection.execute(f"{READ_ENTRY} WHERE c.decision_id = ?", (decision_id,)).fetchone()
        return None if found is None else self._entry(to_row(found))

    def get_many(self, decision_ids: Sequence[str]) -> dict[str, Entry]:
        """Return those of several decisions that were made, by id."""
        with self._reading() as connection:
            return self._earlier(connection, decision_ids)

    def settle(self) -> None:
        """Make the last commit's head durable."""
        with self._writing, suppress(LedgerUnavailable):
            self._sync()

    def last(self, n: int) -> list[Entry]:
        """Return the newest n decisions, oldest of them first."""
        query = f"{READ_ENTRY} WHERE c.decision_id IS NOT NULL ORDER BY c.seq DESC LIMIT ?"
        with self._reading() as connection:
            found = connection.execute(query, (min(max(n, 0), _MOST),)).fetchall()
        return [self._entry(to_row(columns)) for columns in reversed(found)]

    def iterate(self, from_seq: int = 1) -> Iterator[Entry]:
        """Yield decisions by number."""
        query = f"{READ_ENTRY} WHERE c.seq >= ? ORDER BY c.seq LIMIT {_PAGE}"
        while True:
            # Read in pages: a cursor left open would keep the write-ahead log from being emptied.
            with self._reading() as connection:
                page = [to_row(columns) for columns in connection.execute(query, (from_seq,))]
            if not page:
                return
            yield from (self._entry(row) for row in page if row.decision_id is not None)
            from_seq = page[-1].seq + 1

    def head(self) -> Head:
        """Return the newest entry's number and hash."""
        with self._reading() as connection:
            return self._newest(connection)[0]

    def erase(self, role: str, entity: str, *, erased_at: int, audit: ErasureAudit | None = None) -> int:
        """Delete bodies and salts of an entity's decisions, and note it in the chain."""
        with self._writing:
            self._refuse_if_broken()
            if not (_is_text(role) and _is_text(entity)):
                return 0
            query = "SELECT seq FROM entities WHERE role = ? AND entity = ? ORDER BY seq"
            seqs = [seq for (seq,) in self._connection.execute(query, (role, entity))]
            if not seqs and (audit is None or self._is_noted(audit)):
                return 0
            body = encode(Erasure(seqs=tuple(seqs), erased_at=erased_at, audit=audit))
            new = set(seqs) - self._erased
            # Before the commit: a reader that finds the body gone must find it named here.
            self._erased |= new
            try:
                note = self._chain(self._head, self._head.seq, None, body)
                with self._transaction() as connection:
                    for delete in ("DELETE FROM bodies WHERE seq = ?", "DELETE FROM entities WHERE seq = ?"):
                        connection.executemany(delete, ((seq,) for seq in seqs))
                    self._insert(connection, [note])
            except BaseException:
                self._erased -= new
                raise
            self._publish(Head(note.seq, note.entry_hash.hex()))
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return len(seqs)

    def erasures(self) -> list[Erasure]:
        """Return the notes of erasures, the oldest first."""
        with self._reading() as connection:
            return list(RowSource(connection).notes())

    def at(self, seq: int) -> Entry | None:
        """Return the decision of a number, or None."""
        with self._reading() as connection:
            found = connection.execute(f"{READ_ENTRY} WHERE c.seq = ?", (seq,)).fetchone()
        return None if found is None or found[2] is None else self._entry(to_row(found))

    def verify_chain(self) -> ChainReport:
        """Check the whole store against its chain and heads, as of one moment."""
        with self._reading() as connection:
            with self._writing:
                connection.execute("BEGIN")
                self._newest(connection)
                heads = self._heads.heads(None if self._broken else self._heads.size)
            try:
                return verify_entries(RowSource(connection), heads)
            finally:
                connection.execute("ROLLBACK")

    def close(self) -> None:
        """Release the files."""
        with self._writing:
            while self._idle:
                self._idle.pop().close()
            with suppress(LedgerUnavailable):
                self._sync()
            self._checkpointer.close()
            self._connection.close()
            self._heads.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _is_noted(self, audit: ErasureAudit) -> bool:
        notes = RowSource(self._connection).notes()
        return any(note.audit is not None and note.audit.id == audit.id for note in notes)

    def _plan(self, records: Sequence[DecisionRecord]) -> list[Receipt | StoredEntry | StreamgaugeError]:
        """Say for each record whether it repeats an earlier one, is refused, or is to be written."""
        self._refuse_if_broken()
        before = self._head
        earlier = self._earlier(self._connection, [record.decision_id for record in records])
        new: dict[str, StoredEntry] = {}
        answers: list[Receipt | StoredEntry | StreamgaugeError] = []
        for record in records:
            try:
                pending = new.get(record.decision_id)
                first = self._repeat(
                    record, earlier.get(record.decision_id) if pending is None else self._entry(pending)
                )
                if first is not None:
                    answers.append(first)
                    continue
                entry = self._chain(before, self._head.seq, record, encode(record))
                new[record.decision_id] = entry
                before = Head(entry.seq, entry.entry_hash.hex())
                answers.append(entry)
            except (DecisionConflict, DecisionInvalid, LedgerBroken) as error:
                answers.append(error)
        return answers

    def _earlier(self, connection: sqlite3.Connection, decision_ids: Sequence[str]) -> dict[str, Entry]:
        asked = [decision_id for decision_id in decision_ids if _is_text(decision_id)]
        found: dict[str, Entry] = {}
        for start in range(0, len(asked), _PAGE):
            page = asked[start : start + _PAGE]
            some = ",".join("?" * len(page))
            for columns in connection.execute(f"{READ_ENTRY} WHERE c.decision_id IN ({some})", page):
                # By the column rather than by the record, which may be another's.
                found[columns[2]] = self._entry(to_row(columns))
        return found

    def _repeat(self, record: DecisionRecord, entry: Entry | None) -> Receipt | None:
        """Return what an earlier record under the same id was answered; None if there is none."""
        if not _is_text(record.decision_id):
            msg = "A decision_id is not valid Unicode text. Send another."
            raise DecisionInvalid(msg)
        if entry is None:
            return None
        if entry.status == "erased":
            msg = f'Decision "{record.decision_id}" was made before and erased. Use a new decision_id.'
            raise DecisionConflict(msg)
        first = entry.require()
        if first.request_digest != record.request_digest:
            msg = (
                f'Decision "{record.decision_id}" was made before for another request. Use a new decision_id, '
                "or send the first request again to get the first answer."
            )
            raise DecisionConflict(msg)
        return Receipt(seq=entry.seq, digest=entry.digest, chain_hash=entry.chain_hash, record=first, repeated=True)

    def _chain(self, before: Head, after: int, record: DecisionRecord | None, body: bytes) -> StoredEntry:
        """Make the entry that follows `before`."""
        salt = self._random_bytes(SALT_BYTES)
        digest = record_digest(salt, body)
        seq = before.seq + 1
        decision_id = None if record is None else record.decision_id
        return StoredEntry(
            seq=seq,
            after=after,
            decision_id=decision_id,
            record_digest=digest,
            entry_hash=entry_hash(bytes.fromhex(before.chain_hash), digest, seq, after, decision_id),
            salt=salt,
            body=body,
            entities={} if record is None else record.entities,
        )

    def _commit(
        self, records: Sequence[DecisionRecord], answers: list[Receipt | StoredEntry | StreamgaugeError]
    ) -> list[Receipt | StreamgaugeError]:
        """Write the planned entries in one transaction, then their head; give every entry its receipt."""
        entries = [answer for answer in answers if isinstance(answer, StoredEntry)]
        if entries:
            with self._transaction() as connection:
                self._insert(connection, entries)
            self._checkpointer.written(_PAGES_OF_A_COMMIT + _PAGES_OF_A_RECORD * len(entries))
            self._publish(Head(entries[-1].seq, entries[-1].entry_hash.hex()))
        return [
            _receipt(answer, record) if isinstance(answer, StoredEntry) else answer
            for record, answer in zip(records, answers, strict=True)
        ]

    def _insert(self, connection: sqlite3.Connection, entries: list[StoredEntry]) -> None:
        connection.executemany(
            "INSERT INTO chain VALUES (?, ?, ?, ?, ?)",
            [(entry.seq, entry.after, entry.decision_id, entry.record_digest, entry.entry_hash) for entry in entries],
        )
        bodies = [(entry.seq, entry.salt, entry.body) for entry in entries]
        connection.executemany("INSERT INTO bodies VALUES (?, ?, ?)", bodies)
        roles = [(entry.seq, role, entity) for entry in entries for role, entity in entry.entities.items()]
        connection.executemany("INSERT INTO entities VALUES (?, ?, ?)", roles)

    def _publish(self, head: Head) -> None:
        """Write the head of a commit that is durable already."""
        self._head = self._unwritten = head
        try:
            self._heads.append(head)
        except OSError as error:
            raise _unwritable(head, error) from error
        self._unwritten = None

    def _sync(self) -> None:
        """Make the newest head durable, which its commit is already."""
        try:
            self._heads.sync()
        except OSError as error:
            self._unwritten = self._head
            raise _unwritable(self._head, error) from error

    def _refuse_if_broken(self) -> None:
        if self._broken is not None:
            msg = (
                f"The ledger {self._path.name} does not continue its heads, so nothing more is written to it: "
                f"{self._broken}. Run its verification, and restore the store or its heads from a backup."
            )
            raise LedgerBroken(msg)
        if self._unwritten is not None:
            self._publish(self._unwritten)
        # No commit may follow one without a head: a crash would then leave two groups that no head covers.
        self._sync()

    def _refuse_if_changed(self) -> None:
        if self._newest(self._connection)[0] != self._head:
            msg = "The ledger was changed by another hand since it was opened. Open it again, and verify it."
            raise LedgerBroken(msg)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._refuse_if_changed()
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                msg = f"The ledger {self._path.name} could not be written ({error}). Free the disk, then send again."
                raise LedgerUnavailable(msg) from error
            raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = connect(self._path)
            connection.execute("PRAGMA query_only = ON")
        try:
            yield connection
        except sqlite3.DatabaseError as error:
            msg = f"{self._path.name} cannot be read ({error}). Run its verification, and restore it from a backup."
            raise LedgerBroken(msg) from error
        finally:
            self._idle.append(connection)

    def _newest(self, connection: sqlite3.Connection) -> tuple[Head, int]:
        """Return the newest entry's head, and the last number before its group."""
        query = "SELECT seq, entry_hash, group_after FROM chain ORDER BY seq DESC LIMIT 1"
        found = connection.execute(query).fetchone()
        return (EMPTY, 0) if found is None else (Head(found[0], found[1].hex()), found[2])

    def _check_heads(self) -> Break | None:
        """Compare the end of the chain with the last head; write the one head that a crash can have left out."""
        tail = self._heads.tail()
        known, newest = tail.head, self._head
        if known.seq > newest.seq:
            return Break(newest.seq + 1, known.seq, "truncated", f"the store ends at {newest.seq}")
        whole = known.seq == newest.seq
        if (not whole and known.seq != self._group_after) or tail.rest.count(b"\n") > (0 if whole else 1):
            return Break(known.seq + 1, max(newest.seq, known.seq + 1), "heads", "its end is missing or unreadable")
        rows = RowSource(self._connection).rows(max(known.seq, 1))
        if known.seq > 0 and next(rows).entry_hash.hex() != known.chain_hash:
            return Break(known.seq, known.seq, "edited", "its hash is not the head that was written outside the store")
        previous, seq = bytes.fromhex(known.chain_hash), known.seq
        for row in rows:
            seq += 1
            if row.seq != seq or not follows(row, previous, seq) or fault_of(row, self._erased):
                return Break(seq, newest.seq, "edited", "the last commit does not continue the last head")
            previous = row.entry_hash
        if not whole:
            self._publish(newest)
        return None

    def _entry(self, row: StoredEntry) -> Entry:
        """Answer a row as it is read: its record only if it is the one that was chained."""
        status: Literal["kept", "erased", "broken"] = "broken"
        record: DecisionRecord | None = None
        if row.body is None or row.salt is None:
            if row.seq in self._erased:
                status = "erased"
        elif record_digest(row.salt, row.body) == row.record_digest:
            record = decode(row.body, row.seq)
            if record.decision_id == row.decision_id:
                status = "kept"
            else:
                record = None
        return Entry(
            seq=row.seq,
            decision_id=row.decision_id or "",
            digest=row.record_digest.hex(),
            chain_hash=row.entry_hash.hex(),
            status=status,
            record=record,
        )


def _unwritable(head: Head, error: OSError) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"The head of entry {head.seq} could not be written ({error}). Free the disk, then send again."
    )


def _is_text(text: str) -> bool:
    """Say whether SQLite can hold the text: a lone surrogate, which JSON can spell, is none."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _receipt(entry: StoredEntry, record: DecisionRecord) -> Receipt:
    return Receipt(
        seq=entry.seq,
        digest=entry.record_digest.hex(),
        chain_hash=entry.entry_hash.hex(),
        record=msgspec.structs.replace(record, seq=entry.seq),
        repeated=False,
    )
