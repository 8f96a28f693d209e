import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.definitions.schema import NULL, FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import LabelSpec, OutcomeRows
from streamgauge.outcomes.events import StreamEvents
from streamgauge.outcomes.labels import LABELS, judge_labels
from tests.oracles.labels import Fact, Law, judge

ARREARS = StreamSpec(
    "Arrears",
    "id",
    "account",
    "at",
    (FieldSpec("application", FieldKind.REF, to="Application"), FieldSpec("days", FieldKind.INTEGER)),
    lateness_us=10**12,
    tolerance_us=0,
)
LOAN = StreamSpec(
    "Loan", "id", "account", "at", (FieldSpec("application", FieldKind.REF, to="Application"),), 10**12, tolerance_us=0
)
BAD = ("ge", ("field", "days"), ("int", 30))
DOUBT = ("ge", ("field", "days"), ("int", 15))
WITHIN = LabelSpec("late", OutcomeRows("Arrears", BAD), within_us=100, settle_us=10)


def arrears(*rows: tuple[int, int, int, int]) -> dict[str, StreamEvents]:
    """Rows of (entity, time, application, days)."""
    table = np.array(rows, np.int64).reshape(-1, 4)
    return {"Arrears": StreamEvents(ARREARS, table[:, 0], table[:, 1], np.ascontiguousarray(table[:, 2:]))}


def loans(*rows: tuple[int, int, int]) -> dict[str, StreamEvents]:
    """Rows of (entity, time, application)."""
    table = np.array(rows, np.int64).reshape(-1, 3)
    return {"Loan": StreamEvents(LOAN, table[:, 0], table[:, 1], np.ascontiguousarray(table[:, 2:]))}


def judged(
    label: LabelSpec, streams: dict[str, StreamEvents], *observed: tuple[int, int, int], moment: int = 10**6
) -> list[str]:
    """The labels of observations (entity, t, reference)."""
    rows = np.array(observed, np.int64).reshape(-1, 3)
    found = judge_labels(label, streams, rows[:, 0], rows[:, 1], rows[:, 2], moment)
    return [LABELS[code] for code in found.code]


def test_an_outcome_counts_after_the_start_and_up_to_the_end() -> None:
    #   t=50        x at 50     x at 51            x at 150    x at 151
    #    |-------------(----------------------------------]--------------
    for at, label in ((50, "good"), (51, "bad"), (150, "bad"), (151, "good")):
        assert judged(WITHIN, arrears((0, at, 7, 30)), (0, 50, 0)) == [label]


def test_an_outcome_of_another_entity_or_below_the_condition_does_not_count() -> None:
    assert judged(WITHIN, arrears((1, 60, 7, 30), (0, 60, 7, 29)), (0, 50, 0)) == ["good"]


def test_a_row_is_open_until_it_closes_even_if_it_is_certainly_bad() -> None:
    streams = arrears((0, 60, 7, 30))
    assert judged(WITHIN, streams, (0, 50, 0), moment=159) == ["open"]
    assert judged(WITHIN, streams, (0, 50, 0), moment=160) == ["bad"]


def test_bad_beats_indeterminate_in_either_order() -> None:
    label = LabelSpec(
        "late", OutcomeRows("Arrears", BAD), indeterminate=OutcomeRows("Arrears", DOUBT), within_us=100, settle_us=0
    )
    streams = arrears((0, 60, 7, 15), (0, 70, 7, 30), (1, 60, 7, 15))
    assert judged(label, streams, (0, 50, 0), (1, 50, 0), (2, 50, 0)) == ["bad", "indeterminate", "good"]


def test_match_ties_an_outcome_to_its_own_observation() -> None:
    label = LabelSpec("late", OutcomeRows("Arrears", BAD), match="application", within_us=100)
    streams = arrears((0, 60, 7, 30))
    assert judged(label, streams, (0, 50, 7), (0, 50, 8)) == ["bad", "good"]


def test_the_window_starts_when_the_observation_is_exposed() -> None:
    # asked 50 ── paid 80 ──────────────────────── 180]
    label = LabelSpec(
        "late",
        OutcomeRows("Arrears", BAD),
        match="application",
        starts_stream="Loan",
        starts_field="application",
        within_us=100,
    )
    late = arrears((0, 180, 7, 30))
    assert judged(label, {**late, **loans((0, 80, 7), (0, 90, 7))}, (0, 50, 7)) == ["bad"]
    assert judged(label, {**late, **loans((0, 79, 7), (0, 90, 7))}, (0, 50, 7)) == ["good"]


def test_what_was_never_exposed_is_never_good_and_is_open_while_it_may_still_be() -> None:
    label = LabelSpec(
        "late", OutcomeRows("Arrears", BAD), starts_stream="Loan", starts_field="application", within_us=100
    )
    streams = {**arrears(), **loans((0, 80, 8))}
    assert judged(label, streams, (0, 50, 7), moment=149) == ["open"]
    assert judged(label, streams, (0, 50, 7), moment=150) == ["unexposed"]
    rows = np.array([[0, 50, 7]])
    assert judge_labels(label, streams, rows[:, 0], rows[:, 1], rows[:, 2], 150).closes_at.tolist() == [NULL]


