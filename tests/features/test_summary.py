"""Summaries of many events give the kernel's bits, whatever is inserted, removed or folded between two readings."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.definitions.schema import NULL
from streamgauge.definitions.specs import AggregateSpec, Tree, WindowSpec
from streamgauge.features.asking import Programs, Trigger
from streamgauge.features.batch import Batch, apply_all
from streamgauge.features.bind import BoundProgram
from streamgauge.features.block import SUMMARY
from streamgauge.features.decode import SchemaBook
from streamgauge.features.kernels.ordered import R_ALIVE, ROLL_WIDTH
from streamgauge.features.kernels.rolls import PATIENCE
from streamgauge.features.kernels.tree import BLOCK_BITS, BUILT, FAN_BITS, SUMMARIZED
from streamgauge.features.layout import evaluate_conditions
from streamgauge.features.state import EntityState
from streamgauge.features.stream_state import StreamState
from streamgauge.features.summary import make_summaries, put_off_summaries
from streamgauge.testing.records import record
from tests.features.direct import SECOND, bind_aggregates
from tests.features.scanning import StreamArrays, compute_one
from tests.features.test_kernel_property import LIFE, SPECS, STREAMS, SUBSET

DAY = 86_400 * SECOND
FAR = [WindowSpec("duration", width * SECOND) for width in (5_000, 300_000, 2_000_000)]
WHERE = ("gt", ("field", "amount"), ("int", 0))


def rolled(window: WindowSpec, where: Tree | None, prior: bool) -> list[AggregateSpec]:
    """Return what does not join from nodes, over a window."""
    rows = (window, where, prior)
    return [
        AggregateSpec("distinct", "Move", *rows, "who"),
        AggregateSpec("top_share", "Move", *rows, key="who"),
        AggregateSpec("top_share", "Move", *rows, "amount", 2, key="who"),
        AggregateSpec("gap_median", "Move", *rows),
        *(AggregateSpec("quantile", "Move", *rows, "amount", 2, quantile=q * 10**11) for q in (1, 5, 10)),
    ]


def far() -> list[AggregateSpec]:
    """Return what is summarized, over windows of many blocks."""
    specs = []
    for window in FAR:
        for prior, where in ((False, None), (True, None), (False, WHERE)):
            rows = (window, where, prior)
            specs += [AggregateSpec(kind, "Move", *rows, "amount", 2) for kind in ("std", "min", "max", "slope")]
            specs += [AggregateSpec(kind, "Move", *rows, "amount", 2) for kind in ("first", "last", "sum")]
            specs += [AggregateSpec(kind, "Move", *rows) for kind in ("count", "gap_mean", "gap_max", "gap_std")]
            specs += [AggregateSpec("share", "Move", *rows, "amount", 2, subset=SUBSET)]
            specs += [
                AggregateSpec(f"level_{kind}", "Move", *rows, "balance", 2, threshold=5)
                for kind in ("mean", "min", "max", "std", "slope", "time_below", "since_below")
            ]
            specs += rolled(*rows)
    for prior in (False, True):
        rows = (WindowSpec("last", FAR[2].width_us, 400), WHERE, prior)
        specs += [AggregateSpec(kind, "Move", *rows, "amount", 2) for kind in ("std", "slope")]
        specs += rolled(*rows)
    for step in ("sum", "max", "first"):
        specs += [
            AggregateSpec("each", "Move", FAR[0], field="amount", decimals=2, times=9, step=step, summary=summary)
            for summary in ("mean", "std", "slope")
        ]
    return [*specs, AggregateSpec("sum", "Move", LIFE, field="amount", decimals=2)]


BOUND = {feed: bind_aggregates(stream, [*SPECS, *far()]) for feed, stream in STREAMS.items()}


def filled(bound: BoundProgram, times: Sequence[int], seed: int, nulls: float = 0.1) -> EntityState:
    """Return a state of one stream with events at those times."""
    state = EntityState(bound.layout)
    stream = state.begin("Move", 0)
    random = np.random.default_rng(seed)
    for number, time in enumerate(times):
        put(bound, stream, f"e{number:06}", time, random, nulls)
    state.keep("Move", stream)
    return state


def put(
    bound: BoundProgram, stream: StreamState, event_id: str, time: int, random: np.random.Generator, nulls: float = 0.1
) -> None:
    """Insert an event with values drawn at random."""
    layout = bound.layout.streams[0]
    drawn = {
        "amount": int(random.integers(-20, 20)),
        "balance": int(random.integers(-9, 30)),
        "kind": int(random.integers(0, 3)),
        "who": int(random.integers(0, 9)),
    }
    units = np.array(
        [NULL if random.random() < nulls else drawn[field.name] for field in layout.stream.fields], np.int64
    )
    mask = evaluate_conditions(layout, units.reshape(1, -1))[0]
    stream.fresh[event_id] = b""
    stream.insert(event_id, time, 0, mask, units.take(layout.column_fields))


def same(bound: BoundProgram, state: EntityState, t: int, row: int) -> None:
    """Compare a state's values with those of its columns, read event by event."""
    stream = state.streams["Move"]
    n = stream.count
    arrays = StreamArrays(
        stream.time[:n].copy(),
        stream.mask[:n].copy(),
        np.ascontiguousarray(stream.cols[:, :n]),
        n,
        stream.folds.copy(),
        stream.folded_first,
    )
    observed = None if row < 0 else ("Move", stream.ids[row])
    got = state.compute(bound, t, observed)
    expected = compute_one(bound, {"Move": arrays}, t, None if row < 0 else ("Move", row))
    differing = np.flatnonzero(got.view(np.int64) != expected.view(np.int64))
    assert not len(differing), [
        (bound.program.aggregates[bound.program.expressions[i][1]], got[i], expected[i]) for i in differing
    ]


