"""Aggregates: what they become, and what is refused with its line."""

from __future__ import annotations

import pytest

from streamgauge.definitions.loader import load_source
from streamgauge.definitions.specs import AggregateSpec, WindowSpec
from tests.definitions.conftest import STREAMS, Refusal

DAY = 86_400_000_000
DAYS_7 = WindowSpec("duration", 7 * DAY)
LIFE = WindowSpec("life")


def aggregate(expression: str, reach: str = "") -> AggregateSpec:
    keyword = f", reach={reach!r}" if reach else ""
    source = f"{STREAMS}\nclass C(sg.Features, entity=Movement.account{keyword}):\n    x = {expression}\n"
    node, spec = load_source(source).features["C.x"].expression
    assert node == "agg"
    assert isinstance(spec, AggregateSpec)
    return spec


SPECS = {
    "Movement.all.count(over='7d')": AggregateSpec("count", "Movement", DAYS_7),
    "Movement.prior.count(over='7d')": AggregateSpec("count", "Movement", DAYS_7, prior=True),
    "Movement.all.sum(Movement.amount, over='life')": AggregateSpec(
        "sum", "Movement", LIFE, field="amount", decimals=2
    ),
    "Movement.all.mean(Movement.paid, over='1w')": AggregateSpec("mean", "Movement", DAYS_7, field="paid"),
    "Movement.all.std(Movement.rate, over='7d')": AggregateSpec("std", "Movement", DAYS_7, field="rate", decimals=4),
    "Movement.all.slope(Movement.days, over='7d')": AggregateSpec("slope", "Movement", DAYS_7, field="days"),
    "Movement.all.min(Movement.days, over='7d')": AggregateSpec("min", "Movement", DAYS_7, field="days"),
    "Movement.all.max(Movement.days, over='7d')": AggregateSpec("max", "Movement", DAYS_7, field="days"),
    "Movement.all.first(Movement.kind, over='7d')": AggregateSpec("first", "Movement", DAYS_7, field="kind"),
    "Movement.all.last(Movement.country, over='7d')": AggregateSpec("last", "Movement", DAYS_7, field="country"),
    "Movement.all.time_since_last(over='7d')": AggregateSpec("time_since_last", "Movement", DAYS_7),
    "Movement.all.time_since_first(over='life')": AggregateSpec("time_since_first", "Movement", LIFE),
    "Movement.all.distinct(Movement.payee, over='7d')": AggregateSpec("distinct", "Movement", DAYS_7, field="payee"),
    "Movement.all.share(Movement.paid, over='7d')": AggregateSpec(
        "share", "Movement", DAYS_7, subset=("eq", ("field", "paid"), ("int", 1))
    ),
    "Movement.all.top_share(Movement.payee, of=Movement.amount, over='7d')": AggregateSpec(
        "top_share", "Movement", DAYS_7, field="amount", decimals=2, key="payee"
    ),
    "Movement.all.gap('median', over='7d')": AggregateSpec("gap_median", "Movement", DAYS_7),
    "Movement.all.level(Movement.amount).mean(over='7d')": AggregateSpec(
        "level_mean", "Movement", DAYS_7, field="amount", decimals=2
    ),
    "Movement.all.level(Movement.amount).time_below(1.5, over='7d')": AggregateSpec(
        "level_time_below", "Movement", DAYS_7, field="amount", decimals=2, threshold=150
    ),
    "Movement.all.level(Movement.amount).since_below(0, reach='7d')": AggregateSpec(
        "level_since_below", "Movement", DAYS_7, field="amount", decimals=2
    ),
    "Movement.all.level(Movement.amount).now()": AggregateSpec(
        "level_now", "Movement", LIFE, field="amount", decimals=2
    ),
    "Movement.all.each('7d', times=4).count().mean()": AggregateSpec(
        "each", "Movement", DAYS_7, times=4, step="count", summary="mean"
    ),
    "Movement.all.each('7d', times=4).sum(Movement.amount).below(-1)": AggregateSpec(
        "each", "Movement", DAYS_7, field="amount", decimals=2, times=4, step="sum", summary="below", threshold=-100
    ),
    "Movement.all.median(Movement.amount, over='7d')": AggregateSpec(
        "quantile", "Movement", DAYS_7, field="amount", decimals=2, quantile=5 * 10**11
    ),
    "Movement.all.quantile(Movement.amount, 0.1, over='7d')": AggregateSpec(
        "quantile", "Movement", DAYS_7, field="amount", decimals=2, quantile=10**11
    ),
    "Movement.all.quantile(Movement.days, 1, over='7d')": AggregateSpec(
        "quantile", "Movement", DAYS_7, field="days", quantile=10**12
    ),
    "Movement.all.streak(Movement.paid, over='7d')": AggregateSpec(
        "streak", "Movement", DAYS_7, subset=("eq", ("field", "paid"), ("int", 1))
    ),
    "Movement.all.decayed_sum(Movement.amount, half_life='1d', over='7d')": AggregateSpec(
        "decayed_sum", "Movement", DAYS_7, field="amount", decimals=2, half_life_us=DAY
    ),
    "Movement.all.each('7d', times=4).max(Movement.amount).mean()": AggregateSpec(
        "each", "Movement", DAYS_7, field="amount", decimals=2, times=4, step="max", summary="mean"
    ),
    "Movement.all.each('7d', times=4).distinct(Movement.payee).below(2)": AggregateSpec(
        "each", "Movement", DAYS_7, field="payee", times=4, step="distinct", summary="below", threshold=2
    ),
    "Movement.all.count(over='last 3', reach='7d')": AggregateSpec("count", "Movement", WindowSpec("last", 7 * DAY, 3)),
}


