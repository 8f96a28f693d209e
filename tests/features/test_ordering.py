"""Grouping and ordering of rows, against Python's own sorting."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.features.ordering import ascend, group_rows, order_rows, ranks_in, take_rows
from streamgauge.features.timeline import StreamTimeline
from tests.features.logs import LAYOUT

ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(0, 2)), max_size=120)


@given(ROWS)
def test_rows_come_together_by_entity_and_sort_by_time_and_sequence_stably(rows: list[tuple[int, int, int]]) -> None:
    entity = np.array([row[0] for row in rows], np.int64)

    order, offsets = group_rows(entity, 3)

    assert order.tolist() == sorted(range(len(rows)), key=lambda row: rows[row][0])
    assert offsets.tolist() == [sum(row[0] < number for row in rows) for number in range(4)]
    grouped = [rows[row] for row in order]
    time = np.array([row[1] for row in grouped], np.int64)
    sequence = np.array([row[2] for row in grouped], np.int64)
    tied = order_rows(offsets, time, sequence, order)
    expected = sorted(range(len(rows)), key=lambda row: grouped[row])
    assert order.tolist() == expected
    assert tied == any(grouped[a] == grouped[b] for a, b in itertools.pairwise(expected))


@given(st.lists(st.tuples(*[st.integers(0, 1)] * 4), max_size=8))
def test_rows_ascend_where_sorting_would_leave_them(rows: list[tuple[int, ...]]) -> None:
    columns = np.array(rows, np.int64).reshape(-1, 4).T.copy()

    assert ascend(*columns) == (rows == sorted(rows))


@given(st.permutations(range(9)))
def test_ranks_and_taken_rows_follow_an_order(order: list[int]) -> None:
    rows = np.array(order, np.int64)
    ranks, taken = np.empty(9, np.int64), np.zeros((9, 2), np.int64)

    ranks_in(rows, ranks)
    take_rows(ranks, rows, 1, taken)

    assert ranks.tolist() == [order.index(row) for row in range(9)]
    assert taken.tolist() == [[0, place] for place in range(9)]


def test_rows_that_tie_are_refused_where_there_are_no_ids() -> None:
    one = np.array([1, 2], np.int64)
    units = np.zeros((2, len(LAYOUT.streams[0].stream.fields)), np.int64)

    with pytest.raises(ValueError, match="their order needs their ids"):
        StreamTimeline.of_columns(LAYOUT.streams[0], np.array([0, 2]), one, one, np.array([5, 5]), units)
