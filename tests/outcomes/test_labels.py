import numpy as np

from streamgauge.definitions.schema import NULL, FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import LabelSpec, OutcomeRows
from streamgauge.outcomes.events import StreamEvents
from streamgauge.outcomes.labels import LABELS, judge_labels

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