@settings(max_examples=40, deadline=None)
@given(
    st.booleans(),
    st.integers(SUMMARIZED + 1, SUMMARIZED + 900),
    st.sampled_from([SECOND, 60 * SECOND, 700_000, 137_000_001]),
    st.lists(st.tuples(st.sampled_from(["insert", "remove", "read", "read", "fold"]), st.floats(0, 1)), max_size=12),
    st.integers(0, 99),
)
def test_a_summarized_state_gives_the_bits_of_its_events(
    feed: bool, events: int, spacing: int, steps: list[tuple[str, float]], seed: int
) -> None:
    bound = BOUND[feed]
    random = np.random.default_rng(seed)
    times = np.cumsum(random.integers(0, 3, events)) * spacing + DAY
    state = filled(bound, times.tolist(), seed)
    stream = state.streams["Move"]
    assert stream.summary is not None
    newest = int(times[-1])
    same(bound, state, newest, -1)
    assert stream.summary[BUILT] == stream.count >> BLOCK_BITS
    for number, (step, part) in enumerate(steps):
        if not stream.count:
            return
        row = int(part * (stream.count - 1))
        at = int(stream.time[row])
        if step == "insert":
            put(bound, stream, f"n{number:06}", at + int(part * SECOND), random)
            state.keep("Move", stream)
        elif step == "remove":
            stream.remove(stream.ids[row], at)
        elif step == "fold":
            assert bound.layout.streams[0].horizon_us > 0
            stream.fold(at + bound.layout.streams[0].horizon_us, 1)
        t = newest + int(part * 4 * spacing) if step != "read" else max(at + int(part * 3), state.answers_from)
        same(
            bound,
            state,
            max(t, state.answers_from),
            int(part * (stream.count - 1)) if number % 2 and stream.count else -1,
        )


@pytest.mark.parametrize("nulls", [0.1, 0.997])
@pytest.mark.parametrize("spacing", [2 * SECOND, 1_300_007])
def test_a_tree_of_several_levels_gives_the_bits_of_its_events(spacing: int, nulls: float) -> None:
    bound = BOUND[False]
    count = (17 << BLOCK_BITS + FAN_BITS) // 16 + 40
    state = filled(bound, [DAY + number * spacing for number in range(count)], 3, nulls)
    stream = state.streams["Move"]
    newest = int(stream.time[count - 1])
    column = bound.layout.streams[0].column("balance")
    (rows,) = np.nonzero(stream.cols[column, :count] != NULL)
    for t, row in ((newest, -1), (newest + 1, count - 300), (newest - 777 * spacing + 5, 9), (newest, count - 1)):
        same(bound, state, t, row)
    for row in rows[-3:].tolist():
        same(bound, state, newest, row)
        same(bound, state, newest + 4_000 * SECOND, row)


