"""Records applied in batches of any size give what they give one by one, whatever happened in what order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.errors import BeyondState
from streamgauge.events.record import INSERT, Record
from streamgauge.features import batch as module
from streamgauge.features.asking import Evaluated, Programs, Trigger
from streamgauge.features.batch import Batch, apply_all
from streamgauge.features.state import EntityState
from tests.properties.test_state_history import BOOK, BOUND, LAYOUT, Step, accept, bits, steps

PROGRAMS = Programs([BOUND, BOUND])
ASKED = (Trigger(0, observed=False), Trigger(1, observed=True))
Answers = dict[int, tuple[int, list[int], list[int]]]


class Batched:
    """States that records are applied to in batches."""

    def __init__(self, records: list[Record], fold_after: int) -> None:
        self.records = records
        self.fold_after = fold_after
        self.states: dict[str, EntityState] = {}
        self.answers: Answers = {}
        self.verdicts: dict[int, str] = {}
        self.start = 0

    def state(self, entity: str) -> EntityState:
        return self.states.setdefault(entity, EntityState(LAYOUT, self.fold_after))

    def begin(self) -> Batch:
        return Batch(PROGRAMS, BOOK, lambda _stream, _role: ASKED, self.state)

    def run(self, sizes: list[int]) -> None:
        with ThreadPoolExecutor(1) as pool:
            at = 0
            while self.start < len(self.records):
                some = self.records[self.start : self.start + sizes[at % len(sizes)]]
                apply_all(some, self.begin, lambda batch: self.note(batch, batch.run(pool, 2)), self.alone)
                self.start += len(some)
                at += 1

    def note(self, batch: Batch, evaluated: list[Evaluated]) -> None:
        entity, event = evaluated
        for number in batch.done:
            self.verdicts[self.start + number] = "applied"
        for i, number in enumerate(entity.rows.tolist()):
            as_of, features = int(entity.as_of[i]), bits(entity.features[i])
            self.answers[self.start + number] = (as_of, features, bits(event.features[i]))

    def alone(self, number: int) -> None:
        record = self.records[self.start + number]
        state, verdict = one_by_one(self.state(record.entity), self.records[: self.start + number + 1], self.fold_after)
        self.states[record.entity] = state
        self.verdicts[self.start + number] = verdict
        if verdict == "applied":
            self.answers[self.start + number] = answer(state, record)


def plain(record: Record, number: int) -> Record:
    """Return an event of its own id, inserted once, which ties with no other."""
    return msgspec.structs.replace(
        record, event_id=f"{record.event_id}{number}", event_time=record.event_time + number, revision=0, op=INSERT
    )


def one_by_one(state: EntityState, records: list[Record], fold_after: int) -> tuple[EntityState, str]:
    record = records[-1]
    try:
        return state, state.apply(record, BOOK)
    except BeyondState:
        own = [one for one in records[:-1] if one.entity == record.entity]
        state = EntityState.rebuild(LAYOUT, own, BOOK, fold_after)
        return state, state.apply(record, BOOK)


def answer(state: EntityState, record: Record) -> tuple[int, list[int], list[int]]:
    moment = max(record.known_at, record.event_time)
    t = max(moment, state.clock_floor)
    return t, bits(state.compute(BOUND, t)), bits(state.compute(BOUND, moment, (record.stream, record.event_id)))


@settings(max_examples=100)
@given(
    steps(imports=False),
    st.sampled_from([1, 4]),
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.integers(1, 4),
    st.sampled_from([1, 2, 7, 25]),
)
def test_batches_give_what_records_give_one_by_one(
    moves: list[Step], fold_after: int, sizes: list[int], entities: int, troubled: int
) -> None:
    records = [
        msgspec.structs.replace(
            one if number % troubled == 0 else plain(one, number), entity=f"account:{number * 7 % entities}"
        )
        for number, one in enumerate(accept(moves))
    ]
    batched = Batched(records, fold_after)
    module._WORTH_A_THREAD = 2  # type: ignore[misc]
    batched.run(sizes)
    states: dict[str, EntityState] = {}
    for number, record in enumerate(records):
        state = states.get(record.entity) or EntityState(LAYOUT, fold_after)
        state, verdict = one_by_one(state, records[: number + 1], fold_after)
        states[record.entity] = state
        assert batched.verdicts[number] == verdict
        if verdict == "applied":
            assert batched.answers[number] == answer(state, record)
        else:
            assert number not in batched.answers
    for entity, state in states.items():
        found = batched.states[entity]
        assert (found.last_position, found.last_known_at, found.last_event_time) == (
            state.last_position,
            state.last_known_at,
            state.last_event_time,
        )
        again = EntityState.decode(LAYOUT, found.encode())
        assert again.encode() == found.encode()
        t = state.clock_floor
        assert bits(found.compute(BOUND, t)) == bits(again.compute(BOUND, t)) == bits(state.compute(BOUND, t))
