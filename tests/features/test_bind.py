"""Binding shares passes and windows, and refuses what the kernel does not have."""

from __future__ import annotations

import pytest

from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, WindowSpec
from streamgauge.errors import DefinitionError
from tests.features.direct import DAY, bind_aggregates

STREAM = StreamSpec(
    "Move",
    "id",
    "account",
    "at",
    (FieldSpec("amount", FieldKind.MONEY, decimals=2),),
    lateness_us=1,
    tolerance_us=0,
)
MONTH = WindowSpec("duration", 30 * DAY)


def test_aggregates_of_the_same_rows_share_one_pass() -> None:
    kinds = ("sum", "mean", "std", "min", "max", "first", "last")
    bound = bind_aggregates(STREAM, [AggregateSpec(kind, "Move", MONTH, field="amount", decimals=2) for kind in kinds])
    assert bound.streams[0].groups.shape[0] == 1


def test_aggregates_of_the_same_window_share_its_edges() -> None:
    wheres = [("gt", ("field", "amount"), ("int", number)) for number in range(5)]
    bound = bind_aggregates(STREAM, [AggregateSpec("count", "Move", MONTH, where) for where in wheres])
    assert bound.streams[0].spans.shape[0] == 1
    assert bound.streams[0].groups.shape[0] == 5


@pytest.mark.parametrize(
    ("aggregate", "message"),
    [
        (AggregateSpec("median", "Move", MONTH, field="amount"), "no aggregate 'median'"),
        (AggregateSpec("slope", "Move", WindowSpec("life"), field="amount"), 'slope cannot be taken over "life"'),
        (AggregateSpec("level_mean", "Move", WindowSpec("last", DAY, 3), field="amount"), "level_mean on Move weighs"),
        (AggregateSpec("each", "Move", MONTH, times=129, step="count", summary="sum"), r"each\(times=129\) on Move"),
    ],
)
def test_what_the_kernel_does_not_have_is_refused_by_name(aggregate: AggregateSpec, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        bind_aggregates(STREAM, [aggregate])
