"""The oracle against values worked out by hand from the law."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from streamgauge.definitions.schema import NULL, FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, Tree, WindowSpec
from streamgauge.events.record import Record
from streamgauge.testing.records import record
from tests.oracles.conditions import judge as truth
from tests.oracles.events import Cut, judge
from tests.oracles.plain import operate, values

S = 1_000_000
DAY = 86_400 * S
STREAM = StreamSpec(
    "Movement",
    "id",
    "account",
    "at",
    (
        FieldSpec("amount", FieldKind.MONEY, decimals=2, required=False),
        FieldSpec("who", FieldKind.KEY, required=False),
        FieldSpec("place", FieldKind.CATEGORY, required=False),
    ),
    lateness_us=20 * S,
    tolerance_us=0,
)
FEED = replace(STREAM, feed=True)
TEN = WindowSpec("duration", 10 * S)
LIFE = WindowSpec("life")
OVER_ZERO = ("gt", ("field", "amount"), ("int", 0))
ALL = Cut(10**9)


def log(*events: tuple[Any, ...]) -> list[Record]:
    """Return one record for each (id, second, amount, who, place), known when it happens."""
    return [
        record(name, int(at * S), position=number, units=(*units, *[NULL] * (3 - len(units))))
        for number, (name, at, *units) in enumerate(events, start=1)
    ]


def moves(*amounts: tuple[float, int]) -> list[Record]:
    """Return one record for each (second, amount)."""
    return log(*((f"e{number}", at, amount) for number, (at, amount) in enumerate(amounts)))


def ask(
    records: list[Record],
    kind: str,
    t: float,
    *,
    cut: Cut = ALL,
    observed: str | None = None,
    stream: StreamSpec = STREAM,
    window: WindowSpec = TEN,
    **spec: Any,
) -> float | None:
    """Return one aggregate at a second."""
    aggregate = AggregateSpec(kind, "Movement", window, **spec)
    feature = FeatureSpec("F.f", ("agg", aggregate), "account")
    event = None if observed is None else ("Movement", observed)
    (value,) = values(records, [feature], {"Movement": stream}, {1: stream}, int(t * S), cut, event)
    return value


AMOUNT: dict[str, Any] = {"field": "amount", "decimals": 2}


def test_a_window_leaves_out_its_start_and_takes_in_its_end() -> None:
    #   0    5         10        15
    #   a              b         t: (5, 15] holds b only; at 10 (0, 10] holds b but not a
    records = moves((0, 100), (10, 250))
    assert ask(records, "sum", 9.999999, **AMOUNT) == 1.0
    assert ask(records, "sum", 10, **AMOUNT) == 2.5
    assert ask(records, "count", 19.999999) == 1.0
    assert ask(records, "count", 20) == 0.0


def test_a_late_event_is_seen_by_later_positions_only() -> None:
    #   happens   late a b          known   a b late
    records = [*moves((5, 100), (6, 200)), record("late", 4 * S, position=3, units=(400, NULL, NULL), known_at=9 * S)]
    assert ask(records, "first", 9, cut=Cut(2), **AMOUNT) == 1.0
    assert ask(records, "first", 9, cut=Cut(3), **AMOUNT) == 4.0
    assert ask(records, "first", 9, cut=Cut(3, 9 * S - 1), **AMOUNT) == 1.0
    assert ask(records, "first", 9, cut=Cut(2, 9 * S), **AMOUNT) == 1.0
    assert ask(records, "first", 9, cut=Cut(3, 9 * S), **AMOUNT) == 4.0


def test_the_live_revision_is_the_highest_visible_one() -> None:
    #   position   1 insert 1.00   2 revision 2: 3.00   3 revision 1: 2.00   4 revision 3: deleted
    unit = (NULL, NULL)
    records = [
        record("a", 0, position=1, units=(100, *unit)),
        record("a", 0, position=2, units=(300, *unit), revision=2),
        record("a", 0, position=3, units=(200, *unit), revision=1),
        record("a", 0, position=4, units=(0, *unit), revision=3, delete=True),
    ]
    assert [ask(records, "sum", 1, cut=Cut(k), **AMOUNT) for k in range(5)] == [0.0, 1.0, 3.0, 3.0, 0.0]


def test_a_delete_may_come_before_its_insert() -> None:
    records = [
        record("a", 0, position=1, units=(0, NULL, NULL), revision=1, delete=True),
        record("a", 0, position=2, units=(100, NULL, NULL)),
    ]
    assert judge(records, {1: STREAM})[0] == ["applied", "applied"]
    assert ask(records, "count", 1) == 0.0


def test_the_first_content_and_the_first_time_stand() -> None:
    first = record("a", 0, position=1, units=(100, NULL, NULL))
    again = record("a", 0, position=2, units=(100, NULL, NULL))
    other = record("a", 0, position=3, units=(200, NULL, NULL))
    moved = record("a", 5, position=4, units=(100, NULL, NULL), revision=1)
    records = [first, again, other, moved]
    assert judge(records, {1: STREAM})[0] == ["applied", "duplicate", "conflict", "identity_changed"]
    assert ask(records, "sum", 1, **AMOUNT) == 1.0


@pytest.mark.parametrize(
    ("known", "imported", "verdict", "count"),
    [(20.0, False, "identity_changed", 1), (20.000001, False, "applied", 2), (30.0, True, "identity_changed", 1)],
)
def test_an_id_is_forgotten_after_the_lateness_but_not_by_an_import(
    known: float, *, imported: bool, verdict: str, count: int
) -> None:
    #   0        … 20 │ 20.000001
    #   a   remembered│ forgotten: the same id is another event
    first = record("a", 0, position=1, units=(100, NULL, NULL))
    second = record("a", 15 * S, position=2, units=(100, NULL, NULL), known_at=int(known * S), imported=imported)
    assert judge([first, second], {1: STREAM})[0] == ["applied", verdict]
    assert ask([first, second], "count", 31, window=LIFE) == count


def test_an_import_is_known_when_it_says() -> None:
    #   position   1 (known 50)      2, imported (known 3)
    records = [
        *log(("a", 50, 100)),
        record("old", 2 * S, position=2, units=(7, NULL, NULL), known_at=3 * S, imported=True),
    ]
    assert ask(records, "count", 4, cut=Cut(1)) == 0.0
    assert ask(records, "count", 4, cut=Cut(2, 4 * S)) == 1.0


def test_no_data_is_not_nothing_happened() -> None:
    #   feed        (nothing) │ first record at 30
    records = moves((30, -100))
    assert ask(records, "count", 29, stream=FEED) is None
    assert ask(records, "count", 29) == 0.0
    assert ask(records, "sum", 30, stream=FEED, where=OVER_ZERO, **AMOUNT) == 0.0
    assert ask(records, "count", 99, stream=FEED) == 0.0
    assert ask(records, "distinct", 30, stream=FEED, prior=True, observed="e0", field="who") is None


def test_prior_leaves_out_the_observed_event_before_the_last_are_picked() -> None:
    #   1.00  2.00  4.00  8.00 (observed)
    records = moves((1, 100), (2, 200), (3, 400), (4, 800))
    window = WindowSpec("last", 10 * S, 2)
    assert ask(records, "sum", 4, window=window, **AMOUNT) == 12.0
    assert ask(records, "sum", 4, window=window, prior=True, observed="e3", **AMOUNT) == 6.0
    assert ask(records, "observed", 4, window=LIFE, observed="e3", **AMOUNT) == 8.0
    assert ask(records, "observed", 4, window=LIFE, **AMOUNT) is None


def test_where_filters_after_the_last_are_picked() -> None:
    #   1.00  2.00  −4.00  null        last 2: −4.00 and null
    records = moves((1, 100), (2, 200), (3, -400), (4, NULL))
    window = WindowSpec("last", 10 * S, 2)
    assert ask(records, "count", 4, window=window) == 2.0
    assert ask(records, "count", 4, window=window, where=OVER_ZERO) == 0.0
    assert ask(records, "mean", 4, window=window, **AMOUNT) == -4.0
    assert ask(records, "count", 13, window=window) == 1.0


def test_moments_are_those_of_the_definition() -> None:
    #   1.00  2.00  6.00: mean 3, variance (4 + 1 + 9) / 3
    records = moves((1, 100), (2, 200), (3, 600))
    assert ask(records, "mean", 5, **AMOUNT) == 3.0
    assert ask(records, "std", 5, **AMOUNT) == math.sqrt(3 * (100**2 + 200**2 + 600**2) - 900**2) / 300
    assert ask(records, "min", 5, **AMOUNT) == 1.0
    assert ask(records, "max", 5, **AMOUNT) == 6.0
    assert ask(records, "time_since_first", 5) == 4.0
    assert ask(records, "time_since_last", 5.5) == 2.5


def test_ties_are_ordered_by_sequence_then_by_the_bytes_of_the_id() -> None:
    records = [
        record("b", 0, position=1, units=(100, NULL, NULL)),
        record("é", 0, position=2, units=(200, NULL, NULL)),
        record("a", 0, position=3, units=(300, NULL, NULL), sequence=1),
        record("z", 0, position=4, units=(400, NULL, NULL)),
    ]
    picked = [ask(records, kind, 0, window=WindowSpec("last", 10 * S, n), **AMOUNT) for kind, n in
              (("first", 4), ("first", 3), ("first", 2), ("last", 1))]  # fmt: skip
    assert picked == [1.0, 4.0, 2.0, 3.0]


def test_gaps_take_the_nearest_rank() -> None:
    #   0 ─ 1 ─── 3 ─── 5 ────── 9        gaps 1, 2, 2, 4
    records = moves((0, 1), (1, 1), (3, 1), (5, 1), (9, 1))
    assert ask(records, "gap_median", 9.5) == 2.0
    assert ask(records, "gap_mean", 9.5) == 2.25
    assert ask(records, "gap_max", 9.5) == 4.0
    assert ask(records, "gap_std", 9.5) == math.sqrt(4 * 25 - 81) / 4
    #   from 10.5 on: 1 3 5 9: gaps 2, 2, 4; from 13.5 on: 5 and 9; then one event
    assert ask(records, "gap_mean", 13.5) == 4.0
    assert ask(records, "gap_mean", 15.5) is None


def test_shares_are_of_sums_or_of_rows_and_null_of_nothing() -> None:
    records = log(("a", 1, 300, 7), ("b", 2, -100, 8), ("c", 3, 100, 7), ("d", 4, NULL, 9))
    assert ask(records, "share", 5, subset=OVER_ZERO) == 0.5
    assert ask(records, "share", 5, subset=OVER_ZERO, **AMOUNT) == 4 / 3
    assert ask(records, "top_share", 5, key="who") == 0.5
    assert ask(records, "top_share", 5, key="who", **AMOUNT) == 4 / 3
    assert ask(records, "top_share", 12.5, key="who", **AMOUNT) == 1.0
    assert ask(records, "top_share", 13.5, key="who", **AMOUNT) is None
    assert ask(records, "distinct", 5, field="who") == 3.0
    minus_zero = ask(moves((1, -100)), "share", 5, subset=OVER_ZERO, **AMOUNT)
    assert minus_zero == 0.0
    assert math.copysign(1, minus_zero) == 1.0


def test_an_open_category_is_52_bits_of_its_hash() -> None:
    records = log(("a", 1, 0, NULL, -1), ("b", 2, 0, NULL, 5 << 12))
    assert ask(records, "first", 3, field="place") == 2.0**52 - 1
    assert ask(records, "last", 3, field="place") == 5.0


def least_squares(points: list[tuple[Fraction, Fraction]]) -> Fraction:
    """Return the slope of the line with the least squares, from deviations of the means."""
    mean_x, mean_y = (Fraction(sum(axis), len(points)) for axis in zip(*points, strict=True))
    rise = sum(((x - mean_x) * (y - mean_y) for x, y in points), Fraction())
    return rise / sum(((x - mean_x) ** 2 for x, _ in points), Fraction())


def test_the_slope_is_least_squares_per_day() -> None:
    amounts = [(1, 130), (2, -270), (4, 990), (7, 1010), (7, 4)]
    exact = least_squares([(Fraction(at, 86_400), Fraction(amount, 100)) for at, amount in amounts])
    assert ask(moves(*amounts), "slope", 9, **AMOUNT) == pytest.approx(float(exact), rel=1e-15)
    assert ask(moves((7, 1), (7.5, 3)), "slope", 7.6, **AMOUNT) is None  # both are 0 whole seconds old
    assert ask(moves((7, 1), (7.5, 3)), "slope", 8.1, **AMOUNT) == 0.02 * 86_400


def test_steps_are_counted_from_the_moment_backwards() -> None:
    #   (−10, 0]   (0, 10]   (10, 20]
    #        a │    b    c │  d          e is older than three steps
    records = moves((-15, 6400), (0, 100), (5, 200), (10, 400), (15, 1600))
    steps: dict[str, Any] = {"step": "sum", "times": 3, **AMOUNT}
    assert ask(records, "each", 20, summary="sum", **steps) == 23.0
    assert ask(records, "each", 20, summary="mean", **steps) == 2300 / 300
    assert ask(records, "each", 20, summary="min", **steps) == 1.0
    assert ask(records, "each", 20, summary="max", **steps) == 16.0
    assert ask(records, "each", 20, summary="below", threshold=600, **steps) == 1.0
    exact = least_squares([(Fraction(x), Fraction(y)) for x, y in ((0, 16), (-1, 6), (-2, 1))])
    assert ask(records, "each", 20, summary="slope", **steps) == float(exact)
    assert ask(records, "each", 20, summary="std", step="count", times=3) == math.sqrt(3 * 6 - 16) / 3


def test_steps_that_end_before_a_feeds_first_record_are_left_out() -> None:
    #   (−10, 0]  (0, 10]  (10, 20]
    #                   a                a at 10 keeps the step that ends then, a at 10.000001 does not
    steps: dict[str, Any] = {"step": "sum", "times": 3, **AMOUNT}
    assert ask(moves((10, 100)), "each", 20, summary="mean", stream=FEED, **steps) == 0.5
    assert ask(moves((10.000001, 100)), "each", 20, summary="mean", stream=FEED, **steps) == 1.0
    assert ask(moves((10, 100)), "each", 20, summary="mean", **steps) == 100 / 300
    assert ask(moves((10.000001, 100)), "each", 20, summary="slope", stream=FEED, **steps) is None
    assert ask(moves((30, 100)), "each", 20, summary="below", threshold=1, stream=FEED, **steps) is None
    assert ask(moves((30, 100)), "each", 20, summary="below", threshold=1, **steps) == 3.0


#   seconds    0    10      14   16     20 = t         the window is (10, 20]
#   level      2.00 ────────5.00─1.00───               carried in 10 to 6, then 6 to 4, then 4 to 0 seconds old
LEVEL = ((0, 200), (14, 500), (16, 100))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("mean", (2 * 4 + 5 * 2 + 1 * 4) / 10),
        ("std", math.sqrt(10 * (200**2 * 4 + 500**2 * 2 + 100**2 * 4) - 2200**2) / 1000),
        ("min", 1.0),
        ("max", 5.0),
        ("now", 1.0),
    ],
)
def test_a_level_weighs_time(kind: str, value: float) -> None:
    assert ask(moves(*LEVEL), f"level_{kind}", 20, **AMOUNT) == value


def test_a_level_counts_the_seconds_below_and_those_since() -> None:
    assert ask(moves(*LEVEL), "level_time_below", 20, threshold=300, **AMOUNT) == 8.0
    assert ask(moves(*LEVEL), "level_since_below", 20, threshold=101, **AMOUNT) == 0.0
    #   0.50 held until 12: within reach of 10 seconds at 21.999999, not at 22
    records = moves((0, 50), (12, 500))
    assert ask(records, "level_since_below", 21.5, threshold=100, **AMOUNT) == 9.5
    assert ask(records, "level_since_below", 22, threshold=100, **AMOUNT) is None
    assert ask(moves((30, 50)), "level_time_below", 20, threshold=100, **AMOUNT) is None


def test_a_level_replaced_at_its_own_time_never_held() -> None:
    records = moves((0, 200), (14, 900), (14, 500))
    assert ask(records, "level_max", 20, **AMOUNT) == 5.0
    assert ask(records, "level_max", 14, **AMOUNT) == 5.0


def test_a_level_shorter_than_a_second_held_but_weighs_nothing() -> None:
    records = moves((0, 200), (14.1, 900), (14.2, 500))
    assert ask(records, "level_max", 20, **AMOUNT) == 9.0
    assert ask(records, "level_mean", 20, **AMOUNT) == (200 * 5 + 500 * 5) / 1000
    assert ask(moves((19.5, 900)), "level_mean", 20, **AMOUNT) is None
    assert ask(moves((19.5, 900)), "level_min", 20, **AMOUNT) == 9.0


def step_slope(pieces: list[tuple[int, int, int]]) -> Fraction:
    """Return the least-squares slope of a step function over time, from its integrals: (value, start, end) each."""
    one = Fraction(sum(b - a for _, a, b in pieces))
    x = Fraction(sum(b**2 - a**2 for _, a, b in pieces), 2)
    xx = Fraction(sum(b**3 - a**3 for _, a, b in pieces), 3)
    v = Fraction(sum(value * (b - a) for value, a, b in pieces))
    xv = Fraction(sum(value * (b**2 - a**2) for value, a, b in pieces), 2)
    return (one * xv - x * v) / (one * xx - x**2)


@pytest.mark.parametrize(
    ("level", "pieces"),
    [
        (LEVEL, [(200, 10, 14), (500, 14, 16), (100, 16, 20)]),
        (LEVEL[1:], [(500, 14, 16), (100, 16, 20)]),  # the first value lies in the window: only its time is covered
    ],
)
def test_the_slope_of_a_level_is_least_squares_over_the_time_covered(
    level: tuple[tuple[float, int], ...], pieces: list[tuple[int, int, int]]
) -> None:
    exact = step_slope(pieces) * 86_400 / 100
    assert ask(moves(*level), "level_slope", 20, **AMOUNT) == pytest.approx(float(exact), rel=1e-15)


@pytest.mark.parametrize(
    ("tree", "value"),
    [
        (("gt", ("field", "a"), ("int", 0)), None),
        (("not", ("gt", ("field", "a"), ("int", 0))), None),
        (("and", ("gt", ("field", "a"), ("int", 0)), ("lt", ("field", "b"), ("int", 0))), False),
        (("or", ("gt", ("field", "a"), ("int", 0)), ("gt", ("field", "b"), ("int", 0))), True),
        (("or", ("gt", ("field", "a"), ("int", 0)), ("lt", ("field", "b"), ("int", 0))), None),
        (("in", ("field", "a"), (1, 2)), None),
        (("in", ("field", "b"), (1, 2)), True),
        (("is_null", ("field", "a")), True),
        (("eq", ("add", ("field", "b"), ("field", "a")), ("int", 2)), None),
        (("eq", ("mul", ("field", "b"), ("int", 3)), ("int", 6)), True),
    ],
)
def test_conditions_have_three_values(tree: Tree, value: bool | None) -> None:
    assert truth(tree, {"a": None, "b": 2}) is value


@pytest.mark.parametrize(
    ("op", "a", "b", "value"),
    [
        ("div", 1.0, 0.0, None),
        ("div", 0.0, -3.0, 0.0),
        ("mul", 1e200, 1e200, None),
        ("sub", None, 1.0, None),
        ("min", None, 1.0, None),
        ("coalesce", None, 1.0, 1.0),
        ("coalesce", 2.0, None, 2.0),
        ("max", 1.0, 3.0, 3.0),
    ],
)
def test_operations_give_finite_values_or_null(op: str, a: float | None, b: float | None, value: float | None) -> None:
    result = operate(op, a, b)
    assert result == value
    assert result is None or math.copysign(1, result) == 1.0


@pytest.mark.parametrize(
    ("q", "rank"), [(1, 1), (10**11, 1), (100_000_000_001, 2), (5 * 10**11, 5), (9 * 10**11, 9), (10**12, 10)]
)
def test_a_quantile_is_the_value_of_nearest_rank(q: int, rank: int) -> None:
    records = moves(*((1 + second / 2, 100 * value) for second, value in enumerate((7, 3, 9, 1, 10, 2, 8, 4, 6, 5))))

    assert ask(records, "quantile", 9, **AMOUNT, quantile=q) == rank


def test_a_streak_counts_back_from_the_newest_row_the_window_keeps() -> None:
    records = moves((1, 5), (2, -5), (3, 5), (4, 5), (5, 0), (6, 5))

    assert ask(records, "streak", 9, subset=OVER_ZERO) == 1.0
    assert ask(records, "streak", 9, subset=OVER_ZERO, where=("ne", ("field", "amount"), ("int", 0))) == 3.0
    assert ask(records, "streak", 5.5, subset=OVER_ZERO) == 0.0
    assert ask([], "streak", 5, subset=OVER_ZERO) == 0.0
    assert ask([], "streak", 5, subset=OVER_ZERO, stream=FEED) is None


def test_a_decayed_sum_halves_with_each_half_life_and_ends_after_forty() -> None:
    wide = {"window": WindowSpec("duration", 90 * S), "half_life_us": 2 * S, **AMOUNT}
    records = moves((1, 800), (3, 800))

    assert ask(records, "decayed_sum", 3, **wide) == 12.0
    assert ask(records, "decayed_sum", 3.9, **wide) == 12.0  # ages are whole seconds
    assert ask(records, "decayed_sum", 5, **wide) == 6.0
    assert ask(records, "decayed_sum", 79, **wide) == 8 * (2**23 + 2**24) / 2**62
    assert ask(records, "decayed_sum", 81, **wide) == ask(records[1:], "decayed_sum", 81, **wide)
    assert ask(records, "decayed_sum", 83, **wide) == 0.0


def test_a_step_without_a_row_drops_where_a_value_is_picked() -> None:
    #  (0, 10]: 2, 6   (10, 20]: none   (20, 30]: 4   as of 30
    records = moves((1, 200), (9, 600), (22, 400))
    steps = {"times": 3, **AMOUNT}

    assert ask(records, "each", 30, step="max", summary="mean", **steps) == 5.0
    assert ask(records, "each", 30, step="first", summary="min", **steps) == 2.0
    assert ask(records, "each", 30, step="last", summary="slope", **steps) == -1.0
    assert ask(records, "each", 30, step="min", summary="below", threshold=300, **steps) == 1.0
    assert ask(records, "each", 30, step="distinct", summary="min", times=3, field="amount") == 0.0
    assert ask(records, "each", 30, step="distinct", summary="max", times=3, field="amount") == 2.0
    assert ask([], "each", 30, step="max", summary="sum", **steps) is None
