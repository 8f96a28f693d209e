"""Layouts hold what all live programs need, and say when two programs cannot live together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, WindowSpec
from streamgauge.errors import DefinitionError
from streamgauge.features.bind import BoundProgram
from streamgauge.features.layout import FoldSpec, Layout
from streamgauge.features.program import FeatureProgram

DAY = 86_400_000_000
FIELDS = (
    FieldSpec("amount", FieldKind.MONEY, decimals=2),
    FieldSpec("balance", FieldKind.MONEY, decimals=2),
    FieldSpec("kind", FieldKind.INTEGER),
)
STREAM = StreamSpec("Move", "id", "account", "at", FIELDS, lateness_us=9, tolerance_us=7)
PAID = ("gt", ("field", "kind"), ("int", 0))
LIFE = WindowSpec("life")


def program(*aggregates: AggregateSpec, stream: StreamSpec = STREAM) -> FeatureProgram:
    features = [FeatureSpec(f"F.{number}", ("agg", spec), "account") for number, spec in enumerate(aggregates)]
    return FeatureProgram.of(features, {"Move": stream})


def span(days: int) -> WindowSpec:
    return WindowSpec("duration", days * DAY)


def test_a_layout_keeps_value_columns_but_not_the_fields_of_conditions() -> None:
    (layout,) = Layout.of([program(AggregateSpec("sum", "Move", span(3), PAID, field="amount"))]).streams
    assert layout.columns == ("amount",)
    assert [field.name for field in layout.stream.fields] == ["amount", "kind"]
    units = np.array([[5, 0], [7, 1]], np.int64)
    assert layout.columns_of(units).tolist() == [[5, 7]]


@pytest.mark.parametrize(
    ("aggregate", "days"),
    [
        (AggregateSpec("count", "Move", span(3)), 3),
        (AggregateSpec("count", "Move", WindowSpec("last", 5 * DAY, 2)), 5),
        (AggregateSpec("each", "Move", span(3), times=4, step="count", summary="sum"), 12),
        (AggregateSpec("level_mean", "Move", span(3), field="balance"), 3),
    ],
)
def test_the_horizon_is_the_longest_reach_back(aggregate: AggregateSpec, days: int) -> None:
    both = Layout.of([program(aggregate), program(AggregateSpec("count", "Move", span(1)))])
    assert both.streams[0].horizon_us == days * DAY


def test_a_stream_of_life_aggregates_alone_still_keeps_an_event_until_the_next_moment() -> None:
    assert Layout.of([program(AggregateSpec("count", "Move", LIFE))]).streams[0].horizon_us == 1


def test_life_aggregates_and_levels_have_accumulators_and_equal_ones_share() -> None:
    aggregates = [
        AggregateSpec("mean", "Move", LIFE, PAID, field="amount"),
        AggregateSpec("max", "Move", LIFE, PAID, field="amount"),
        AggregateSpec("level_min", "Move", span(3), field="balance"),
        AggregateSpec("sum", "Move", span(3), field="amount"),
    ]
    (layout,) = Layout.of([program(*aggregates)]).streams
    assert layout.folds == (FoldSpec(-1, 1), FoldSpec(0, 0))


def test_two_programs_fit_their_common_layout_and_the_order_does_not_matter() -> None:
    one = program(AggregateSpec("sum", "Move", span(3), PAID, field="amount"))
    two = program(AggregateSpec("level_now", "Move", LIFE, field="balance"))
    layout = Layout.of([one, two])
    assert layout == Layout.of([two, one])
    assert layout.digest == Layout.of([two, one]).digest != Layout.of([one]).digest
    assert BoundProgram.of(one, layout).features == BoundProgram.of(two, layout).features == 1
    with pytest.raises(ValueError, match="does not hold what level_now of balance reads"):
        BoundProgram.of(two, Layout.of([one]))


def test_programs_that_declare_a_field_differently_cannot_share_a_state() -> None:
    other = replace(STREAM, fields=(replace(FIELDS[0], decimals=3), *FIELDS[1:]))
    aggregate = AggregateSpec("sum", "Move", span(3), field="amount")
    with pytest.raises(DefinitionError, match=r"Move\.amount is declared in two ways"):
        Layout.of([program(aggregate), program(aggregate, stream=other)])
    with pytest.raises(DefinitionError, match=r"Stream Move is declared in two ways"):
        Layout.of([program(aggregate), program(aggregate, stream=replace(STREAM, lateness_us=10))])