def test_a_fixed_end_judges_and_closes_all_rows_at_one_moment() -> None:
    label = LabelSpec("october", OutcomeRows("Arrears", BAD), until_us=200, settle_us=5)
    streams = arrears((0, 200, 7, 30), (1, 201, 7, 30))
    assert judged(label, streams, (0, 50, 0), (1, 50, 0), moment=205) == ["bad", "good"]
    assert judged(label, streams, (0, 50, 0), (1, 50, 0), moment=204) == ["open", "open"]


def test_only_good_and_bad_are_learned_from() -> None:
    label = LabelSpec("late", OutcomeRows("Arrears", BAD), indeterminate=OutcomeRows("Arrears", DOUBT), within_us=100)
    rows = np.array([[0, 50], [1, 50], [2, 50], [0, 10**6 - 50]])
    found = judge_labels(
        label, arrears((0, 60, 7, 30), (1, 60, 7, 20)), rows[:, 0], rows[:, 1], np.zeros(4, np.int64), 10**6
    )
    assert found.usable.tolist() == [True, False, True, False]
    np.testing.assert_array_equal(found.bad, [1.0, np.nan, 0.0, np.nan])


RENEWED = LabelSpec("lapsed", OutcomeRows("Arrears", BAD), within_us=100, settle_us=10, absent=True)


def test_an_absence_is_bad_and_a_presence_after_the_start_up_to_the_end_is_good() -> None:
    #   t=50        x at 50     x at 51            x at 150    x at 151
    #    |-------------(----------------------------------]--------------
    for at, label in ((50, "bad"), (51, "good"), (150, "good"), (151, "bad")):
        assert judged(RENEWED, arrears((0, at, 7, 30)), (0, 50, 0)) == [label]


def test_an_absence_is_of_the_own_entity_and_of_the_kept_rows() -> None:
    assert judged(RENEWED, arrears((1, 60, 7, 30), (0, 60, 7, 29)), (0, 50, 0)) == ["bad"]


def test_a_row_of_an_absence_is_open_until_it_closes_though_it_be_certainly_good() -> None:
    streams = arrears((0, 60, 7, 30))
    assert judged(RENEWED, streams, (0, 50, 0), (1, 50, 0), moment=159) == ["open", "open"]
    assert judged(RENEWED, streams, (0, 50, 0), (1, 50, 0), moment=160) == ["good", "bad"]


def test_no_row_of_an_absence_is_bad_early() -> None:
    rows = np.array([[0, 50], [1, 50]])
    found = judge_labels(RENEWED, arrears((0, 60, 7, 30)), rows[:, 0], rows[:, 1], np.zeros(2, np.int64), 100)
    assert found.bad_at.tolist() == [NULL, NULL]


def test_what_was_never_exposed_is_no_absence() -> None:
    label = LabelSpec(
        "lapsed",
        OutcomeRows("Arrears", BAD),
        starts_stream="Loan",
        starts_field="application",
        within_us=100,
        absent=True,
    )
    streams = {**arrears(), **loans((0, 80, 7))}
    assert judged(label, streams, (0, 50, 7), (0, 50, 8)) == ["bad", "unexposed"]


FACTS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 60), st.integers(1, 2), st.integers(13, 32)), max_size=8, unique=True
)


@given(
    outcomes=FACTS,
    paid=FACTS,
    observed=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 40), st.integers(1, 3)), min_size=1, max_size=6),
    doubtful=st.booleans(),
    match=st.booleans(),
    starts=st.booleans(),
    fixed=st.booleans(),
    span=st.integers(1, 40),
    settle=st.integers(0, 5),
    absent=st.booleans(),
    moment=st.integers(20, 120),
)
def test_labels_are_those_of_the_plain_oracle(
    outcomes: list[tuple[int, int, int, int]],
    paid: list[tuple[int, int, int, int]],
    observed: list[tuple[int, int, int]],
    doubtful: bool,
    match: bool,
    starts: bool,
    fixed: bool,
    span: int,
    settle: int,
    absent: bool,
    moment: int,
) -> None:
    label = LabelSpec(
        "x",
        OutcomeRows("Arrears", BAD),
        indeterminate=OutcomeRows("Arrears", DOUBT) if doubtful else None,
        match="application" if match else None,
        starts_stream="Loan" if starts else None,
        starts_field="application" if starts else None,
        within_us=0 if fixed else span,
        settle_us=settle,
        until_us=span if fixed else None,
        absent=absent,
    )
    law = Law(
        kept=lambda fact: fact.number >= 30,
        doubtful=(lambda fact: fact.number >= 15) if doubtful else None,
        match=match,
        starts=starts,
        within=None if fixed else span,
        until=span if fixed else None,
        settle=settle,
        absent=absent,
    )
    streams = {**arrears(*outcomes), **loans(*(fact[:3] for fact in paid))}
    told, exposed = [Fact(*one) for one in outcomes], [Fact(*one) for one in paid]
    assert judged(label, streams, *observed, moment=moment) == [
        judge(law, told, exposed, *one, moment) for one in observed
    ]
