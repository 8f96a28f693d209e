"""Rolling along an entity's moments gives the bits of the sweep, late events, ties and observed events included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.events.record import Record
from streamgauge.features.bind import BoundPart, BoundProgram, BoundStream
from streamgauge.features.decode import SchemaBook
from streamgauge.features.history import features_of
from streamgauge.features.kernels import roll as rolling
from streamgauge.features.kernels.rolling_entries import find_rolling
from streamgauge.features.rolling_plan import RollingPlan
from streamgauge.features.timeline import Timeline
from streamgauge.testing.records import record
from tests.features.direct import SECOND
from tests.features.test_kernel_property import BOUND, STREAMS, VALUE

MOMENT = st.builds(
    lambda second, part: second * SECOND + part, st.integers(0, 70), st.sampled_from([0, 0, 0, 1, 500_000])
)
MAYBE = st.none() | VALUE
UNITS = st.tuples(MAYBE, MAYBE, st.none() | st.integers(0, 2), st.none() | st.sampled_from([3, -5, 2**62]))
DELAY = st.sampled_from([0, 0, 0, 0, SECOND, 7 * SECOND, 30 * SECOND])
ARRIVALS = st.lists(st.tuples(MOMENT, DELAY, UNITS), min_size=1, max_size=25)


def unrolled(bound: BoundProgram) -> BoundProgram:
    """Return the program with everything left to the sweep."""

    def plain(stream: BoundStream) -> BoundStream:
        copy = replace(stream)
        empty = RollingPlan.of(stream.spans, stream.groups, stream.table[:0])
        object.__setattr__(copy, "rolling", empty)
        return copy

    def part(one: BoundPart) -> BoundPart:
        return replace(one, streams=tuple(plain(stream) for stream in one.streams))

    return replace(bound, parts=tuple(part(one) for one in bound.parts))


SWEPT = {feed: unrolled(bound) for feed, bound in BOUND.items()}


def records_of(entity: str, arrivals: Sequence[tuple[int, int, tuple[int | None, ...]]], revised: int) -> list[Record]:
    """Return an entity's records in order of arrival; one is corrected where the number says so."""
    ordered = sorted(arrivals, key=lambda one: one[0] + one[1])
    records = [
        record(
            f"e{number}",
            time,
            position=number + 1,
            stream="Move",
            entity=entity,
            known_at=time + delay,
            imported=True,
            units=[NULL if value is None else value for value in units],
        )
        for number, (time, delay, units) in enumerate(ordered)
    ]
    if 0 <= revised < len(records):
        first = records[revised]
        again = record(
            first.event_id,
            first.event_time,
            position=len(records) + 1,
            stream="Move",
            entity=entity,
            known_at=records[-1].known_at,
            imported=True,
            revision=1,
            units=[1, 2, 0, 3],
        )
        records.append(again)
    return records


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(ARRIVALS, st.sampled_from([-1, -1, -1, 0, 5])), min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
    st.lists(st.integers(0, 60), max_size=6),
)
def test_rolling_gives_the_bits_of_the_sweep(
    drawn: list[tuple[list[tuple[int, int, tuple[int | None, ...]]], int]],
    feed: bool,
    by_knowledge: bool,
    waits: list[int],
) -> None:
    book = SchemaBook({1: STREAMS[feed]}.__getitem__)
    groups = [(f"account:{n}", records_of(f"account:{n}", *one)) for n, one in enumerate(drawn)]
    timeline = Timeline.of(BOUND[feed].layout, groups, book)
    entity, t, known, position, observed = [], [], [], [], []
    for number, (_, records) in enumerate(groups):
        for row, item in enumerate(records):
            for wait in (0, *waits[: row % 3]):
                entity.append(number)
                t.append(max(item.known_at, item.event_time) + wait * SECOND // 2)
                known.append(item.known_at)
                position.append(item.position)
                observed.append(("Move", item.event_id) if (row + wait) % 4 else None)

    def ints(values: list[int]) -> NDArray[np.int64]:
        return np.array(values, np.int64)

    asked = (ints(entity), ints(t), ints(known) if by_knowledge else None, ints(position), observed)
    rolled = features_of(timeline, BOUND[feed], *asked)
    swept = features_of(timeline, SWEPT[feed], *asked)

    differing = np.flatnonzero((rolled.view(np.int64) != swept.view(np.int64)).any(axis=0))
    assert not len(differing), [BOUND[feed].program.aggregates[i] for i in differing]


def test_an_entity_with_late_events_rolls_and_one_with_a_correction_does_not() -> None:
    late = [(10 * SECOND, 20 * SECOND, (1, 1, 0, 3)), (15 * SECOND, 0, (2, 2, 1, 3))]
    book = SchemaBook({1: STREAMS[False]}.__getitem__)
    groups = [("account:0", records_of("account:0", late, -1)), ("account:1", records_of("account:1", late, 0))]
    stream = Timeline.of(BOUND[False].layout, groups, book).streams[0]
    rolls = np.zeros(2, np.bool_)
    moments = np.array([0, 1, 2], np.int64)

    find_rolling(stream.offsets, stream.event, stream.key, stream.live, moments, np.array([1, 2], np.int64), rolls)

    assert rolls.tolist() == [True, False]


@pytest.mark.parametrize("greatest", [50, 2**40])
@pytest.mark.parametrize("every", [1, 3, 2 * rolling.BLOCK])
@pytest.mark.parametrize("latest", [0, 3, 90])
def test_many_moments_are_computed_in_blocks(greatest: int, every: int, latest: int) -> None:
    """Events are late by no, few or more seconds than a window has; blocks of moments see few or very many enter."""
    count = 3 * rolling.BLOCK + 7
    generator = np.random.default_rng(7)
    delays = generator.integers(0, latest + 1, count) * (generator.random(count) < 0.2)
    amounts = generator.integers(-greatest, greatest + 1, (count, 2)).tolist()
    arrivals = [
        (number * SECOND // 2, delay * SECOND, (*amount, number % 3, number % 11))
        for number, (delay, amount) in enumerate(zip(delays.tolist(), amounts, strict=True))
    ]
    records = records_of("account:0", arrivals, -1)
    timeline = Timeline.of(BOUND[True].layout, [("account:0", records)], SchemaBook({1: STREAMS[True]}.__getitem__))
    asking = records[every - 1 :: every]
    t = np.array([max(one.known_at, one.event_time) for one in asking], np.int64)
    position = np.array([one.position for one in asking], np.int64)
    asked = (np.zeros(len(t), np.int64), t, None, position, [("Move", one.event_id) for one in asking])

    rolled = features_of(timeline, BOUND[True], *asked)

    assert np.array_equal(rolled.view(np.int64), features_of(timeline, SWEPT[True], *asked).view(np.int64))
