"""One entity on a clock of seconds: lateness 8, tolerance 2, the longest window 10."""

from dataclasses import replace

import numpy as np
import pytest

from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, WindowSpec
from streamgauge.errors import BeyondState, StateDamaged
from streamgauge.events.record import Record
from streamgauge.features.bind import BoundProgram
from streamgauge.features.decode import SchemaBook
from streamgauge.features.layout import Layout
from streamgauge.features.program import FeatureProgram
from streamgauge.features.state import EntityState
from streamgauge.testing.records import record

S = 1_000_000
AMOUNT = FieldSpec("amount", FieldKind.INTEGER)
STREAM = StreamSpec("Move", "id", "account", "at", (AMOUNT,), lateness_us=8 * S, tolerance_us=2 * S)
BOOK = SchemaBook(lambda _: STREAM)
WINDOW, LIFE = WindowSpec("duration", 10 * S), WindowSpec("life")


def program(*aggregates: AggregateSpec) -> tuple[Layout, BoundProgram]:
    features = [FeatureSpec(f"f{i}", ("agg", spec), "account") for i, spec in enumerate(aggregates)]
    one = FeatureProgram.of(features, {"Move": STREAM})
    layout = Layout.of([one])
    return layout, BoundProgram.of(one, layout)


LAYOUT, BOUND = program(
    AggregateSpec("count", "Move", WINDOW),
    AggregateSpec("sum", "Move", LIFE, field="amount"),
    AggregateSpec("last", "Move", LIFE, field="amount"),
    AggregateSpec("sum", "Move", WINDOW, prior=True, field="amount"),
)


def at(event_id: str, second: int, amount: int, *, position: int, known: int | None = None, **more: object) -> Record:
    moment = second if known is None else known
    return record(event_id, second * S, position=position, stream="Move", units=[amount], known_at=moment * S, **more)  # type: ignore[arg-type]


def streamed(*records: Record, fold_after: int = 1) -> EntityState:
    state = EntityState(LAYOUT, fold_after)
    for one in records:
        assert state.apply(one, BOOK) == "applied"
    return state


def values(state: EntityState, second: int, observed: str | None = None) -> list[float]:
    found: list[float] = state.compute(BOUND, second * S, ("Move", observed) if observed else None).tolist()
    return found


def test_an_entity_without_events_has_empty_features() -> None:
    assert np.isnan(EntityState(LAYOUT).compute(BOUND, 5 * S)[2])
    assert EntityState(LAYOUT).compute(BOUND, 5 * S)[:2].tolist() == [0.0, 0.0]


def test_a_late_event_corrects_the_present() -> None:
    #   a      b    c        t
    #   100    102  104      110   b arrives last; the window is (100, 110]
    state = streamed(at("a", 100, 1, position=1), at("c", 104, 4, position=2), at("b", 102, 2, position=3, known=105))
    assert values(state, 110) == [2.0, 7.0, 4.0, 6.0]


def test_ties_go_by_sequence_then_by_the_bytes_of_the_id() -> None:
    records = [
        at("\U0001f600", 100, 1, position=1),
        at("\ufb01", 100, 2, position=2),
        at("z", 100, 3, position=3, sequence=-1),
    ]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        ordered = [records[number] for number in order]
        state = EntityState(LAYOUT)
        for position, one in enumerate(ordered, start=1):
            state.apply(
                record(
                    one.event_id,
                    one.event_time,
                    position=position,
                    stream="Move",
                    units=np.frombuffer(one.units, np.int64).tolist(),
                    sequence=one.sequence,
                ),
                BOOK,
            )
        assert values(state, 101)[2] == 1.0  # U+1F600 sorts after U+FB01 in UTF-8, though not in UTF-16


def test_a_correction_and_a_delete_replace_what_stood() -> None:
    state = streamed(at("a", 100, 1, position=1), at("b", 101, 2, position=2))
    assert state.apply(at("a", 100, 10, position=3, known=102, revision=2), BOOK) == "applied"
    assert values(state, 102)[1] == 12.0
    assert state.apply(at("a", 100, 5, position=4, known=102, revision=1), BOOK) == "applied"
    assert values(state, 102)[1] == 12.0
    assert state.apply(at("a", 100, 0, position=5, known=103, revision=3, delete=True), BOOK) == "applied"
    assert values(state, 103)[:3] == [1.0, 2.0, 2.0]


def test_a_delete_may_come_before_its_insert() -> None:
    state = streamed(at("a", 100, 0, position=1, revision=1, delete=True), at("a", 100, 1, position=2, known=101))
    assert values(state, 101)[0] == 0.0


def test_the_observed_event_is_left_out_of_prior_only() -> None:
    state = streamed(at("a", 100, 1, position=1), at("b", 101, 2, position=2))
    assert values(state, 101, "b") == [2.0, 3.0, 2.0, 1.0]