@pytest.mark.parametrize("expression", SPECS)
def test_an_aggregate_becomes_its_spec(expression: str) -> None:
    assert aggregate(expression) == SPECS[expression]


def test_a_class_lends_its_reach_to_what_looks_back() -> None:
    assert aggregate("Movement.all.count(over='last 3')", reach="7d").window == WindowSpec("last", 7 * DAY, 3)
    assert aggregate("Movement.all.level(Movement.amount).since_below(0)", reach="7d").window == DAYS_7
    assert aggregate("Movement.all.count(over='last 3', reach='2d')", reach="7d").window.width_us == 2 * DAY


def test_a_window_of_a_list_names_its_column() -> None:
    source = f"{STREAMS}\nclass C(sg.Features, entity=Movement.account, reach='9d'):\n"
    source += "    n = Movement.all.count(over=['1d', 'last 3', 'life'])\n    m = Movement.all.count(over='last 3')\n"

    assert list(load_source(source).features) == ["C.n_1d", "C.n_last_3", "C.n_life", "C.m"]


MISTAKES = {
    "sum of a key": (
        "all.sum(Movement.payee, over='7d')",
        "Movement.payee is a Key, which has ==, !=, is_in, distinct",
    ),
    "sum of a category": ("all.sum(Movement.kind, over='7d')", "sum takes a number"),
    "min of a key": ("all.min(Movement.payee, over='7d')", "min takes a number"),
    "min of an open category": ("all.min(Movement.country, over='7d')", "open and has no order"),
    "last of a reference": ("all.last(Movement.payee, over='7d')", "Movement.payee is a Key"),
    "level of a category": ("all.level(Movement.kind)", "level takes a number"),
    "slope of a key": ("all.slope(Movement.payee, over='7d')", "slope takes a number"),
    "top_share of a number": ("all.top_share(Movement.amount, over='7d')", "takes a Key, Ref or Category"),
    "share of a key": ("all.share(Movement.paid, of=Movement.payee, over='7d')", "share of takes a number"),
    "share without a condition": ("all.share(Movement.amount, over='7d')", "share takes a condition"),
    "other stream": ("all.sum(Application.amount, over='7d')", "Application.amount is of another stream"),
    "no field": ("all.sum('amount', over='7d')", "sum takes a field such as Movement.amount, not 'amount'"),
    "entity": ("all.distinct(Movement.account, over='7d')", "Movement.account is the event's Entity"),
    "unit": ("all.count(over='7 days')", "Window '7 days' is not understood"),
    "number": ("all.count(over=7)", "Window 7 is not understood"),
    "nothing": ("all.count(over='0d')", "longer than nothing"),
    "too long": ("all.count(over='10001d')", "longer than 10000d"),
    "last none": ("all.count(over='last 0')", "Window 'last 0' is not understood"),
    "no windows": ("all.count(over=[])", "over= is an empty list"),
    "window twice": ("all.count(over=['7d', '7d'])", 'Window "7d" is listed twice'),
    "undeclared window": ("all.count(over=['7d', '30d'])['60d']", 'Window "60d" is not declared. Did you mean "30d"?'),
    "gap": ("all.gap('medan', over='7d')", 'gap has no "medan". Did you mean "median"?'),
    "life of distinct": ("all.distinct(Movement.payee, over='life')", 'distinct has no "life" window'),
    "life of top_share": ("all.top_share(Movement.payee, over='life')", 'top_share has no "life" window'),
    "life of gap": ("all.gap('max', over='life')", 'gap_max has no "life" window'),
    "life of slope": ("all.slope(Movement.days, over='life')", 'slope has no "life" window'),
    "life of a level": ("all.level(Movement.amount).mean(over='life')", 'mean has no "life" window'),
    "last of a level": ("all.level(Movement.amount).mean(over='last 3')", "A level weighs time"),
    "long level std": ("all.level(Movement.amount).std(over='121d')", "longer than 120d"),
    "long level slope": ("all.level(Movement.amount).slope(over='366d')", "longer than 365d"),
    "threshold": ("all.level(Movement.amount).time_below(0.001, over='7d')", "more decimals than Movement.amount"),
    "since below": ("all.level(Movement.amount).since_below(0.001)", "more decimals than Movement.amount"),
    "life of a median": ("all.median(Movement.amount, over='life')", 'median has no "life" window'),
    "life of a quantile": ("all.quantile(Movement.amount, 0.9, over='life')", 'quantile has no "life" window'),
    "life of a streak": ("all.streak(Movement.paid, over='life')", 'streak has no "life" window'),
    "life of a decay": ("all.decayed_sum(Movement.amount, half_life='1d', over='life')", 'decayed_sum has no "life"'),
    "quantile of nothing": ("all.quantile(Movement.amount, 0, over='7d')", "q above 0 and at most 1, not 0"),
    "percentile": ("all.quantile(Movement.amount, 95, over='7d')", "q above 0 and at most 1, not 95"),
    "long quantile": ("all.quantile(Movement.amount, 1 / 3, over='7d')", "more than 12 decimals"),
    "quantile of a text": ("all.quantile(Movement.amount, '0.9', over='7d')", "quantile cannot go with '0.9'"),
    "median of a key": ("all.median(Movement.payee, over='7d')", "median takes a number"),
    "streak of a number": ("all.streak(Movement.amount, over='7d')", "streak takes a condition"),
    "half a day": ("all.decayed_sum(Movement.amount, half_life='half', over='7d')", "half_life 'half' is no duration"),
    "faded": (
        "all.decayed_sum(Movement.amount, half_life='1d', over='41d')",
        'decayed_sum over "41d" looks back more than 40 half-lives',
    ),
    "no steps": ("all.each('7d', times=0)", "times=0; it may be 1 to 128"),
    "too many steps": ("all.each('7d', times=129)", "times=129; it may be 1 to 128"),
    "median step": ("all.each('7d', times=2).median(Movement.amount)", 'Each has no "median"'),
    "last as a step": ("all.each('last 3', times=2)", "The step of each 'last 3' is no duration"),
    "long steps": ("all.each('3650d', times=3)", "further back than 10000d"),
    "sum of a key in steps": ("all.each('7d', times=2).sum(Movement.payee)", "sum takes a number"),
    "slope of a step": ("all.each('7d', times=1).count().slope()", "at least two steps"),
    "step threshold": ("all.each('7d', times=2).count().below(0.5)", "more decimals than count"),
    "unknown aggregate": ("all.cuont(over='7d')", 'Rows has no "cuont". Did you mean "count"?'),
    "unknown keyword": ("all.count(ovr='7d')", 'Did you mean "over"?'),
}


@pytest.mark.parametrize(("expression", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistaken_aggregate_is_named_with_its_line(expression: str, message: str, refusal: Refusal) -> None:
    assert message in refusal(f"x = Movement.{expression}  # <-\n").message


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("count(over='last 3')", '"last 3" needs a reach'),
        ("level(Movement.amount).since_below(0)", "since_below needs"),
    ],
)
def test_what_looks_back_needs_a_reach(expression: str, what: str, refusal: Refusal) -> None:
    error = refusal(
        f"""
        class C(sg.Features, entity=Movement.account):
            n = Movement.all.count(over="7d")
            x = Movement.all.{expression}  # <-
        """
    )

    assert what in error.message


def test_a_mistake_is_placed_on_the_line_of_its_argument(refusal: Refusal) -> None:
    refusal(
        """
        x = Movement.all.sum(
            Movement.amount,
            over=[],  # <-
        )
        """
    )
