"""The owner's decoded states, and the checkpoints that write them to the store.

States change in memory, batch by batch, and are written when they have been dirty for too long: the longest first, a
few at a time, so that no batch waits for it. What a process that dies had not written is in the log; after a start, the
states of those entities are read as the stored ones with the log's later records on top, until they are written.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from streamgauge.app.fresh import FreshStates
from streamgauge.app.left_behind import LeftBehind
from streamgauge.features.build import fill_state
from streamgauge.features.state import EntityState
from streamgauge.features.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from streamgauge.app.settings import EngineSettings
    from streamgauge.events.record import Record
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.identity import Verdict
    from streamgauge.features.layout import Layouts
    from streamgauge.features.store import StateStore
    from streamgauge.log.port import Log

_LOOK_AT_CLOCK: Final = 16
_UNSAVED: Final = 512
_READ_AT_ONCE: Final = 256
"""How many states that a start after a crash found behind are read at a time; between two batches of live events."""
_AT_ONCE: Final = 4_096


@dataclass(frozen=True, slots=True)
class Limits:
    """How far the stored states may be behind, and how much memory the decoded ones take.

    Attributes:
        records: How many records the stored states may lack: what a start after a crash reads again.
        seconds: How long a state may be dirty.
        slice_seconds: How long one part of a checkpoint may take.
        cached_bytes: About how many bytes the decoded states take.
    """

    records: int = 200_000
    seconds: float = 5.0
    slice_seconds: float = 0.02
    cached_bytes: int = 1 << 30

    @classmethod
    def of(cls, settings: EngineSettings) -> Limits:
        """Return what the settings say."""
        return cls(settings.checkpoint_records, settings.checkpoint_seconds, cached_bytes=settings.cached_bytes)


class States:
    """The states of the entities that are at work. One thread at a time may call it.

    Attributes:
        store: Where they are written.
        applied: The position up to which every record is in them.
        rejected: Contradictions that were met when states were built from the log; whoever quarantines them clears it.
    """

    def __init__(self, log: Log, store: StateStore, layouts: Layouts, book: SchemaBook, limits: Limits) -> None:
        """Begin with what the store holds, and with the names of those whose stored states lack records.

        Raises:
            StateDamaged: The store's positions cannot be read.
        """
        self.store = store
        self.applied = store.applied()
        self.rejected: list[tuple[Record, Verdict]] = []
        self._log = log
        self._layouts = layouts
        self._book = book
        self._limits = limits
        self._fresh = FreshStates(log, store, layouts, book)
        self._cached: OrderedDict[str, EntityState] = OrderedDict()
        self._bytes: dict[str, int] = {}
        self._size = 0
        self._marks: deque[tuple[float, int]] = deque()
        self._due = 0
        self._wrote = False
        self._hot: set[str] = set()
        watermark = store.watermark()
        self._dirty: dict[str, int] = {}
        self._unsaved: dict[str, int] = {}
        self._left: LeftBehind | None = None
        if watermark < self.applied:
            self._dirty = dict.fromkeys(sorted(log.entities_after(watermark)), watermark + 1)
            self._left = LeftBehind(log, book, watermark, self.applied)
            self._marks.append((time.monotonic(), self.applied))

    @property
    def dirty(self) -> int:
        """How many entities' stored states lack records."""
        return len(self._dirty)

    @property
    def behind(self) -> frozenset[str]:
        """The entities whose stored states lack records."""
        return frozenset(self._dirty)

    def get(self, entity: str) -> EntityState:
        """Return the state of an entity, knowing every record up to `applied`; it is changed in place."""
        state = self._cached.get(entity)
        if state is not None:
            self._cached.move_to_end(entity)
            return state
        return self._keep(entity, self._load(entity))

    def fetch(self, entities: Iterable[str]) -> None:
        """Read those stored states of some entities at once that are not decoded yet, for `get` to return them."""
        missing = [entity for entity in entities if entity not in self._cached]
        for start in range(0, len(missing), _AT_ONCE):
            some = missing[start : start + _AT_ONCE]
            for entity, state in self._loaded(some):
                self._keep(entity, state)

    def rebuild(self, entity: str, up_to: int) -> EntityState:
        """Build a state from the log, to which a later record is to be applied."""
        return self._keep(entity, self._from_log(entity, up_to))

    def touch(self, touched: Iterable[tuple[str, int]], position: int) -> None:
        """Note that a batch, which begins at a position, changed states: each by how many records."""
        dirty, unsaved = self._dirty, self._unsaved
        for entity, records in touched:
            if entity in dirty:
                records += unsaved.get(entity, 0)  # noqa: PLW2901 - those before, too
            else:
                dirty[entity] = position
            unsaved[entity] = records
            if records >= _UNSAVED:
                self._hot.add(entity)

    def drop(self, entity: str, position: int) -> None:
        """Forget a state, for a record of a batch that begins at a position changed what was known in the past."""
        self._dirty.setdefault(entity, position)
        if self._left is not None:
            self._left.change(entity)
        if self._cached.pop(entity, None) is not None:
            self._size -= self._bytes.pop(entity, 0)

    def stored(self, entities: Iterable[str]) -> None:
        """Note that states knowing every record up to `applied` were stored by another hand."""
        for entity in entities:
            self._dirty.pop(entity, None)
            self._unsaved.pop(entity, None)
            self._hot.discard(entity)
            if self._cached.pop(entity, None) is not None:
                self._size -= self._bytes.pop(entity, 0)

    def advance(self, position: int) -> None:
        """Note that every record up to a position was applied, and its scores stored."""
        self.applied = position
        if self._dirty:
            self._marks.append((time.monotonic(), position))

    def summarize(self) -> None:
        """Make the summaries of the decoded states that were put off."""
        for state in self._cached.values():
            for stream in state.streams.values():
                stream.summarize()

    def watermark(self) -> int:
        """Return the position up to which the stored states lack nothing."""
        first = next(iter(self._dirty.values()), None)
        return self.applied if first is None else first - 1

    def note(self) -> None:
        """Store the watermark where nothing else moves it: after states were stored by another hand.

        Without it the next start would take every entity since then for one whose stored state lacks records.

        Raises:
            OSError: The disk refused.
            StateDamaged: The store is damaged.
        """
        position = self.watermark()
        if position > self.store.watermark():
            self.store.put_batch({}, watermark=position)

    def checkpoint(self, *, pending: Iterable[str] = (), everything: bool = False) -> int:
        """Write some of the states that are due, for no longer than a slice; return how many.

        Args:
            pending: Entities whose states lack imported history: they are passed over.
            everything: Whether all dirty states are due.

        Raises:
            OSError: The disk refused; nothing was written.
            StateDamaged: The store is damaged.
        """
        # The first states are written at once: only a store that was written to is trusted after a crash.
        due = self.applied if everything or not self._wrote else max(self.applied - self._limits.records, self._aged())
        held = pending if isinstance(pending, (set, frozenset)) else frozenset(pending)
        end = time.monotonic() + self._limits.slice_seconds
        states: dict[str, bytes] = {}
        missing: list[str] = []
        # While history comes in, there are no others but those that are passed over, and very many of them.
        for entity, first in self._dirty.items() if len(self._dirty) > len(held) else ():
            if first > due or len(missing) == (_AT_ONCE if everything else _READ_AT_ONCE):
                break
            if entity in held:
                continue
            if entity not in self._cached:
                missing.append(entity)
                continue
            self._add(states, entity)
            if len(states) % _LOOK_AT_CLOCK == 0 and (time.monotonic() > end or len(states) >= _AT_ONCE):
                break
        states |= {entity: state.encode() for entity, state in self._loaded(missing)}
        for entity in self._hot:
            if entity not in states and entity not in held and self._grown(entity, self._unsaved.get(entity, 0)):
                self._add(states, entity)
        if states:
            self._write(states)
        self._trim(held)
        return len(states)

    def _add(self, states: dict[str, bytes], entity: str) -> None:
        state = self._cached.get(entity)
        states[entity] = (self._load(entity) if state is None else state).encode()

    def _write(self, states: dict[str, bytes]) -> None:
        remaining = next((first for entity, first in self._dirty.items() if entity not in states), None)
        self.store.put_batch(states, watermark=self.applied if remaining is None else remaining - 1)
        self._wrote = True
        if self._left is not None and self.store.watermark() >= self._left.through:
            self._left = None
        for entity in states:
            self._dirty.pop(entity, None)
            self._unsaved.pop(entity, None)
            self._hot.discard(entity)
            state = self._cached.get(entity)
            if state is not None:
                self._charge(entity, state)

    def _trim(self, pending: frozenset[str] | set[str]) -> None:
        """Keep the memory of the decoded states within its limit; those unused for longest go first."""
        if self._size <= self._limits.cached_bytes:
            return
        going: list[str] = []
        size = self._size
        for entity in self._cached:
            size -= self._bytes.get(entity, 0)
            going.append(entity)
            if size <= self._limits.cached_bytes or len(going) >= _AT_ONCE:
                break
        states: dict[str, bytes] = {}
        for entity in going:
            if entity in self._dirty and entity not in pending:
                self._add(states, entity)
        if states:
            self._write(states)
        for entity in going:
            self._cached.pop(entity)
            self._size -= self._bytes.pop(entity, 0)

    def _aged(self) -> int:
        """Return the position that was applied so long ago that what is dirty since then is due."""
        oldest = time.monotonic() - self._limits.seconds
        while self._marks and self._marks[0][0] <= oldest:
            self._due = self._marks.popleft()[1]
        return self._due

    def _grown(self, entity: str, records: int) -> bool:
        """Return whether a state has so many unwritten records that reading them costs more than writing it."""
        state = self._cached.get(entity)
        return state is not None and 4 * records >= sum(stream.count for stream in state.streams.values())

    def _load(self, entity: str) -> EntityState:
        [(_, state)] = self._loaded([entity])
        return state

    def _loaded(self, entities: Sequence[str]) -> Iterator[tuple[str, EntityState]]:
        """Yield states that are not decoded, in order, each knowing every record up to `applied`."""
        lacking = [entity for entity in entities if entity in self._dirty]
        later = self._later(lacking) if lacking else {}
        for entity, stored in zip(entities, self._fresh.stored_many(entities), strict=True):
            state = stored
            if state is not None and entity in self._dirty:
                newest = state.last_position
                state = self._fresh.replayed(state, [one for one in later.get(entity, ()) if one.position > newest])
            # A state that is not stored is one nobody needed yet, or of an entity without records: the log tells.
            yield entity, self._from_log(entity, self.applied) if state is None else state

    def _later(self, entities: Sequence[str]) -> dict[str, list[Record]]:
        """Return the records that the stored states of some dirty entities may lack."""
        left = self._left
        if left is not None and left.few:
            first = left.after + 1
            if all(self._dirty[entity] == first and left.knows(entity) for entity in entities):
                return left.records(entities)
        later: dict[str, list[Record]] = {}
        for batch in self._log.read_columns(
            entities, self.applied, min(self._dirty[entity] for entity in entities) - 1
        ):
            names = {number: self._book.spec(number).name for number in np.unique(batch.schema).tolist()}
            later.update(batch.groups(names))
        return later

    def _from_log(self, entity: str, up_to: int) -> EntityState:
        records = self._log.read_entity(entity, up_to)
        layout = self._layouts.of_entity(entity)
        timeline = Timeline.of(layout, [(entity, records)], self._book)
        self.rejected += [(records[index], verdict) for (_, index), verdict in timeline.rejected.items()]
        return fill_state(EntityState(layout), timeline, 0, self._book)

    def _keep(self, entity: str, state: EntityState) -> EntityState:
        self._cached[entity] = state
        self._charge(entity, state)
        return state

    def _charge(self, entity: str, state: EntityState) -> None:
        size = state.nbytes
        self._size += size - self._bytes.get(entity, 0)
        self._bytes[entity] = size
