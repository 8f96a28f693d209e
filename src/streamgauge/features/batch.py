"""A batch of events of many entities: plain inserts are applied and evaluated in one call, whatever is not waits.

Python looks identities up and keeps ids; everything else happens beside the interpreter lock, on one thread for each
share of the entities. An event that needs more than that (a revision, a repeat, a tie that ids decide) is left to
`EntityState.apply`, with all that follows it of its entity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.events.record import INSERT
from streamgauge.features import evaluating as ev
from streamgauge.features.compute import finish_rows
from streamgauge.features.layout import evaluate_conditions
from streamgauge.features.stream_state import shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor

    from streamgauge.events.record import Record
    from streamgauge.features.bind import BoundProgram
    from streamgauge.features.decode import SchemaBook
    from streamgauge.features.layout import StreamLayout
    from streamgauge.features.state import EntityState
    from streamgauge.features.stream_state import StreamState

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_WORTH_A_THREAD: Final = 256
"""How many rows a second thread is started for."""

_ALONE: Final = 64
"""How many records of an entity are applied one by one before a batch is tried again, where none was plain."""

_NONE: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A program that an event makes evaluate.

    Attributes:
        program: Its number among the programs.
        observed: Whether the event itself is observed, else its entity is.
    """

    program: int
    observed: bool


class Programs:
    """The programs that batches evaluate.

    Attributes:
        bound: The programs.
        parts: int64[p], all their parts' tables.
        starts: Of each program, its parts as (role, where its tables begin).
    """

    def __init__(self, bound: Sequence[BoundProgram]) -> None:
        """Join the programs' tables."""
        self.bound = tuple(bound)
        self.starts: list[list[tuple[str, int]]] = []
        tables: list[Ints] = [np.zeros(1, np.int64)]
        at = 1
        for program in bound:
            self.starts.append([])
            for part in program.parts:
                self.starts[-1].append((part.role, at))
                tables.append(part.packed)
                at += len(part.packed)
            if not program.parts:
                self.starts[-1].append(("", 0))
        self.parts = np.concatenate(tables)

    def scratch_size(self, events: int) -> int:
        """Return the scratch length that serves every program."""
        return max((program.scratch_size(events) for program in self.bound), default=1)


@dataclass(slots=True)
class Evaluated:
    """One program's features of a batch.

    Attributes:
        rows: int64[m], the records' numbers in the batch, ascending.
        as_of: int64[m], the moments, µs.
        features: float64[m, features].
    """

    rows: Ints
    as_of: Ints
    features: Floats


