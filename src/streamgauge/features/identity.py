"""Identity: which record is an event's first, which a correction, and which may not enter.

The decision is taken for each entity in order of position over its records, everywhere by `remembered` and `judge`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from streamgauge.events.record import Record

Verdict: TypeAlias = Literal["applied", "duplicate", "conflict", "identity_changed"]
"""What becomes of a record; only ``applied`` ones are visible to a cut."""


class Entry(msgspec.Struct, array_like=True, gc=False):
    """What is remembered of one event.

    Attributes:
        event_time: Its event time, µs; every revision has it.
        revision: The highest revision seen.
        digest: The digest of that revision.
        sequence: The sequence of that revision.
        live: Whether that revision is no delete.
        older: The digests of the other revisions, or None.
    """

    event_time: int
    revision: int
    digest: bytes
    sequence: int = 0
    live: bool = True
    older: dict[int, bytes] | None = None

    def digest_of(self, revision: int) -> bytes | None:
        """Return the digest of a revision seen, or None."""
        if revision == self.revision:
            return self.digest
        return self.older.get(revision) if self.older is not None else None


def remembered(entry: Entry | None, record: Record, lateness_us: int) -> Entry | None:
    """Return the entry that a record finds under its id, None where it begins a new event.

    A live record finds no entry older than its lateness: it could not correct it, for the log would have refused that.
    An imported record always finds the newest entry.
    """
    if entry is None or (not record.imported and record.known_at > entry.event_time + lateness_us):
        return None
    return entry


def judge(entry: Entry | None, record: Record) -> Verdict:
    """Return the verdict on a record, given what `remembered` found.

    >>> from streamgauge.testing.records import record
    >>> judge(None, record("a", at=5))
    'applied'
    >>> judge(Entry(event_time=4, revision=0, digest=b""), record("a", at=5))
    'identity_changed'
    """
    if entry is None:
        return "applied"
    if entry.event_time != record.event_time:
        return "identity_changed"
    digest = entry.digest_of(record.revision)
    if digest is None:
        return "applied"
    return "duplicate" if digest == record.digest else "conflict"


def begin(record: Record, *, live: bool) -> Entry:
    """Return the entry that a new event's first record begins."""
    return Entry(record.event_time, record.revision, record.digest, record.sequence, live)


def revise(entry: Entry, record: Record, *, live: bool) -> bool:
    """Note an applied revision in its entry; return whether it is now the live revision."""
    older = entry.older if entry.older is not None else {}
    entry.older = older
    if record.revision < entry.revision:
        older[record.revision] = record.digest
        return False
    older[entry.revision] = entry.digest
    entry.revision, entry.digest = record.revision, record.digest
    entry.sequence, entry.live = record.sequence, live
    return True
