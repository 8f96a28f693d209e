"""Every aggregate, over random events on a coarse clock (ties, edges exactly on t − w), against Python's integers."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, WindowSpec
from tests.features.direct import SECOND, Happening, bind_aggregates, direct, kernel_values

FIELDS = (
    FieldSpec("amount", FieldKind.MONEY, decimals=2, required=False),
    FieldSpec("balance", FieldKind.MONEY, decimals=2, required=False),
    FieldSpec("kind", FieldKind.CATEGORY, levels=("a", "b", "c"), required=False),
    FieldSpec("who", FieldKind.KEY, required=False),
)
STREAMS = {
    feed: StreamSpec("Move", "id", "account", "at", FIELDS, lateness_us=SECOND, tolerance_us=0, feed=feed)
    for feed in (False, True)
}
WHERES = [None, ("gt", ("field", "amount"), ("int", 0)), ("in", ("field", "kind"), (0, 2))]
SUBSET = ("eq", ("field", "kind"), ("int", 0))
WINDOWS = [
    WindowSpec("duration", 10 * SECOND),
    WindowSpec("duration", 30 * SECOND + 1),
    WindowSpec("last", 20 * SECOND, 3),
]
LIFE = WindowSpec("life")
STEPS = [("count", None), ("distinct", "who"), *((step, "amount") for step in ("sum", "min", "max", "first", "last"))]


def catalogue() -> list[AggregateSpec]:
    specs = []
    for where, prior in itertools.product(WHERES, [False, True]):
        for window in [*WINDOWS, LIFE]:
            specs += [AggregateSpec(kind, "Move", window, where, prior) for kind in ("count", "time_since_last")]
            specs += [AggregateSpec("time_since_first", "Move", window, where, prior)]
            specs += [
                AggregateSpec(kind, "Move", window, where, prior, "amount", 2)
                for kind in ("sum", "mean", "std", "min", "max", "first", "last")
            ]
            specs += [AggregateSpec("last", "Move", window, where, prior, "kind")]
            specs += [
                AggregateSpec("share", "Move", window, where, prior, name, 2 if name else 0, subset=SUBSET)
                for name in (None, "amount")
            ]
        for window in WINDOWS:
            specs += [AggregateSpec("distinct", "Move", window, where, prior, "who")]
            specs += [
                AggregateSpec("top_share", "Move", window, where, prior, name, 2 if name else 0, key="who")
                for name in (None, "amount")
            ]
            specs += [
                AggregateSpec(f"gap_{kind}", "Move", window, where, prior) for kind in ("mean", "median", "max", "std")
            ]
            specs += [AggregateSpec("slope", "Move", window, where, prior, "amount", 2)]
            specs += [AggregateSpec("streak", "Move", window, where, prior, subset=SUBSET)]
            specs += [
                AggregateSpec("quantile", "Move", window, where, prior, "amount", 2, quantile=q)
                for q in (5 * 10**11, 1, 10**12)
            ]
            specs += [AggregateSpec("decayed_sum", "Move", window, where, prior, "amount", 2, half_life_us=SECOND)]
        for window in WINDOWS[:2]:
            specs += [
                AggregateSpec(f"level_{kind}", "Move", window, where, prior, "balance", 2, threshold=5)
                for kind in ("mean", "min", "max", "std", "slope", "time_below", "since_below")
            ]
        specs += [AggregateSpec("level_now", "Move", LIFE, where, prior, "balance", 2)]
        for summary, (step, name) in itertools.product(("sum", "mean", "std", "min", "max", "slope", "below"), STEPS):
            decimals = 0 if step in {"count", "distinct"} else 2
            window = WindowSpec("duration", 10 * SECOND)
            below = 2 if summary == "below" else 0
            specs += [
                AggregateSpec(
                    "each",
                    "Move",
                    window,
                    where,
                    prior,
                    name,
                    decimals,
                    times=4,
                    step=step,  # type: ignore[arg-type]
                    summary=summary,  # type: ignore[arg-type]
                    threshold=below,
                )
            ]
    return [*specs, AggregateSpec("observed", "Move", LIFE, field="amount", decimals=2)]


SPECS = catalogue()
BOUND = {feed: bind_aggregates(stream, SPECS) for feed, stream in STREAMS.items()}
HORIZON = 40 * SECOND

MOMENT = st.builds(
    lambda second, part: second * SECOND + part, st.integers(0, 70), st.sampled_from([0, 0, 0, 1, 500_000])
)
VALUE = st.one_of(st.integers(-20, 20), st.sampled_from([2**40, -(2**40), 12_345_678_901]))
EVENT = st.builds(
    Happening,
    MOMENT,
    st.fixed_dictionaries(
        {},
        optional={
            "amount": VALUE,
            "balance": VALUE,
            "kind": st.integers(0, 2),
            "who": st.sampled_from([3, -5, 2**62, -(2**62) - 1]),
        },
    ),
)


@settings(max_examples=300)
@given(st.lists(EVENT, max_size=14), MOMENT, st.booleans(), st.integers(0, 20), st.integers(0, 20))
def test_the_kernel_gives_the_bits_of_a_direct_computation(
    events: list[Happening],
    t: int,
    feed: bool,
    pick: int,
    fold: int,
) -> None:
    events.sort(key=lambda event: event.time)
    folded = min(fold, sum(event.time <= t - HORIZON for event in events))
    seen = [row for row in range(folded, len(events)) if events[row].time <= t]
    observed = seen[pick % len(seen)] if seen and pick else None
    got = kernel_values(BOUND[feed], events, t, observed, folded)
    expected = [direct(spec, feed, events, t, observed) for spec in SPECS]
    wrong = [
        (spec, one, other)
        for spec, one, other in zip(SPECS, got, expected, strict=True)
        if np.float64(one).tobytes() != np.float64(other).tobytes()
    ]
    assert not wrong
