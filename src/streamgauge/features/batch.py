"""A batch of events of many entities: plain inserts are applied and evaluated in one call, whatever is not waits.

Python looks identities up and keeps ids; everything else happens beside the interpreter lock, on one thread for each
share of the entities. An event that needs more than that (a revision, a repeat, a tie that ids decide) is left to
`EntityState.apply`, with all that follows it of its entity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.features import evaluating as ev
from streamgauge.features.asking import Asked, Evaluated, Programs, Trigger
from streamgauge.features.layout import evaluate_conditions
from streamgauge.features.stream_state import shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from streamgauge.events.record import Record
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.layout import StreamLayout
    from streamgauge.features.state import EntityState
    from streamgauge.features.stream_state import StreamState

Ints = NDArray[np.int64]

_WORTH_A_THREAD: Final = 256
"""How many rows a second thread is started for."""

_ALONE: Final = 64
"""How many records of an entity are applied one by one before a batch is tried again, where none was plain."""

_NONE: Final = np.empty(0, np.int64)


def apply_all(
    records: Sequence[Record],
    begin: Callable[[], Batch],
    together: Callable[[Batch], None],
    alone: Callable[[int], None],
) -> None:
    """Apply records in order of position, as many as can be at a time.

    Args:
        records: The records.
        begin: Returns an empty batch.
        together: Runs a batch.
        alone: Applies the record of that number by itself.
    """
    numbers: Sequence[int] = range(len(records))
    while numbers:
        batch = begin()
        batch.take([records[number] for number in numbers], numbers)
        together(batch)
        quota = 1 if batch.done else _ALONE
        tried: dict[str, int] = {}
        rest = []
        for number in batch.waiting:
            entity = "" if batch.joint else records[number].entity
            tried[entity] = tried.get(entity, 0) + 1
            if tried[entity] <= quota:
                alone(number)
            else:
                rest.append(number)
        numbers = rest


class _Kind:
    """One stream of one role: what is kept of it, and what its events ask for."""

    __slots__ = ("asks", "index", "layout", "number", "role")

    def __init__(self, number: int, role: str, layout: StreamLayout, index: int, asks: Sequence[Trigger]) -> None:
        self.number = number
        self.role = role
        self.layout = layout
        self.index = index
        self.asks = asks


class _Lane:
    """One stream of one entity in a batch."""

    __slots__ = ("block", "entity", "entries", "folded_last", "fresh", "ids", "kind", "owner", "rows", "stream")

    def __init__(self, entity: str, owner: int, stream: StreamState, kind: _Kind, block: int) -> None:
        self.entity = entity
        self.owner = owner
        self.stream = stream
        self.kind = kind
        self.block = block
        self.fresh = stream.fresh
        self.entries = stream.entries
        self.ids = stream.ids
        self.folded_last = stream.folded_last
        self.rows = 0


class Batch:
    """The plain inserts among some records.

    Attributes:
        states: The states of the entities of the batch; all of them may have changed.
        waiting: The numbers of the records that were left, in order: whoever applies the first of them by itself may
            take the others into another batch.
        done: The numbers of the records that were applied.
        joint: Whether records are applied in order of position, whatever their entities.
    """

    def __init__(
        self,
        programs: Programs,
        book: SchemaBook,
        triggers: Callable[[str, str], Sequence[Trigger]],
        state_of: Callable[[str], EntityState | None],
        keys_of: Callable[[Record], Mapping[str, str]] | None = None,
    ) -> None:
        """Prepare an empty batch.

        Args:
            programs: What can be asked for.
            book: The forms that records were written under.
            triggers: What an event of a stream asks for at a role.
            state_of: The state of an entity, or None where its records have to wait; called once an entity.
            keys_of: The entities of a record's event by role, where a program may read several roles: then records are
                applied in order of position, whatever their entities.
        """
        self.states: list[EntityState] = []
        self.waiting: list[int] = []
        self.done: list[int] = []
        self.joint = keys_of is not None
        self._programs = programs
        self._book = book
        self._triggers = triggers
        self._state_of = state_of
        self._keys_of = keys_of
        self._entities: dict[str, int] = {}
        self._bases: list[int] = []
        self._positions: list[int] = []
        self._blocks = 0
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._lanes: dict[int, dict[str, _Lane | None]] = {}
        self._by_block: dict[int, _Lane] = {}
        self._records: list[Record] = []
        self._numbers: list[int] = []
        self._rows: list[_Lane] = []
        self._last: list[bool] = []
        self._asked = Asked(programs)

    def take(self, records: Sequence[Record], numbers: Sequence[int]) -> None:
        """Take the plain inserts among records, given in order of position with their numbers; the others wait."""
        left: set[str] = set()
        waiting, joint, form, lanes = self.waiting, self.joint, -1, dict[str, _Lane | None]()
        rows, taken, held, last = self._rows, self._records, self._numbers, self._last
        for number, record in zip(numbers, records, strict=True):
            entity, event_id, time = record.entity, record.event_id, record.event_time
            if record.schema != form:
                form = record.schema
                lanes = self._lanes.setdefault(form, {})
            lane = lanes.get(entity)
            if lane is None and entity not in lanes:
                lane = lanes[entity] = self._lane(record)
            if (
                lane is None
                or record.op
                or record.imported
                or time <= lane.folded_last
                or event_id in lane.fresh
                or event_id in lane.entries
                or entity in left
                or (joint and (waiting or not self._join(lane, number, record)))
            ):
                left.add(entity)
                waiting.append(number)
                continue
            stream = lane.stream
            if time > stream.newest:
                stream.newest, stream.newest_key = time, (record.sequence, event_id)
                last.append(True)
            elif time == stream.newest and (record.sequence, event_id) > stream.newest_key:
                stream.newest_key = (record.sequence, event_id)
                last.append(True)
            else:
                last.append(False)
            lane.fresh[event_id] = record.digest
            lane.rows += 1
            rows.append(lane)
            taken.append(record)
            held.append(number)

    def run(self, pool: Executor, workers: int) -> list[Evaluated]:
        """Apply what was taken, and return what each program made of it.

        Args:
            pool: Where other threads come from.
            workers: How many threads share the rows, this one included.
        """
        addresses = self._make_room()
        known = np.array([state.last_known_at for state in self.states], np.int64)
        happened = np.array([state.last_event_time for state in self.states], np.int64)
        rows, values = self._table()
        floors = np.maximum(known, happened)
        table, aggregates, flat = self._asked.tables()
        rows[:, ev.R_FIRST_EVALUATION : ev.R_EVALUATIONS + 1] = self._asked.ranges(len(rows))
        found = np.full((len(rows), ev.FOUND_WIDTH), ev.WAITS, np.int64)
        scratch = self._programs.scratch_size(int(ev.most_events(addresses)))
        joint = self.joint

        def share(order: Ints) -> None:
            own = np.empty(scratch, np.int64)
            ev.run_rows(order, rows, values, addresses, floors, table, self._programs.parts, own, flat, found, joint)

        first, *others = self._orders(rows[:, ev.R_ENTITY], workers)
        elsewhere = [pool.submit(share, order) for order in others]
        share(first)
        for one in elsewhere:
            one.result()
        self._settle(rows, found, known, happened)
        return self._asked.answers(table, aggregates, found, self._numbers)

    @property
    def positions(self) -> Mapping[int, dict[str, int]]:
        """The position of each role's state that a record's programs read, where they read several roles."""
        return self._asked.positions

    def touched(self) -> Iterator[tuple[str, int]]:
        """Yield the entities whose states took records, and how many."""
        return ((lane.entity, lane.rows) for lane in self._by_block.values() if lane.rows)

    def _lane(self, record: Record) -> _Lane | None:
        """Return where an entity's records of a form go; None where they have to wait."""
        entity, name = record.entity, record.stream
        owner = self._owner(entity)
        if owner < 0:
            return None
        state, lateness = self.states[owner], self._book.lateness_us(record)
        stream = state.streams.get(name) or state.begin(name, lateness)
        if stream.layout is None or stream.lateness_us != lateness or record.position <= state.last_position:
            return None
        kind = self._kind(entity[: entity.index(":")], name, state)
        block = self._bases[owner] + kind.index
        lane = self._by_block.get(block)
        if lane is None:
            lane = self._by_block[block] = _Lane(entity, owner, stream, kind, block)
        return lane

    def _owner(self, entity: str) -> int:
        """Return the number of an entity of the batch, -1 where its records have to wait."""
        owner = self._entities.get(entity)
        if owner is not None:
            return owner
        state = self._state_of(entity)
        if state is None:
            return -1
        owner = self._entities[entity] = len(self.states)
        self.states.append(state)
        self._bases.append(self._blocks)
        self._positions.append(state.last_position)
        self._blocks += len(state.addresses)
        return owner

    def _kind(self, role: str, stream: str, state: EntityState) -> _Kind:
        kind = self._kinds.get((role, stream))
        if kind is None:
            index = state.layout.index(stream)
            asks = self._triggers(stream, role)
            kind = _Kind(len(self._kinds), role, state.layout.streams[index], index, asks)
            self._kinds[role, stream] = kind
        return kind

    def _join(self, lane: _Lane, number: int, record: Record) -> bool:
        """Note what an event asks for over several roles; False where it has to wait for one of their states."""
        kind, row = lane.kind, len(self._rows)
        if self._keys_of is not None and kind.asks:
            keys = self._keys_of(record)
            roles = {role for trigger in kind.asks for role, _ in self._programs.starts[trigger.program]} - {""}
            owners = {role: self._owner(keys[role]) for role in roles if role in keys}
            moment = max(record.known_at, record.event_time)
            # A clock that leapt and came back may have folded, at another entity, what this moment needs.
            if len(owners) < len(roles) or any(
                owner < 0 or self.states[owner].answers_from > moment for owner in owners.values()
            ):
                return False
            for trigger in kind.asks:
                for role, start in self._programs.starts[trigger.program]:
                    how = int(trigger.observed) if role == kind.role else 2 * int(trigger.observed)
                    self._asked.add(row, trigger.program, start, self._bases[owners.get(role, lane.owner)], how)
            read = {role: self._positions[owner] for role, owner in sorted(owners.items()) if role != kind.role}
            if read:
                self._asked.positions[number] = {kind.role: record.position} | read
        self._positions[lane.owner] = record.position
        return True

    def _make_room(self) -> Ints:
        """Make room for what was taken, and return the addresses of all blocks."""
        addresses = np.concatenate([_NONE, *[state.addresses for state in self.states]])
        needed = np.zeros(len(addresses), np.int64)
        needed[list(self._by_block)] = [lane.rows for lane in self._by_block.values()]
        for block in np.flatnonzero(needed > ev.spare(addresses)).tolist():
            lane = self._by_block[block]
            lane.stream.reserve(lane.rows)
            self.states[lane.owner].keep(lane.kind.layout.stream.name, lane.stream)
            addresses[block] = lane.stream.address
        return addresses

    def _table(self) -> tuple[Ints, Ints]:
        """Return the rows int64[n, ROW_WIDTH] and the values of their masks and columns."""
        lanes, records = self._rows, self._records
        rows = np.zeros((len(lanes), ev.ROW_WIDTH), np.int64)
        rows[:, ev.R_ENTITY] = [lane.owner for lane in lanes]
        rows[:, ev.R_BLOCK] = [lane.block for lane in lanes]
        rows[:, ev.R_TIME] = [record.event_time for record in records]
        rows[:, ev.R_SEQUENCE] = [record.sequence for record in records]
        rows[:, ev.R_KNOWN] = [record.known_at for record in records]
        rows[:, ev.R_LAST] = self._last
        values: list[Ints] = [_NONE]
        size = 0
        kinds = np.array([lane.kind.number for lane in lanes], np.int64)
        for kind in self._kinds.values():
            own = np.flatnonzero(kinds == kind.number)
            if len(own):
                flat = self._values(kind, own)
                rows[own, ev.R_STREAM] = kind.index
                rows[own, ev.R_WORDS : ev.R_FOLDS + 1] = shape_of(kind.layout)
                rows[own, ev.R_VALUES] = size + np.arange(len(own)) * flat.shape[1]
                values.append(flat.ravel())
                size += flat.size
                if kind.asks and not self.joint:
                    self._asked.add_all(own, kind.asks, np.array(self._bases, np.int64)[rows[own, ev.R_ENTITY]])
        return rows, np.concatenate(values)

    def _values(self, kind: _Kind, rows: Ints) -> Ints:
        """Return the words of the masks and the columns of some rows, int64[m, words + columns]."""
        records = self._records
        some = records if len(rows) == len(records) else [records[row] for row in rows.tolist()]
        units = self._book.matrix(
            [record.units for record in some], [record.schema for record in some], kind.layout.stream
        )
        mask = evaluate_conditions(kind.layout, units).view(np.int64)
        return np.concatenate((mask, units.take(kind.layout.column_fields, axis=1)), axis=1)

    def _orders(self, owners: Ints, workers: int) -> list[Ints]:
        """Return the rows in order, entity by entity, in shares that have no entity in common."""
        if self.joint:
            return [np.arange(len(owners))]
        order = np.argsort(owners, kind="stable")
        if workers == 1 or len(order) < _WORTH_A_THREAD:
            return [order]
        wanted = np.arange(1, workers) * len(order) // workers
        by_owner = owners[order]
        cuts = np.searchsorted(by_owner, by_owner[wanted])
        return [share for share in np.split(order, np.unique(cuts)) if len(share)]

    def _settle(self, rows: Ints, found: Ints, known: Ints, happened: Ints) -> None:
        """Note what was inserted, and give back what was not."""
        for record, lane, at, number in zip(
            self._records, self._rows, found[:, ev.F_AT].tolist(), self._numbers, strict=True
        ):
            if at < 0:
                lane.fresh.pop(record.event_id, None)
                self.waiting.append(number)
                lane.rows -= 1
                continue
            ids = lane.ids
            behind = at - lane.stream.hidden
            if behind >= len(ids):
                ids.append(record.event_id)
            else:
                ids.insert(behind, record.event_id)
        applied = np.flatnonzero(found[:, ev.F_AT] >= 0)
        self.done = np.array(self._numbers, np.int64)[applied].tolist()
        self.waiting.sort()
        self._advance(applied, rows[applied], known, happened)
        self._tend(rows[applied], found[applied], known)

    def _advance(self, applied: Ints, rows: Ints, known: Ints, happened: Ints) -> None:
        """Move every state, and its moments, to its newest record."""
        owners = rows[:, ev.R_ENTITY]
        np.maximum.at(known, owners, rows[:, ev.R_KNOWN])
        np.maximum.at(happened, owners, rows[:, ev.R_TIME])
        newest = np.full(len(self.states), -1, np.int64)
        np.maximum.at(newest, owners, applied)
        for state, number, known_at, event_time in zip(
            self.states, newest.tolist(), known.tolist(), happened.tolist(), strict=True
        ):
            if number >= 0:
                state.last_position = self._records[number].position
                state.last_known_at = known_at
                state.last_event_time = event_time

    def _tend(self, rows: Ints, found: Ints, known: Ints) -> None:
        """Fold and forget where events have grown too old for every window, or ids have become many."""
        reach = np.zeros(self._blocks, np.int64)
        reach[list(self._by_block)] = [
            lane.stream.lateness_us + lane.kind.layout.horizon_us for lane in self._by_block.values()
        ]
        edges = known[rows[:, ev.R_ENTITY]] - reach[rows[:, ev.R_BLOCK]]
        aged = set(rows[found[:, ev.F_OLDEST] < edges, ev.R_BLOCK].tolist())
        for lane in self._by_block.values():
            if lane.rows and (lane.block in aged or len(lane.fresh) >= lane.stream.sweep_at):
                self.states[lane.owner].tend(lane.kind.layout.stream.name)