def test_a_batch_tells_the_summary_of_late_events() -> None:
    bound = BOUND[False]
    book = SchemaBook({1: STREAMS[False]}.__getitem__)
    state = EntityState(bound.layout)
    times = [DAY + number * SECOND for number in range(SUMMARIZED + 300)]
    late = [DAY + number * 90 * SECOND + 1 for number in (2, 5, 11)]
    records = [
        record(
            f"e{number:06}", time, position=number + 1, stream="Move", known_at=times[-1], units=[number % 9, 1, 0, 3]
        )
        for number, time in enumerate([*times, *late])
    ]
    programs = Programs([bound])

    def begin() -> Batch:
        return Batch(programs, book, lambda _stream, _role: (Trigger(0, observed=False),), lambda _entity: state)

    def together(batch: Batch) -> None:
        with ThreadPoolExecutor(1) as pool:
            batch.run(pool, 1)

    for some in (records[: len(times)], *([one] for one in records[len(times) :])):
        apply_all(some, begin, together, lambda number: pytest.fail(f"{number} waits"))
        same(bound, state, times[-1], -1)


@settings(max_examples=25, deadline=None)
@given(
    st.booleans(),
    st.sampled_from([SECOND, 700_000, 137_000_001]),
    st.lists(
        st.tuples(st.sampled_from(["append", "append", "append", "late", "remove", "fold", "back"]), st.floats(0, 1)),
        min_size=8,
        max_size=30,
    ),
    st.integers(0, 99),
)
def test_a_state_that_is_read_again_and_again_gives_the_bits_of_its_events(
    feed: bool, spacing: int, steps: list[tuple[str, float]], seed: int
) -> None:
    bound = BOUND[feed]
    random = np.random.default_rng(seed)
    times = np.cumsum(random.integers(0, 3, SUMMARIZED + 60)) * spacing + DAY
    state = filled(bound, times.tolist(), seed)
    stream = state.streams["Move"]
    reserved = stream.summary
    t = int(times[-1])
    for _ in range(PATIENCE + 1):
        same(bound, state, t, -1)
    alive = stream.rolls[1 : 1 + int(stream.rolls[0]) * ROLL_WIDTH].reshape(-1, ROLL_WIDTH)[:, R_ALIVE]
    assert alive.all()
    for number, (step, part) in enumerate(steps):
        row = int((1 - part * part) * (stream.count - 1))
        at = int(stream.time[row])
        if step == "append":
            t += int(part * 2 * spacing)
            put(bound, stream, f"n{number:06}", t, random)
            state.keep("Move", stream)
        elif step == "late":
            put(bound, stream, f"n{number:06}", at + int(part * 3), random)
            state.keep("Move", stream)
        elif step == "remove":
            stream.remove(stream.ids[row], at)
        elif step == "fold":
            stream.fold(int(stream.time[min(stream.count - 1, 90)]) + bound.layout.streams[0].horizon_us, 1)
        moment = t if step != "back" else max(at, state.answers_from)
        same(bound, state, max(moment, state.answers_from), stream.count - 1 if number % 3 == 1 else -1)
    assert stream.summary is reserved


def test_a_summary_that_was_put_off_is_made_later_and_gives_the_same_bits() -> None:
    bound = BOUND[False]
    put_off_summaries()
    try:
        state = filled(bound, [DAY + number * SECOND for number in range(SUMMARIZED + 300)], 5)
        stream = state.streams["Move"]
        assert not stream.block[SUMMARY]
        newest = int(stream.time[stream.count - 1])
        same(bound, state, newest, -1)
    finally:
        make_summaries()
    address = stream.address
    stream.summarize()
    assert stream.address == address
    assert stream.block[SUMMARY]
    same(bound, state, newest, -1)
    put(bound, stream, "late", DAY + 500 * SECOND + 1, np.random.default_rng(1))
    state.keep("Move", stream)
    same(bound, state, newest, -1)