class _Kind:
    """One stream of one role, and the rows of the batch that are of it."""

    __slots__ = ("asks", "index", "layout", "role", "rows")

    def __init__(self, role: str, layout: StreamLayout, index: int, asks: Sequence[Trigger]) -> None:
        self.role = role
        self.layout = layout
        self.index = index
        self.asks = asks
        self.rows: list[int] = []


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
        self._programs = programs
        self._book = book
        self._triggers = triggers
        self._state_of = state_of
        self._keys_of = keys_of
        self.joint = keys_of is not None
        self._entities: dict[str, int] = {}
        self._bases: list[int] = []
        self._positions: list[int] = []
        self._blocks = 0
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._left: set[str] = set()
        self._rows = _Rows()
        self._asked = _Asked(programs)

    def take(self, records: Sequence[Record], numbers: Sequence[int]) -> None:
        """Take the plain inserts among records, given in order of position with their numbers; the others wait."""
        left, waiting, joint = self._left, self.waiting, self.joint
        for number, record in zip(numbers, records, strict=True):
            entity = record.entity
            if entity in left or (joint and waiting) or not self._take(number, record, entity):
                left.add(entity)
                waiting.append(number)

    def run(self, pool: Executor, workers: int) -> list[Evaluated]:
        """Apply what was taken, and return what each program made of it.

        Args:
            pool: Where other threads come from.
            workers: How many threads share the rows, this one included.
        """
        rows, values = self._table()
        addresses = np.concatenate([_NONE, *(state.addresses for state in self.states)])
        floors = np.array([state.clock_floor for state in self.states], np.int64)
        table, aggregates, flat = self._asked.tables()
        found = np.full((len(rows), ev.FOUND_WIDTH), ev.WAITS, np.int64)
        scratch = self._programs.scratch_size(max((len(stream.time) for stream in self._rows.streams), default=0))

        joint = self.joint

        def share(order: Ints) -> None:
            own = np.empty(scratch, np.int64)
            ev.run_rows(order, rows, values, addresses, floors, table, self._programs.parts, own, flat, found, joint)

        first, *others = self._orders(workers)
        elsewhere = [pool.submit(share, order) for order in others]
        share(first)
        for one in elsewhere:
            one.result()
        self._settle(found)
        return self._asked.answers(table, aggregates, found, self._rows.numbers)

    def positions(self, number: int) -> Mapping[str, int] | None:
        """Return the last position of each other role's state that a record's programs read, None for one role."""
        return self._asked.positions.get(number)

    def _take(self, number: int, record: Record, entity: str) -> bool:
        owner = self._owner(entity)
        if owner < 0:
            return False
        state = self.states[owner]
        lateness = self._book.lateness_us(record)
        stream = state.streams.get(record.stream) or state.begin(record.stream, lateness)
        if (
            stream.layout is None
            or record.op != INSERT
            or record.imported
            or record.event_time <= stream.folded_last
            or record.event_id in stream.fresh
            or record.event_id in stream.entries
            or record.position <= state.last_position
            or stream.lateness_us != lateness
        ):
            return False
        kind = self._kind(entity, record.stream, state)
        if kind.asks and not self._ask(kind, owner, number, record):
            return False
        self._positions[owner] = record.position
        kind.rows.append(len(self._rows.records))
        self._rows.add(number, record, owner, stream, self._bases[owner] + kind.index)
        return True

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

    def _kind(self, entity: str, stream: str, state: EntityState) -> _Kind:
        role = entity[: entity.index(":")]
        kind = self._kinds.get((role, stream))
        if kind is None:
            index = state.layout.index(stream)
            kind = self._kinds[role, stream] = _Kind(
                role, state.layout.streams[index], index, self._triggers(stream, role)
            )
        return kind

    def _ask(self, kind: _Kind, owner: int, number: int, record: Record) -> bool:
        """Note what an event asks for; False where it has to wait for the state of another role."""
        row = len(self._rows.records)
        if self._keys_of is None:
            for trigger in kind.asks:
                [(_, start)] = self._programs.starts[trigger.program]
                self._asked.add(row, trigger.program, start, self._bases[owner], int(trigger.observed))
            return True
        keys = self._keys_of(record)
        roles = {role for trigger in kind.asks for role, _ in self._programs.starts[trigger.program]} - {""}
        owners = {role: self._owner(keys[role]) for role in roles}
        if any(owners[role] < 0 for role in roles):
            return False
        for trigger in kind.asks:
            for role, start in self._programs.starts[trigger.program]:
                own = role == kind.role
                how = int(trigger.observed) if own else 2 * int(trigger.observed)
                self._asked.add(row, trigger.program, start, self._bases[owners.get(role, owner)], how)
        self._asked.positions[number] = {
            role: record.position if role == kind.role else self._positions[owners[role]] for role in sorted(roles)
        }
        return True

    def _table(self) -> tuple[Ints, Ints]:
        """Return the rows int64[n, ROW_WIDTH], and the values of their masks and columns; make room for them."""
        held = self._rows
        for at, stream in held.reserve():
            self.states[at].keep(stream.layout.stream.name if stream.layout is not None else "", stream)
        rows = held.table()
        rows[:, ev.R_FIRST_EVALUATION : ev.R_EVALUATIONS + 1] = self._asked.ranges(len(rows))
        values: list[Ints] = [_NONE]
        size = 0
        for kind in self._kinds.values():
            own = np.array(kind.rows, np.int64)
            records = [held.records[row] for row in kind.rows]
            units = self._book.matrix(
                [record.units for record in records], [record.schema for record in records], kind.layout.stream
            )
            mask = evaluate_conditions(kind.layout, units).view(np.int64)
            flat = np.concatenate((mask, units.take(kind.layout.column_fields, axis=1)), axis=1)
            rows[own, ev.R_STREAM] = kind.index
            rows[own, ev.R_WORDS : ev.R_FOLDS + 1] = shape_of(kind.layout)
            rows[own, ev.R_VALUES] = size + np.arange(len(own)) * flat.shape[1]
            values.append(flat.ravel())
            size += flat.size
        return rows, np.concatenate(values)

    def _orders(self, workers: int) -> list[Ints]:
        """Return the rows in order, entity by entity, in shares that have no entity in common."""
        owners = np.array(self._rows.owners, np.int64)
        if self.joint:
            return [np.arange(len(owners))]
        order = np.argsort(owners, kind="stable")
        if workers == 1 or len(order) < _WORTH_A_THREAD:
            return [order]
        wanted = np.arange(1, workers) * len(order) // workers
        cuts = np.searchsorted(owners[order], owners[order][wanted])
        return [share for share in np.split(order, np.unique(cuts)) if len(share)]

    def _settle(self, found: Ints) -> None:
        """Note what was inserted, and give back what was not."""
        held = self._rows
        newest: dict[int, Record] = {}
        for record, owner, stream, at, number in zip(
            held.records, held.owners, held.streams, found[:, ev.F_AT].tolist(), held.numbers, strict=True
        ):
            if at < 0:
                stream.fresh.pop(record.event_id, None)
                self.waiting.append(number)
                continue
            self.done.append(number)
            newest[owner] = record
            behind = at - stream.hidden
            if behind >= len(stream.ids):
                stream.ids.append(record.event_id)
            else:
                stream.ids.insert(behind, record.event_id)
        self.waiting.sort()
        self._advance(newest, found)

    def _advance(self, newest: Mapping[int, Record], found: Ints) -> None:
        """Move every state to its newest record, then fold and forget what has grown too old."""
        held = self._rows
        applied = np.flatnonzero(found[:, ev.F_AT] >= 0)
        owners = np.array(held.owners, np.int64)[applied]
        known, happened = (
            np.full(len(self.states), NULL, np.int64),
            np.full(len(self.states), NULL, np.int64),
        )
        np.maximum.at(known, owners, held.known()[applied])
        np.maximum.at(happened, owners, held.times()[applied])
        for owner, record in newest.items():
            state = self.states[owner]
            state.last_position = record.position
            state.last_known_at = max(state.last_known_at, int(known[owner]))
            state.last_event_time = max(state.last_event_time, int(happened[owner]))
        for kind in self._kinds.values():
            rows = np.array(kind.rows, np.int64)
            rows = rows[found[rows, ev.F_AT] >= 0]
            reach = kind.layout.horizon_us
            for row in rows.tolist():
                stream, state = held.streams[row], self.states[held.owners[row]]
                if (
                    found[row, ev.F_OLDEST] < state.last_known_at - reach - stream.lateness_us
                    or len(stream.fresh) >= stream.sweep_at
                ):
                    state.tend(kind.layout.stream.name)


