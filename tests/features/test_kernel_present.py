"""The kernel without an observed event, against the one of all hosts: each aggregate alone, and all together."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.definitions.specs import AggregateSpec
from streamgauge.features.bind import BoundProgram, BoundStream
from streamgauge.features.kernels.moments import fold_events
from streamgauge.features.kernels.present import LEVEL_WIDTH, evaluate_present, reads_of
from streamgauge.features.kernels.stream import evaluate_stream
from streamgauge.features.layout import evaluate_conditions
from tests.features.direct import SECOND, Happening, bind_aggregates
from tests.features.test_kernel_property import EVENT, HORIZON, MOMENT, SPECS, STREAMS, WINDOWS

ALONE = [spec for spec in SPECS if not spec.prior]
# A mask of two words: more conditions than one has bits.
MANY = [
    AggregateSpec(
        kind, "Move", WINDOWS[1], ("gt", ("field", "amount"), ("int", bound)), field=name, decimals=2 if name else 0
    )
    for bound in range(-40, 40)
    for kind, name in (("count", None), ("sum", "amount"), ("time_since_last", None))
]
BOUND = {
    feed: [bind_aggregates(stream, specs) for specs in ([spec] for spec in ALONE)] + [bind_aggregates(stream, ALONE)]
    for feed, stream in STREAMS.items()
}
WIDE = {feed: [bind_aggregates(stream, MANY)] for feed, stream in STREAMS.items()}


def both(bound: BoundProgram, events: list[Happening], t: int, folded: int) -> list[NDArray[np.int64]]:
    """Return the bits of both kernels, with the oldest ``folded`` events in the accumulators."""
    layout = bound.layout.streams[0]
    stream: BoundStream = bound.streams[0]
    names = [spec.name for spec in layout.stream.fields]
    rows = [[event.values.get(name, NULL) for name in names] for event in events]
    units = np.array(rows, np.int64).reshape(len(events), len(names))
    time = np.array([event.time for event in events], np.int64)
    mask, cols, folds = evaluate_conditions(layout, units), layout.columns_of(units), layout.empty_folds()
    fold_events(time, mask, cols, folded, layout.fold_table, folds)
    first = int(time[0]) if folded else NULL
    time, mask, cols = time[folded:], mask[folded:], np.ascontiguousarray(cols[:, folded:])
    n = len(time)
    scratch, level = np.full(stream.scratch_size(n), 99, np.int64), np.full(LEVEL_WIDTH * n, 99, np.int64)
    found = [np.empty(bound.aggregates), np.empty(bound.aggregates)]
    tables = (stream.spans, stream.groups)
    evaluate_stream(time, mask, cols, n, folds, first, *tables, stream.table, t, -1, scratch.copy(), found[0])
    own = (*tables, reads_of(stream), stream.table)
    evaluate_present(time, mask, mask.ravel(), cols, n, folds, first, *own, t, level, scratch, found[1])
    return [one.view(np.int64) for one in found]


@settings(max_examples=100)
@given(st.lists(EVENT, max_size=14), MOMENT, st.booleans(), st.integers(0, 20))
def test_both_kernels_give_the_same_bits(events: list[Happening], t: int, feed: bool, fold: int) -> None:
    events.sort(key=lambda event: event.time)
    folded = min(fold, sum(event.time <= t - HORIZON for event in events))
    for bound in BOUND[feed] + WIDE[feed]:
        expected, found = both(bound, events, t, folded)
        assert expected.tolist() == found.tolist(), bound.program.aggregates


def test_both_kernels_give_the_same_bits_of_long_histories() -> None:
    draw = np.random.default_rng(1)
    events = [
        Happening(
            int(moment),
            {
                "amount": int(draw.integers(-50, 50)),
                "balance": int(draw.integers(-9, 99)),
                "kind": int(draw.integers(3)),
                "who": int(draw.integers(9)),
            },
        )
        for moment in np.sort(draw.integers(0, 45 * SECOND, 500))
    ]
    for bound in BOUND[True] + WIDE[True]:
        expected, found = both(bound, events, 44 * SECOND, 0)
        assert expected.tolist() == found.tolist(), bound.program.aggregates
