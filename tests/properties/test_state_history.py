"""The state, streamed, encoded or rebuilt, and the history give the same bits, whatever happened in what order."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL, FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, WindowSpec
from streamgauge.errors import BeyondState
from streamgauge.events.record import Record
from streamgauge.features.bind import BoundProgram
from streamgauge.features.decode import SchemaBook
from streamgauge.features.history import EntityHistory
from streamgauge.features.layout import Layout
from streamgauge.features.packed_states import PackedStates
from streamgauge.features.program import FeatureProgram
from streamgauge.features.state import EntityState
from streamgauge.features.stored import StoredFeatures
from streamgauge.testing.records import record

S = 1_000_000
LATENESS = 8 * S
TOLERANCE = 2 * S
FIELDS = (
    FieldSpec("amount", FieldKind.MONEY, decimals=2, required=False),
    FieldSpec("balance", FieldKind.MONEY, decimals=2, required=False),
    FieldSpec("who", FieldKind.KEY, required=False),
)
STREAMS = {
    "Move": StreamSpec("Move", "id", "account", "at", FIELDS, LATENESS, TOLERANCE, feed=True),
    "Ask": StreamSpec("Ask", "id", "account", "at", FIELDS[:1], LATENESS, TOLERANCE),
    "Aside": StreamSpec("Aside", "id", "account", "at", FIELDS[:1], LATENESS, TOLERANCE),
}
NUMBERS = {name: number for number, name in enumerate(STREAMS, start=1)}
BOOK = SchemaBook(lambda number: list(STREAMS.values())[number - 1])
IN = ("gt", ("field", "amount"), ("int", 0))
BELOW = ("le", ("field", "amount"), ("int", 99))
SHORT, LONG, LAST, LIFE = (
    WindowSpec("duration", 6 * S),
    WindowSpec("duration", 12 * S),
    WindowSpec("last", 12 * S, 3),
    WindowSpec("life"),
)


def aggregates() -> list[AggregateSpec]:
    found: list[AggregateSpec] = []
    for where, prior in itertools.product((None, IN), (False, True)):
        for window in (SHORT, LONG, LAST, LIFE):
            found += [AggregateSpec(kind, "Move", window, where, prior) for kind in ("count", "time_since_last")]
            found += [
                AggregateSpec(kind, "Move", window, where, prior, "amount", 2)
                for kind in ("sum", "mean", "std", "min", "max", "first", "last")
            ]
        for window in (SHORT, LIFE):  # shorter than the lateness
            found += [AggregateSpec(kind, "Ask", window, where, prior) for kind in ("count", "time_since_first")]
            found += [AggregateSpec("last", "Ask", window, where, prior, "amount", 2)]
        found += [
            AggregateSpec("distinct", "Move", LONG, where, prior, "who"),
            AggregateSpec("top_share", "Move", LAST, where, prior, "amount", 2, key="who"),
            AggregateSpec("gap_max", "Move", LONG, where, prior),
            AggregateSpec("gap_median", "Move", LONG, where, prior),
            AggregateSpec("slope", "Move", LAST, where, prior, "amount", 2),
            AggregateSpec("each", "Move", SHORT, where, prior, "amount", 2, times=2, step="sum", summary="std"),
            AggregateSpec("each", "Move", SHORT, where, prior, "who", times=2, step="distinct", summary="mean"),
            AggregateSpec("share", "Move", LONG, where, prior, "amount", 2, subset=BELOW),
            AggregateSpec("streak", "Move", LONG, where, prior, subset=BELOW),
            AggregateSpec("quantile", "Move", LAST, where, prior, "amount", 2, quantile=5 * 10**11),
            AggregateSpec("decayed_sum", "Move", LONG, where, prior, "amount", 2, half_life_us=2 * S),
            AggregateSpec("gap_std", "Move", LAST, where, prior),
        ]
        found += [
            AggregateSpec(f"level_{kind}", "Move", LONG, where, prior, "balance", 2)
            for kind in ("mean", "min", "max", "std", "slope", "now", "time_below", "since_below")
        ]
    return [*found, AggregateSpec("observed", "Ask", LIFE, field="amount", decimals=2)]


PROGRAM = FeatureProgram.of(
    [FeatureSpec(f"f{i}", ("agg", spec), "account") for i, spec in enumerate(aggregates())], STREAMS
)
LAYOUT = Layout.of([PROGRAM])
BOUND = BoundProgram.of(PROGRAM, LAYOUT)


@dataclass
class Step:
    """One record that a log on a coarse clock accepts: ids recur, moments tie, some come late, some by import."""

    stream: str
    event_id: str
    ahead: int
    forget: bool
    sequence: int
    revision: int
    delete: bool
    imported: bool
    known_back: int
    units: tuple[int, ...]
    pause: int


def steps(*, imports: bool) -> st.SearchStrategy[list[Step]]:
    return st.lists(
        st.builds(
            Step,
            stream=st.sampled_from(["Move", "Move", "Move", "Ask", "Aside"]),
            event_id=st.sampled_from([*"abcdefgh", "é", "\U0001f600", "\ufb01"]),
            ahead=st.integers(-8, 2),
            forget=st.booleans(),
            sequence=st.sampled_from([0, 0, 0, 1, -1]),
            revision=st.sampled_from([0, 0, 0, 0, 1, 2]),
            delete=st.sampled_from([False, False, False, True]),
            imported=st.sampled_from([False, False, False, True]) if imports else st.sampled_from([False]),
            known_back=st.integers(0, 30),
            units=st.tuples(st.sampled_from([NULL, -250, 0, 1, 99, 10_000]), st.integers(-300, 300), st.integers(1, 3)),
            pause=st.sampled_from([0, 0, 1, 1, 2, 5]),
        ),
        min_size=30,
        max_size=70,
    )


def accept(moves: list[Step]) -> list[Record]:
    """Return the records that a log would hold: acceptance holds, clocks and positions rise.

    An id usually keeps its event time, so that there are duplicates, corrections and conflicts; with `forget` it takes
    another, so that there are changed identities, and ids that begin anew.
    """
    clock = 100 * S
    times: dict[tuple[str, str], int] = {}
    records: list[Record] = []
    for number, move in enumerate(moves, start=1):
        clock += move.pause * S
        known = clock - (move.known_back * S if move.imported else 0)
        at = times.get((move.stream, move.event_id))
        if at is None or move.forget or not -TOLERANCE <= known - at <= LATENESS:
            at = known + move.ahead * S
        times[move.stream, move.event_id] = at
        units = move.units[: len(STREAMS[move.stream].fields)]
        revision = max(1, move.revision) if move.delete else move.revision
        records.append(
            record(
                move.event_id,
                at,
                position=3 * number,
                stream=move.stream,
                units=units,
                known_at=known,
                sequence=move.sequence,
                revision=revision,
                delete=move.delete,
                imported=move.imported,
                schema=NUMBERS[move.stream],
            )
        )
    return records


def bits(values: NDArray[np.float64]) -> list[int]:
    found: list[int] = np.ascontiguousarray(values).view(np.int64).tolist()
    return found


Seen = tuple[str, int, list[int], list[int]]


def replay(records: list[Record], fold_after: int, reopen: frozenset[int]) -> list[Seen]:
    """Stream records through one state; return verdict, moment, and bits without and with the observed event."""
    state = EntityState(LAYOUT, fold_after)
    seen: list[Seen] = []
    for number, one in enumerate(records):
        verdict: str
        try:
            verdict = state.apply(one, BOOK)
        except BeyondState:
            state = EntityState.rebuild(LAYOUT, records[: number + 1], BOOK, fold_after)
            verdict = "rebuilt"
        if number in reopen:
            state = EntityState.decode(LAYOUT, state.encode())
        t = max(state.clock_floor, one.known_at, one.event_time)
        event = (one.stream, one.event_id)
        try:
            observed = bits(state.compute(BOUND, t, event))
        except BeyondState:
            observed = []
        seen.append((verdict, t, bits(state.compute(BOUND, t)), observed))
    return seen


@settings(max_examples=100)
@given(steps(imports=True), st.sampled_from([1, 4]), st.frozensets(st.integers(0, 69), max_size=6))
def test_the_state_at_its_newest_position_is_the_history_at_that_position(
    moves: list[Step], fold_after: int, reopen: frozenset[int]
) -> None:
    records = accept(moves)
    seen = replay(records, fold_after, reopen)
    history = EntityHistory(LAYOUT, records, BOOK)
    t = np.array([moment for _, moment, _, _ in seen])
    k = np.array([one.position for one in records])
    plain = history.at_positions(BOUND, t, k)
    observed = history.at_positions(BOUND, t, k, [(one.stream, one.event_id) for one in records])
    for number, (verdict, _, without, with_event) in enumerate(seen):
        assert verdict in {history.verdicts[number], "rebuilt"}
        assert without == bits(plain[number])
        assert with_event in ([], bits(observed[number]))


@settings(max_examples=60)
@given(steps(imports=True), st.integers(0, 69))
def test_a_rebuilt_state_goes_on_as_the_streamed_one(moves: list[Step], cut: int) -> None:
    records = accept(moves)
    cut = min(cut, len(records))
    rebuilt = EntityState.rebuild(LAYOUT, records[:cut], BOOK, 1)
    streamed = EntityState(LAYOUT, 1)
    for number, one in enumerate(records):
        try:
            streamed.apply(one, BOOK)
        except BeyondState:
            streamed = EntityState.rebuild(LAYOUT, records[: number + 1], BOOK, 1)
        if number < cut:
            continue
        try:
            rebuilt.apply(one, BOOK)
        except BeyondState:
            rebuilt = EntityState.rebuild(LAYOUT, records[: number + 1], BOOK, 1)
    assert (rebuilt.last_position, rebuilt.clock_floor) == (streamed.last_position, streamed.clock_floor)
    for later in (0, 3 * S, 13 * S, 100 * S):
        t = streamed.clock_floor + later
        assert bits(rebuilt.compute(BOUND, t)) == bits(streamed.compute(BOUND, t))


@settings(max_examples=60)
@given(steps(imports=False))
def test_every_moment_that_the_state_answers_has_the_bits_of_the_history(moves: list[Step]) -> None:
    records = accept(moves)
    state = EntityState(LAYOUT, 1)
    for one in records:
        state.apply(one, BOOK)
    history = EntityHistory(LAYOUT, records, BOOK)
    moments = np.arange(state.clock_floor - 40 * S, state.clock_floor + 20 * S, S)
    kept = moments[moments >= state.answers_from]
    assert state.answers_from <= state.last_known_at
    expected = history.at_positions(BOUND, kept, np.full(len(kept), state.last_position))
    for t, row in zip(kept.tolist(), expected, strict=True):
        assert bits(state.compute(BOUND, t)) == bits(row)


@settings(max_examples=60)
@given(steps(imports=True), st.sampled_from([1, 4]))
def test_a_state_read_where_it_is_stored_tells_what_the_state_tells_or_nothing(
    moves: list[Step], fold_after: int
) -> None:
    records = accept(moves)
    states = [EntityState.rebuild(LAYOUT, records[: number + 1], BOOK, fold_after) for number in range(len(records))]
    packed, stored = PackedStates.of([state.encode() for state in states]), StoredFeatures(BOUND)
    cut = records[2 * len(records) // 3].position
    for t in range(states[-1].clock_floor - 20 * S, states[-1].clock_floor + 20 * S, 4 * S):
        rows, found = stored.compute(packed, t, cut)
        for state, row, told in zip(states, rows, found.tolist(), strict=True):
            assert told == (t >= state.answers_from and state.last_position <= cut)
            assert not told or bits(row) == bits(state.compute(BOUND, t))


@settings(max_examples=60)
@given(steps(imports=False))
def test_without_imports_both_cuts_agree(moves: list[Step]) -> None:
    records = accept(moves)
    history = EntityHistory(LAYOUT, records, BOOK)
    k = np.array([one.position for one in records])
    known = np.array([one.known_at for one in records])
    t = np.maximum(known, np.array([one.event_time for one in records]))
    observed = [(one.stream, one.event_id) for one in records]
    by_position = history.at_positions(BOUND, t, k, observed)
    assert bits(by_position) == bits(history.at_moments(BOUND, t, known, k, observed))


@settings(max_examples=60)
@given(steps(imports=True))
def test_a_knowledge_cut_sees_the_records_known_by_then(moves: list[Step]) -> None:
    records = accept(moves)
    history = EntityHistory(LAYOUT, records, BOOK)
    applied = [one for one, verdict in zip(records, history.verdicts, strict=True) if verdict == "applied"]
    for cut in applied[::7]:
        visible = [one for one in applied if (one.known_at, one.position) <= (cut.known_at, cut.position)]
        t = np.array([max(one.event_time for one in visible) + S])
        one_cut = history.at_moments(BOUND, t, np.array([cut.known_at]), np.array([cut.position]))
        assert bits(one_cut) == bits(direct(visible, int(t[0])))


def direct(visible: list[Record], t: int) -> NDArray[np.float64]:
    """Compute over the live revisions alone, each put in as an insert of an id of its own that sorts alike."""
    live: dict[tuple[str, str, int], Record] = {}
    for one in visible:
        key = (one.stream, one.event_id, one.event_time)
        if key not in live or live[key].revision < one.revision:
            live[key] = one
    kept = [
        record(
            f"{one.event_id}{one.event_time}",
            one.event_time,
            position=number,
            stream=one.stream,
            units=np.frombuffer(one.units, np.int64).tolist(),
            known_at=one.event_time,
            sequence=one.sequence,
            schema=one.schema,
        )
        for number, one in enumerate((one for one in live.values() if one.op != 2), start=1)
    ]
    history = EntityHistory(LAYOUT, kept, BOOK)
    return history.at_positions(BOUND, np.array([t]), np.array([10**9]))


def test_a_rebuilt_state_knows_that_an_id_that_began_anew_was_forgotten_once() -> None:
    records = [
        record("a", 100 * S, position=3, stream="Ask", units=(1,), known_at=100 * S, schema=NUMBERS["Ask"]),
        record("a", 120 * S, position=6, stream="Ask", units=(1,), known_at=120 * S, schema=NUMBERS["Ask"]),
    ]
    imported = record(
        "b", 90 * S, position=9, stream="Ask", units=(1,), known_at=95 * S, imported=True, schema=NUMBERS["Ask"]
    )
    with pytest.raises(BeyondState, match="rebuild it from the log"):
        EntityState.rebuild(LAYOUT, records, BOOK).apply(imported, BOOK)
