"""One entity on a clock of seconds, read at moments of the past."""

import numpy as np

from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, WindowSpec
from streamgauge.events.record import Record
from streamgauge.features.bind import BoundProgram
from streamgauge.features.decode import SchemaBook
from streamgauge.features.history import EntityHistory
from streamgauge.features.layout import Layout
from streamgauge.features.program import FeatureProgram
from streamgauge.testing.records import record

S = 1_000_000
AMOUNT = FieldSpec("amount", FieldKind.INTEGER)
STREAM = StreamSpec("Move", "id", "account", "at", (AMOUNT,), lateness_us=8 * S, tolerance_us=2 * S)
OTHER = StreamSpec("Other", "id", "account", "at", (), lateness_us=8 * S, tolerance_us=2 * S)
BOOK = SchemaBook({1: STREAM, 2: OTHER}.__getitem__)
WINDOW, LIFE = WindowSpec("duration", 10 * S), WindowSpec("life")
FEATURES = [
    AggregateSpec("sum", "Move", WINDOW, field="amount"),
    AggregateSpec("sum", "Move", LIFE, prior=True, field="amount"),
    AggregateSpec("observed", "Move", LIFE, field="amount"),
]
PROGRAM = FeatureProgram.of(
    [FeatureSpec(f"f{i}", ("agg", spec), "account") for i, spec in enumerate(FEATURES)], {"Move": STREAM}
)
LAYOUT = Layout.of([PROGRAM])
BOUND = BoundProgram.of(PROGRAM, LAYOUT)


def move(event_id: str, second: int, amount: int, *, position: int, known: int, **more: object) -> Record:
    return record(event_id, second * S, position=position, stream="Move", units=[amount], known_at=known * S, **more)  # type: ignore[arg-type]


def seconds(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64) * S


def ints(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def test_a_late_event_leaves_the_past_as_it_was() -> None:
    #   event time   100 a   101 b (late)   102 c        read at 102
    #   position       1       3              2
    records = [
        move("a", 100, 1, position=1, known=100),
        move("c", 102, 4, position=2, known=102),
        move("b", 101, 2, position=3, known=105),
    ]
    history = EntityHistory(LAYOUT, records, BOOK)
    found = history.at_positions(BOUND, seconds(102, 102, 102, 102), ints(0, 1, 2, 3))
    assert found[:, 0].tolist() == [0.0, 1.0, 5.0, 7.0]


def test_moments_may_be_asked_in_any_order() -> None:
    records = [move("a", 100, 1, position=1, known=100), move("c", 102, 4, position=2, known=102)]
    history = EntityHistory(LAYOUT, records, BOOK)
    assert history.at_positions(BOUND, seconds(102, 102, 99), ints(2, 1, 2))[:, 0].tolist() == [5.0, 1.0, 0.0]


def test_an_import_is_seen_from_the_moment_it_declares() -> None:
    #   the record at position 2 was imported later, but known at 101
    records = [
        move("a", 100, 1, position=1, known=104),
        move("old", 99, 8, position=2, known=101, imported=True),
    ]
    history = EntityHistory(LAYOUT, records, BOOK)
    assert history.at_moments(BOUND, seconds(104, 104, 104), seconds(100, 101, 104), ints(9, 9, 9))[:, 0].tolist() == [
        0.0,
        8.0,
        9.0,
    ]
    assert history.at_positions(BOUND, seconds(104), ints(1))[:, 0].tolist() == [1.0]


def test_records_known_at_one_moment_are_told_apart_by_position() -> None:
    records = [move("a", 100, 1, position=1, known=100), move("b", 100, 2, position=2, known=100)]
    history = EntityHistory(LAYOUT, records, BOOK)
    assert history.at_moments(BOUND, seconds(100, 100), seconds(100, 100), ints(1, 2))[:, 0].tolist() == [1.0, 3.0]


def test_the_observed_event_is_left_out_of_prior_and_gives_its_own_field() -> None:
    records = [move("a", 100, 1, position=1, known=100), move("b", 101, 2, position=2, known=101)]
    history = EntityHistory(LAYOUT, records, BOOK)
    found = history.at_positions(BOUND, seconds(101, 101), ints(2, 2), [("Move", "b"), None])
    assert found[0].tolist() == [3.0, 1.0, 2.0]
    assert found[1, :2].tolist() == [3.0, 3.0]
    assert np.isnan(found[1, 2])


def test_an_observed_event_that_is_deleted_by_then_has_no_fields() -> None:
    records = [
        move("a", 100, 1, position=1, known=100),
        move("a", 100, 0, position=2, known=101, revision=1, delete=True),
    ]
    history = EntityHistory(LAYOUT, records, BOOK)
    found = history.at_positions(BOUND, seconds(101, 101), ints(1, 2), [("Move", "a")] * 2)
    assert found[0, 2] == 1.0
    assert np.isnan(found[1, 2])


def test_an_unknown_observed_event_is_no_event() -> None:
    history = EntityHistory(LAYOUT, [move("a", 100, 1, position=1, known=100)], BOOK)
    found = history.at_positions(BOUND, seconds(101), ints(1), [("Other", "zz")])
    assert found[0, :2].tolist() == [1.0, 1.0]


def test_verdicts_cover_streams_that_no_feature_reads() -> None:
    other = {"stream": "Other", "schema": 2}
    records = [
        move("a", 100, 1, position=1, known=100),
        record("a", 100 * S, position=2, **other),  # type: ignore[arg-type]
        record("a", 101 * S, position=3, **other),  # type: ignore[arg-type]
        move("a", 100, 1, position=4, known=101),
        move("a", 100, 2, position=5, known=101),
    ]
    history = EntityHistory(LAYOUT, records, BOOK)
    assert history.verdicts == ["applied", "applied", "identity_changed", "duplicate", "conflict"]


def test_a_history_without_records_has_empty_features() -> None:
    history = EntityHistory(LAYOUT, [], BOOK)
    assert history.verdicts == []
    assert history.at_positions(BOUND, seconds(5), ints(5))[0, :2].tolist() == [0.0, 0.0]
    assert history.at_positions(BOUND, seconds(), ints()).shape == (0, 3)
