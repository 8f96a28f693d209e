"""Programs: each aggregate once, a canonical form that is enough, a hash that ignores what changes no value."""

from __future__ import annotations

import json
from dataclasses import replace

from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, WindowSpec
from streamgauge.features.program import FeatureProgram

FIELDS = (
    FieldSpec("amount", FieldKind.MONEY, decimals=2, low=0),
    FieldSpec("kind", FieldKind.CATEGORY, levels=("a", "b")),
    FieldSpec("note", FieldKind.KEY),
)
STREAM = StreamSpec("Move", "id", "account", "at", FIELDS, lateness_us=9, tolerance_us=7, doc="Moves.", zone="UTC")
DAY = 86_400_000_000
SUM = AggregateSpec(
    "sum", "Move", WindowSpec("duration", 30 * DAY), ("in", ("field", "kind"), (0, 1)), field="amount", decimals=2
)
COUNT = AggregateSpec("count", "Move", WindowSpec("last", 9 * DAY, 3), prior=True)
FEATURES = [
    FeatureSpec("F.mean", ("div", ("agg", SUM), ("mul", ("agg", COUNT), ("const", 2.5))), "account"),
    FeatureSpec("F.sum", ("agg", SUM), "account"),
]


def program(features: list[FeatureSpec], stream: StreamSpec = STREAM) -> FeatureProgram:
    return FeatureProgram.of(features, {"Move": stream, "Other": replace(stream, name="Other")})


def test_an_aggregate_that_two_features_share_is_computed_once() -> None:
    assert len(program(FEATURES).aggregates) == 2


def test_a_program_names_only_the_streams_and_fields_it_reads() -> None:
    (stream,) = program(FEATURES).streams
    assert [field.name for field in stream.fields] == ["amount", "kind"]


def test_a_program_is_rebuilt_whole_from_its_canonical_form() -> None:
    form = json.loads(json.dumps(program(FEATURES).canonical()))
    rebuilt = FeatureProgram.from_canonical(form)
    assert rebuilt == program(FEATURES)
    assert rebuilt.digest == program(FEATURES).digest


def test_what_changes_no_value_does_not_change_the_hash() -> None:
    described = replace(STREAM, doc="Other words.", tolerance_us=8, fields=(replace(FIELDS[0], low=None), *FIELDS[1:]))
    documented = [replace(feature, reason="So", code="R1", line=9) for feature in FEATURES]
    assert program(documented, described).digest == program(FEATURES).digest


def test_what_may_change_a_value_changes_the_hash() -> None:
    wider = replace(SUM, window=WindowSpec("duration", 31 * DAY))
    others = [
        program([FEATURES[1], FEATURES[0]]),
        program([FEATURES[0], replace(FEATURES[1], expression=("agg", wider))]),
        program(FEATURES, replace(STREAM, lateness_us=10)),
        program(FEATURES, replace(STREAM, feed=True)),
    ]
    assert len({program(FEATURES).digest, *(other.digest for other in others)}) == 5