def test_folding_changes_no_bit() -> None:
    #   events each second; the clock at 130 puts those before 130 − 10 − 8 out of reach
    records = [at(f"e{second}", second, second, position=second) for second in range(90, 131)]
    folded, whole = streamed(*records), streamed(*records, fold_after=1_000)
    assert folded.streams["Move"].count == 19
    assert whole.streams["Move"].count == 41
    for second in (130, 135, 200):
        assert values(folded, second) == values(whole, second)


def test_an_older_moment_than_what_was_folded_is_refused() -> None:
    state = streamed(*[at(f"e{second}", second, second, position=second) for second in range(90, 131)])
    assert state.answers_from == 121 * S
    assert values(state, 121)[0] == 10.0
    with pytest.raises(BeyondState, match="from the log"):
        values(state, 120)


def test_an_import_before_what_was_folded_asks_for_a_rebuild_and_changes_nothing() -> None:
    records = [at(f"e{second}", second, second, position=second) for second in range(90, 131)]
    state = streamed(*records)
    late = at("old", 95, 1_000, position=200, known=96, imported=True)
    before = state.encode()
    with pytest.raises(BeyondState, match="rebuild"):
        state.apply(late, BOOK)
    assert state.encode() == before
    rebuilt = EntityState.rebuild(LAYOUT, [*records, late], BOOK)
    assert values(rebuilt, 130)[1] == values(state, 130)[1] + 1_000


def test_a_form_with_more_lateness_reaches_what_a_rebuild_no_longer_folds() -> None:
    book = SchemaBook({1: STREAM, 2: replace(STREAM, lateness_us=60 * S)}.__getitem__)
    records = [at(f"e{second}", second, second, position=second) for second in range(90, 131)]
    state = streamed(*records)
    reaching = at("late", 95, 1, position=200, known=131, schema=2)
    with pytest.raises(BeyondState):
        state.apply(reaching, book)
    rebuilt = EntityState.rebuild(LAYOUT, records, book)
    assert rebuilt.apply(reaching, book) == "applied"
    assert values(rebuilt, 131)[1] == values(state, 131)[1] + 1


def test_a_forgotten_id_begins_a_new_event() -> None:
    state = streamed(at("a", 100, 1, position=1))
    assert state.apply(at("a", 108, 2, position=2, known=108), BOOK) == "identity_changed"
    assert state.apply(at("a", 109, 2, position=3, known=109), BOOK) == "applied"
    assert values(state, 109)[:2] == [2.0, 3.0]
    assert EntityState.decode(LAYOUT, state.encode()).streams["Move"].ids == ["a"]


def test_a_record_that_was_applied_already_is_refused() -> None:
    state = streamed(at("a", 100, 1, position=5))
    with pytest.raises(ValueError, match="applied already"):
        state.apply(at("b", 101, 1, position=5), BOOK)


def test_what_is_not_applied_moves_the_position_only() -> None:
    state = streamed(at("a", 100, 1, position=1))
    assert state.apply(at("a", 100, 2, position=2, known=105), BOOK) == "conflict"
    assert (state.last_position, state.clock_floor) == (2, 100 * S)


def test_encoding_keeps_everything() -> None:
    state = streamed(
        *[at(f"e{second}", second, second, position=second, sequence=second % 3) for second in range(90, 131)]
    )
    again = EntityState.decode(LAYOUT, state.encode())
    assert again.encode() == state.encode()
    assert values(again, 131, "e130") == values(state, 131, "e130")
    assert again.apply(at("e130", 130, 130, position=131, sequence=130 % 3), BOOK) == "duplicate"
    assert again.apply(at("late", 125, 1, position=132, known=131), BOOK) == "applied"


@pytest.mark.parametrize("place", [0, 5, 9, 30, -1])
def test_a_damaged_byte_is_noticed(place: int) -> None:
    data = bytearray(streamed(at("a", 100, 1, position=1)).encode())
    data[place] ^= 0x40
    with pytest.raises(StateDamaged):
        EntityState.decode(LAYOUT, bytes(data))


@pytest.mark.parametrize("length", [0, 3, 20])
def test_a_state_cut_short_is_noticed(length: int) -> None:
    with pytest.raises(StateDamaged):
        EntityState.decode(LAYOUT, streamed(at("a", 100, 1, position=1)).encode()[:length])


def test_a_state_of_another_layout_is_refused() -> None:
    other, _ = program(AggregateSpec("count", "Move", WindowSpec("duration", S)))
    with pytest.raises(StateDamaged, match="layout"):
        EntityState.decode(other, streamed(at("a", 100, 1, position=1)).encode())


def test_a_program_of_another_layout_is_refused() -> None:
    _, bound = program(AggregateSpec("count", "Move", WindowSpec("duration", S)))
    with pytest.raises(ValueError, match="another layout"):
        EntityState(LAYOUT).compute(bound, 0)
