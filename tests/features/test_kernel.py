"""The kernel on hand-drawn timelines: one character a day, `t` is the moment, `(` and `]` the window's edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import njit, types

from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, WindowSpec
from streamgauge.features import expressions
from streamgauge.features.kernels import stream as kernel
from streamgauge.features.kernels.moments import fold_into, merge_before
from streamgauge.features.kernels.opcodes import FOLD_WIDTH
from tests.features.direct import DAY, SECOND, Happening, bind_aggregates, kernel_values

NULL = math.nan
FIELDS = (
    FieldSpec("x", FieldKind.MONEY, decimals=2, required=False),
    FieldSpec("kind", FieldKind.CATEGORY, levels=("a", "b"), required=False),
    FieldSpec("city", FieldKind.CATEGORY, required=False),
)
LIFE = WindowSpec("life")


def days(width: float) -> WindowSpec:
    return WindowSpec("duration", round(width * DAY))


def compute(
    spec: AggregateSpec,
    events: list[Happening],
    t: float,
    *,
    observed: int | None = None,
    folded: int = 0,
    feed: bool = False,
) -> float:
    stream = StreamSpec("Move", "id", "account", "at", FIELDS, lateness_us=DAY, tolerance_us=0, feed=feed)
    (value,) = kernel_values(bind_aggregates(stream, [spec]), events, round(t * DAY), observed, folded)
    return value


def same(got: float, expected: float) -> bool:
    return np.float64(got).tobytes() == np.float64(expected).tobytes()


def moves(*timeline: tuple[float, int | None]) -> list[Happening]:
    """Return events from (day, units of x)."""
    return [Happening(round(day * DAY), {} if x is None else {"x": x}) for day, x in timeline]


# day   0   1   2   3   4   5
#       a   b       c   d
#           (               ]t      three days: b lies exactly on t − w and is out
FOUR = moves((0, 100), (2, 200), (3, 400), (4, None))


@pytest.mark.parametrize(
    ("kind", "field", "expected"),
    [
        ("count", None, 2.0),
        ("count", "x", 1.0),
        ("sum", "x", 4.0),
        ("mean", "x", 4.0),
        ("std", "x", 0.0),
        ("time_since_first", None, 2 * 86_400.0),
        ("time_since_last", None, 86_400.0),
    ],
)
def test_a_window_is_open_at_its_start(kind: str, field: str | None, expected: float) -> None:
    assert same(compute(AggregateSpec(kind, "Move", days(3), field=field, decimals=2), FOUR, 5), expected)


def test_a_window_is_closed_at_its_end() -> None:
    # day   0   1   2   3   4
    #       a       b   c   d
    #           (       ]t          c lies exactly on t and is in, d is in the future
    assert compute(AggregateSpec("count", "Move", days(2)), FOUR, 3) == 2.0


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("count", 0.0), ("sum", 0.0), ("distinct", 0.0), ("mean", NULL), ("std", NULL), ("min", NULL), ("last", NULL)],
)
def test_an_empty_window_is_zero_or_null_as_the_law_says(kind: str, expected: float) -> None:
    spec = AggregateSpec(kind, "Move", days(1), field="x", decimals=2)
    assert same(compute(spec, FOUR, 9), expected)
    assert same(compute(spec, [], 9), expected)


def test_a_feed_is_silent_before_its_first_event_whatever_where_keeps() -> None:
    # day   0   1   2   3
    #       t0      a   t1
    spec = AggregateSpec("count", "Move", days(1), where=("gt", ("field", "x"), ("int", 10**6)))
    events = moves((2, 5))
    assert same(compute(spec, events, 0, feed=True), NULL)
    assert same(compute(spec, events, 3, feed=True), 0.0)
    assert same(compute(spec, events, 9, feed=True, folded=1), 0.0)


def test_with_prior_a_feed_is_silent_at_its_first_event() -> None:
    spec = AggregateSpec("count", "Move", days(9), prior=True)
    assert same(compute(spec, moves((2, 5)), 2, observed=0, feed=True), NULL)
    assert same(compute(spec, moves((2, 5), (2, 6)), 2, observed=0, feed=True), 1.0)


def test_last_n_drops_the_observed_event_before_it_picks_and_nulls_after() -> None:
    # day   0   1   2   3   4   5
    #       1   2   3   -   5*
    events = moves((0, 100), (1, 200), (2, 300), (3, None), (4, 500))
    newest = WindowSpec("last", 100 * DAY, 3)
    assert compute(AggregateSpec("sum", "Move", newest, field="x", decimals=2), events, 5) == 8.0
    prior = AggregateSpec("sum", "Move", newest, prior=True, field="x", decimals=2)
    assert compute(prior, events, 5, observed=4) == 5.0
    assert compute(prior, events, 5, observed=1) == 8.0


def test_last_n_looks_no_further_than_its_reach() -> None:
    # day   0   1   2   3
    #       a   b   c   t     reach of two days: b lies on its edge
    assert (
        compute(AggregateSpec("count", "Move", WindowSpec("last", 2 * DAY, 3)), moves((0, 1), (1, 1), (2, 1)), 3) == 1.0
    )


def test_ties_are_ordered_as_they_stand() -> None:
    events = moves((1, 100), (1, 300), (1, 200))
    for kind, expected in (("first", 1.0), ("last", 2.0)):
        assert compute(AggregateSpec(kind, "Move", days(3), field="x", decimals=2), events, 1) == expected


def test_life_goes_on_over_folded_events() -> None:
    events = moves((0, -100), (1, 500), (2, None), (300, 300))
    for kind in ("count", "sum", "mean", "std", "min", "max", "first", "last", "time_since_first", "time_since_last"):
        spec = AggregateSpec(kind, "Move", LIFE, field="x", decimals=2)
        whole = compute(spec, events, 400)
        assert [compute(spec, events, 400, folded=count) for count in (1, 2, 3, 4)] == [whole] * 4


def test_gaps_are_between_kept_events_only() -> None:
    # day   0   1   2   3   4   5   6   7
    #       a       b                   c       gaps of 2 and 5 days
    events = moves((0, 1), (1, -1), (2, 1), (7, 1))
    where = ("gt", ("field", "x"), ("int", 0))
    got = [
        compute(AggregateSpec(f"gap_{kind}", "Move", days(30), where), events, 9) / 86_400
        for kind in ("mean", "median", "max", "std")
    ]
    assert got == [3.5, 2.0, 5.0, 1.5]
    assert same(compute(AggregateSpec("gap_max", "Move", days(3), where), events, 9), NULL)


def test_the_median_gap_takes_the_lower_of_two_and_holds_for_many() -> None:
    rng = np.random.default_rng(7)
    gaps = rng.integers(0, 50, 501) * SECOND
    events = [Happening(int(time)) for time in np.cumsum(gaps)]
    got = compute(AggregateSpec("gap_median", "Move", days(30)), events, 2)
    assert got == sorted(gaps[1:])[249] / 1e6


def test_a_slope_needs_two_moments() -> None:
    spec = AggregateSpec("slope", "Move", days(9), field="x", decimals=2)
    assert same(compute(spec, moves((1, 100), (1, 900)), 3), NULL)
    assert compute(spec, moves((1, 100), (3, 500)), 3) == pytest.approx(2.0, rel=1e-15)


def test_a_share_of_nothing_is_null_and_no_zero_is_negative() -> None:
    subset = ("gt", ("field", "x"), ("int", 0))
    spec = AggregateSpec("share", "Move", days(9), field="x", decimals=2, subset=subset)
    assert same(compute(spec, moves((1, 100), (2, -100)), 3), NULL)
    assert same(compute(spec, moves((1, -100)), 3), 0.0)
    assert same(compute(spec, moves((1, 300), (2, -100)), 3), 1.5)


def test_the_top_share_and_distinct_hold_for_many_keys() -> None:
    events = [
        Happening(number * SECOND, {"x": 1 + (number % 97 == 5), "city": number % 97 - 48}) for number in range(970)
    ]
    assert compute(AggregateSpec("distinct", "Move", days(9), field="city"), events, 1) == 97.0
    top = AggregateSpec("top_share", "Move", days(9), field="x", decimals=2, key="city")
    assert compute(top, events, 1) == 20 / 980


def test_a_closed_category_is_its_level_and_an_open_one_52_bits_of_its_hash() -> None:
    digest = -0x123456789ABCDEF
    events = [Happening(DAY, {"kind": 1, "city": digest})]
    assert compute(AggregateSpec("last", "Move", days(9), field="kind"), events, 2) == 1.0
    assert compute(AggregateSpec("last", "Move", days(9), field="city"), events, 2) == float(
        (digest >> 12) & (2**52 - 1)
    )
    assert compute(AggregateSpec("observed", "Move", LIFE, field="city"), events, 2, observed=0) == float(
        (digest >> 12) & (2**52 - 1)
    )


def test_an_observed_field_is_null_where_nothing_is_observed() -> None:
    spec = AggregateSpec("observed", "Move", LIFE, field="x", decimals=2)
    assert compute(spec, moves((1, 250)), 2, observed=0) == 2.5
    assert same(compute(spec, moves((1, 250)), 2), NULL)
    assert same(compute(spec, moves((1, None)), 2, observed=0), NULL)


# day      0   1   2   3   4   5   6   7
# x        4───────────┐
#                     -2───────┐
#                              8──────t
#                 (             ]          five days: 4 is carried in for one of them
LEVEL = moves((0, 400), (3, -200), (5, 800))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mean", (4 * 1 - 2 * 2 + 8 * 2) / 5),
        ("min", -2.0),
        ("max", 8.0),
        ("time_below", 2 * 86_400.0),
        ("since_below", 2 * 86_400.0),
        ("now", 8.0),
    ],
)
def test_a_level_weighs_the_time_its_values_hold(kind: str, expected: float) -> None:
    spec = AggregateSpec(f"level_{kind}", "Move", days(5), field="x", decimals=2)
    assert compute(spec, LEVEL, 7) == expected
    assert compute(spec, LEVEL, 7, folded=1) == expected


def test_a_value_set_exactly_at_the_start_is_carried_in_and_counts_whole() -> None:
    # day      0   3   5   7
    #              (       ]t      four days: 4 was replaced at t − w and weighs nothing
    spec = AggregateSpec("level_max", "Move", days(2), field="x", decimals=2)
    assert compute(spec, moves((0, 900), (5, 800)), 7) == 8.0


def test_before_its_first_value_a_level_weighs_nothing() -> None:
    spec = AggregateSpec("level_mean", "Move", days(30), field="x", decimals=2)
    assert compute(spec, LEVEL, 7) == (4 * 3 - 2 * 2 + 8 * 2) / 7
    for kind in ("mean", "std", "slope", "min", "max", "time_below", "since_below", "now"):
        assert same(compute(AggregateSpec(f"level_{kind}", "Move", days(30), field="x", decimals=2), [], 7), NULL)
    assert same(compute(spec, LEVEL, 0), NULL)  # set this moment: no covered time yet
    assert compute(AggregateSpec("level_min", "Move", days(30), field="x", decimals=2), LEVEL, 0) == 4.0


def test_a_value_replaced_at_the_same_moment_never_held() -> None:
    spec = AggregateSpec("level_min", "Move", days(9), field="x", decimals=2)
    assert compute(spec, moves((1, 500), (1, -900), (1, 300), (2, 700)), 4) == 3.0


def test_a_level_slope_is_least_squares_over_time() -> None:
    spec = AggregateSpec("level_slope", "Move", days(30), field="x", decimals=2)
    events = moves((0, 0), (1, 100), (2, 200), (3, 300))
    grid = (np.arange(4000) + 0.5) / 1000
    assert compute(spec, events, 4) == pytest.approx(np.polyfit(grid, np.floor(grid), 1)[0], rel=1e-6)


def test_since_below_forgets_beyond_its_reach() -> None:
    # day      0   1   2   3   4   5
    #         -1   2───────────────t
    events = moves((0, -100), (1, 200))
    assert (
        compute(AggregateSpec("level_since_below", "Move", days(5), field="x", decimals=2), events, 5) == 4 * 86_400.0
    )
    assert same(compute(AggregateSpec("level_since_below", "Move", days(4), field="x", decimals=2), events, 5), NULL)
    assert same(compute(AggregateSpec("level_since_below", "Move", days(4), field="x", decimals=2), events, 0.5), 0.0)


def each(summary: str, *, threshold: int = 0) -> AggregateSpec:
    return AggregateSpec(
        "each",
        "Move",
        days(2),
        field="x",
        decimals=2,
        times=3,
        step="sum",
        summary=summary,  # type: ignore[arg-type]
        threshold=threshold,
    )


# day      0   1   2   3   4   5   6
#              1   2   -4      8   t
#          (       ](      ](      ]       steps newest first: 8, −4, 3; the event on day 2 ends the oldest
STEPS = moves((1, 100), (2, 200), (3, -400), (5, 800))


@pytest.mark.parametrize(
    ("summary", "expected"),
    [("sum", 7.0), ("mean", 7 / 3), ("min", -4.0), ("max", 8.0), ("slope", 2.5), ("below", 1.0)],
)
def test_each_summarizes_its_steps(summary: str, expected: float) -> None:
    assert compute(each(summary), STEPS, 6) == expected


def test_steps_without_rows_are_zero_but_those_before_a_feed_began_drop() -> None:
    # day      0   1   2   3   4   5   6
    #                              8   t       only the newest step ends after the feed's first event
    events = moves((5, 800))
    assert compute(each("mean"), events, 6) == 8 / 3
    assert compute(each("mean"), events, 6, feed=True) == 8.0
    assert same(compute(each("slope"), events, 6, feed=True), NULL)
    assert compute(each("below", threshold=1), events, 6) == 2.0
    assert compute(each("below", threshold=1), events, 6, feed=True) == 0.0
    assert same(compute(each("sum"), [], 6, feed=True), NULL)


def test_a_feed_that_began_at_the_very_end_of_a_step_has_that_step() -> None:
    assert compute(each("mean"), moves((4, 600)), 6, feed=True) == 3.0


def test_a_step_too_large_for_exact_squares_makes_its_feature_null() -> None:
    limit = [Happening(DAY, {"x": 2**40}) for _ in range(2**16)]
    assert compute(each("max"), limit, 2) == 2**56 / 100
    assert same(compute(each("max"), [*limit, Happening(DAY, {"x": 1})], 2), NULL)


def test_large_moments_stay_exact() -> None:
    values = [2**40, 2**40 - 1, -(2**40), 2**40 - 3] * 50
    n, total, squares = len(values), sum(values), sum(value * value for value in values)
    events = [Happening(DAY, {"x": value}) for value in values]
    expected = math.sqrt(float(n * squares - total * total)) / float(n * 100)
    assert compute(AggregateSpec("std", "Move", days(9), field="x", decimals=2), events, 2) == expected


def test_summaries_of_neighbouring_rows_merge_into_that_of_all() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(-(2**40), 2**40, 40)
    whole, parts = np.zeros((1, FOLD_WIDTH), np.int64), np.zeros((4, FOLD_WIDTH), np.int64)
    for number, value in enumerate(values):
        fold_into(whole, 0, number, int(value))
        fold_into(parts, 0 if number < 13 else 2, number, int(value))  # parts 1 and 3 stay empty
    merged = np.zeros(FOLD_WIDTH, np.int64)
    for part in (3, 2, 1, 0):
        merge_before(parts, part, merged, 0)
    assert merged.tolist() == whole[0].tolist()


def test_no_instruction_of_the_kernel_fuses_a_product_with_a_sum() -> None:
    values = types.float64(
        types.int64[:, ::1], types.int64, types.int64, types.int64, types.int64, types.int64, types.int64[::1]
    )
    for compiled, signature in ((kernel._value, values), (expressions.finish, expressions.finish.signatures[0])):
        fresh = njit(signature, error_model="numpy")(compiled.py_func)  # code from the cache cannot be looked into
        for assembly in fresh.inspect_asm().values():
            assert "sqrtsd" in assembly or "divsd" in assembly or "fdiv" in assembly
            assert "fmadd" not in assembly
            assert "fmsub" not in assembly
