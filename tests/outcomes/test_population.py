import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.features.predicates import holds
from streamgauge.outcomes.population import holds_many

LEAVES = st.one_of(
    st.sampled_from([["column", "F.a"], ["column", "F.b"]]),
    st.sampled_from([-1.0, 0.0, 2.0]).map(lambda x: ["const", x]),
)
COMPARED = st.tuples(st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]), LEAVES, LEAVES).map(list)
NULLS = LEAVES.filter(lambda leaf: leaf[0] == "column").map(lambda leaf: ["is_null", leaf])
PREDICATES: st.SearchStrategy[list[Any]] = st.recursive(
    st.one_of(COMPARED, NULLS),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), inner, inner).map(list), inner.map(lambda part: ["not", part])
    ),
    max_leaves=6,
)
VALUES = st.sampled_from([math.nan, -1.0, 0.0, 1.0, 2.0])


@given(PREDICATES, st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=8))
def test_many_rows_are_judged_as_each_one_alone(predicate: list[Any], rows: list[tuple[float, float]]) -> None:
    table = np.array(rows)
    many = holds_many(predicate, {"F.a": table[:, 0], "F.b": table[:, 1]}, len(rows))
    assert many.tolist() == [holds(predicate, {"F.a": a, "F.b": b}) is True for a, b in rows]