class _Rows:
    """The records taken, and where they go."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.numbers: list[int] = []
        self.owners: list[int] = []
        self.streams: list[StreamState] = []
        self._blocks: list[int] = []
        self._last: list[bool] = []

    def add(self, number: int, record: Record, owner: int, stream: StreamState, block: int) -> None:
        """Add a record of an entity, for a stream whose block has that place among the addresses."""
        time = record.event_time
        if time > stream.newest:
            stream.newest, stream.newest_key = time, (record.sequence, record.event_id)
            self._last.append(True)
        elif time == stream.newest and (key := (record.sequence, record.event_id)) > stream.newest_key:
            stream.newest_key = key
            self._last.append(True)
        else:
            self._last.append(False)
        stream.fresh[record.event_id] = record.digest
        self.records.append(record)
        self.numbers.append(number)
        self.owners.append(owner)
        self.streams.append(stream)
        self._blocks.append(block)

    def reserve(self) -> list[tuple[int, StreamState]]:
        """Make room in every block; return the streams whose blocks moved, with the numbers of their entities."""
        coming: dict[int, int] = {}
        for block in self._blocks:
            coming[block] = coming.get(block, 0) + 1
        at = dict(zip(self._blocks, zip(self.owners, self.streams, strict=True), strict=True))
        return [at[block] for block, more in coming.items() if at[block][1].reserve(more)]

    def times(self) -> Ints:
        """Return the event times, int64[n]."""
        return np.array([record.event_time for record in self.records], np.int64)

    def known(self) -> Ints:
        """Return the moments when the records became known, int64[n]."""
        return np.array([record.known_at for record in self.records], np.int64)

    def table(self) -> Ints:
        """Return the rows int64[n, ROW_WIDTH] as far as the records alone tell."""
        rows = np.zeros((len(self.records), ev.ROW_WIDTH), np.int64)
        rows[:, ev.R_ENTITY] = self.owners
        rows[:, ev.R_BLOCK] = self._blocks
        rows[:, ev.R_TIME] = self.times()
        rows[:, ev.R_SEQUENCE] = [record.sequence for record in self.records]
        rows[:, ev.R_KNOWN] = self.known()
        rows[:, ev.R_LAST] = self._last
        return rows


class _Asked:
    """The evaluations that the records taken ask for."""

    def __init__(self, programs: Programs) -> None:
        self.positions: dict[int, Mapping[str, int]] = {}
        self._programs = programs
        self._rows: list[int] = []
        self._of: list[int] = []
        self._numbers: list[int] = []
        self._starts: list[int] = []
        self._bases: list[int] = []
        self._how: list[int] = []
        self._asking: list[list[int]] = [[] for _ in programs.bound]

    def add(self, row: int, program: int, start: int, base: int, how: int) -> None:
        """Ask for a part of a program, whose tables begin at ``start``, over the blocks from ``base`` on."""
        asking = self._asking[program]
        if not asking or asking[-1] != row:
            asking.append(row)
        self._rows.append(row)
        self._of.append(program)
        self._numbers.append(len(asking) - 1)
        self._starts.append(start)
        self._bases.append(base)
        self._how.append(how)

    def ranges(self, rows: int) -> Ints:
        """Return the first evaluation of each row, and how many it has: int64[rows, 2]."""
        counts = np.bincount(np.array(self._rows, np.int64), minlength=rows)
        return np.stack((np.cumsum(counts) - counts, counts), axis=1)

    def tables(self) -> tuple[Ints, list[Floats], Floats]:
        """Return the evaluations, int64[e, EVALUATION_WIDTH], each program's aggregates, and the array they lie in."""
        shapes = [(len(rows), bound.aggregates) for rows, bound in zip(self._asking, self._programs.bound, strict=True)]
        ends = np.cumsum([rows * columns for rows, columns in shapes], dtype=np.int64)
        flat = np.full(int(ends[-1]) if len(ends) else 0, np.nan)
        starts = ends - np.array([rows * columns for rows, columns in shapes], np.int64)
        each = [
            flat[start:end].reshape(shape)
            for start, end, shape in zip(starts.tolist(), ends.tolist(), shapes, strict=True)
        ]
        table = np.zeros((len(self._rows), ev.EVALUATION_WIDTH), np.int64)
        if len(table):
            of = np.array(self._of, np.int64)
            widths = np.array([columns for _, columns in shapes], np.int64)
            table[:, ev.E_PART] = self._starts
            table[:, ev.E_BLOCKS] = self._bases
            table[:, ev.E_OUT] = starts[of] + np.array(self._numbers, np.int64) * widths[of]
            table[:, ev.E_OBSERVED] = self._how
        return table, each, flat

    def answers(
        self, table: Ints, aggregates: Sequence[Floats], found: Ints, numbers: Sequence[int]
    ) -> list[Evaluated]:
        """Return the features of the rows that were applied, program by program."""
        of, at = np.array(self._of, np.int64), np.array(self._numbers, np.int64)
        number_of = np.array(numbers, np.int64)
        answers = []
        for program, bound in enumerate(self._programs.bound):
            rows = np.array(self._asking[program], np.int64)
            as_of = np.empty(len(rows), np.int64)
            mine = of == program
            as_of[at[mine]] = table[mine, ev.E_AS_OF]
            applied = found[rows, ev.F_AT] >= 0
            kept = aggregates[program] if applied.all() else aggregates[program][applied]
            features = np.empty((len(kept), bound.features), np.float64)
            finish_rows(bound, kept, features)
            order = np.argsort(number_of[rows[applied]], kind="stable")
            answers.append(Evaluated(number_of[rows[applied]][order], as_of[applied][order], features[order]))
        return answers
