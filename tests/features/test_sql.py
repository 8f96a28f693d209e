"""The printed query of a feature: what it says, and that DuckDB runs it as it stands."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from msgspec import structs

from streamgauge.app.exporting import record_table
from streamgauge.definitions.loader import load_project
from streamgauge.definitions.schema import NULL, FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, WindowSpec
from streamgauge.errors import NeedsEvent
from streamgauge.events.record import Record
from streamgauge.features.decode import SchemaBook
from streamgauge.features.sql.query import aggregates_of, feature_sql
from streamgauge.features.sql.terms import MACROS, columns_of, condition
from streamgauge.testing.records import record
from streamgauge.testing.streams import DAY_US, EVERYTHING, MOVEMENT

EXAMPLES = Path(__file__).parents[2] / "examples"
CREDIT = load_project(EXAMPLES / "credit" / "credit.py")
LIFE = WindowSpec("life")
MEAN = AggregateSpec("mean", "Movement", WindowSpec("duration", 30 * DAY_US), field="amount", decimals=2)


def run(text: str, tables: dict[str, list[Record]], streams: dict[str, StreamSpec], folder: Path) -> dict[str, float]:
    """Run a printed query as its header says: in a folder with the exported files."""
    for name, records in tables.items():
        book = SchemaBook([streams[name]].__getitem__)
        table = record_table([structs.replace(one, schema=0) for one in records], streams[name], book)
        pq.write_table(table, folder / f"{name}.parquet")
    with duckdb.connect(config={"threads": 1}) as base:
        base.execute(f"SET file_search_path = '{folder}'")
        rows = base.execute(text).fetchall()
    found = dict(rows)
    assert len(rows) == len(found), "one row an entity"
    return found


def test_the_query_runs_as_printed_for_every_entity_and_for_one(tmp_path: Path) -> None:
    #   A   a 1.00   b 2.00, corrected to 4.00   c deleted         B   d −1.00
    rest = (NULL, 1, NULL)
    records = [
        record("a", 1, position=1, units=(100, *rest)),
        record("b", 2, position=2, units=(200, *rest)),
        record("d", 2, position=3, units=(-100, *rest), entity="account:B"),
        record("c", 3, position=4, units=(700, *rest)),
        record("b", 2, position=5, units=(400, *rest), revision=1),
        record("c", 3, position=6, units=(0, *rest), revision=1, delete=True),
        record("a", 1, position=7, units=(100, *rest)),
        record("a", 1, position=8, units=(900, *rest)),
    ]
    feature = FeatureSpec("F.f", ("div", ("agg", MEAN), ("const", 0.1)), "account")
    streams = {"Movement": MOVEMENT}
    text = feature_sql(feature, streams, 5, "then")
    assert "streamgauge export --stream Movement --out Movement.parquet" in text
    assert run(text, {"Movement": records}, streams, tmp_path) == {
        "account:A": 500 / 200 / 0.1,
        "account:B": -100 / 100 / 0.1,
    }
    one = feature_sql(feature, streams, 2, "then", "A")
    assert run(one, {"Movement": records}, streams, tmp_path) == {"account:A": 500 / 200 / 0.1}
    assert run(feature_sql(feature, streams, 0, "then"), {"Movement": records}, streams, tmp_path)["account:A"] is None


@pytest.mark.parametrize("name", CREDIT.features)
def test_every_feature_of_the_example_has_a_query_that_runs(name: str, tmp_path: Path) -> None:
    feature = CREDIT.features[name]
    used = {spec.stream for spec in aggregates_of(feature.expression)}
    assert run(feature_sql(feature, CREDIT.streams, 0, "then"), {s: [] for s in used}, CREDIT.streams, tmp_path) == {}


def test_integers_are_rounded_to_the_nearest_double_and_ties_to_even() -> None:
    draw = np.random.default_rng(7)
    numbers = [0, 1, -1, 2**53 + 1, 2**63, 2**126 + 2**73, -(2**127) + 1]
    for bits in range(54, 127):
        even = (int(draw.integers(2**53)) | 1 << 52) << (bits - 53)
        half = 1 << max(bits - 54, 0)
        numbers += [
            int.from_bytes(draw.bytes(16)) >> (128 - bits),
            even,
            even + half,
            even + half - 1,
            even + half + 1,
            -even - half,
        ]
    with duckdb.connect() as base:
        base.execute(MACROS)
        listed = ", ".join(f"({place}, {number}::HUGEINT)" for place, number in enumerate(numbers))
        query = f"SELECT rn(x), x::DOUBLE FROM (VALUES {listed}) t(i, x) ORDER BY i"
        found = base.execute(query).fetchall()
    assert [value for value, _ in found] == [float(number) for number in numbers]
    assert [cast for _, cast in found] != [float(number) for number in numbers]  # why there is a macro


def test_what_is_not_finite_is_null_and_minus_zero_is_zero() -> None:
    with duckdb.connect() as base:
        base.execute(MACROS)
        values = "(VALUES (1, '-0'::DOUBLE), (2, 'inf'::DOUBLE), (3, 'nan'::DOUBLE), (4, '5e-324'::DOUBLE)) t(i, x)"
        found = base.execute(f"SELECT finite(x) FROM {values} ORDER BY i").fetchall()
    assert [str(value) for (value,) in found] == ["0.0", "None", "None", "5e-324"]


def test_conditions_say_what_their_literals_mean() -> None:
    tree = ("and", ("ne", ("field", "kind"), ("int", 2)), ("gt", ("field", "amount"), ("int", 50_000)))
    assert condition(tree, MOVEMENT) == '(("kind" <> 2 /* loan */) AND ("amount" > 50000 /* 500.00 */))'
    assert condition(("in", ("field", "kind"), (0, 1)), MOVEMENT) == '("kind" IN (0 /* salary */, 1 /* card */))'
    assert condition(("not", ("is_null", ("field", "key"))), EVERYTHING) == '(NOT ("key" IS NULL))'


def test_a_level_cannot_end_its_own_comment() -> None:
    field = FieldSpec("kind", FieldKind.CATEGORY, levels=("*/ DROP TABLE x; --",))
    stream = StreamSpec("S", "id", "account", "at", (field,), 0, 0)
    assert condition(("eq", ("field", "kind"), ("int", 0)), stream).count("*/") == 1


def test_a_field_named_as_a_column_of_the_record_has_a_column_of_its_own(tmp_path: Path) -> None:
    names = ("position", "Position", "t", "order")
    fields = tuple(FieldSpec(name, FieldKind.INTEGER, required=False) for name in names)
    stream = StreamSpec("S", "id", "account", "at", fields, 0, 0)
    assert list(columns_of(stream).values()) == ["position_2", "Position_3", "t_2", "order"]
    records = [record("a", 0, stream="S", units=(1, 2, 3, 4))]
    for value, name in enumerate(names, start=1):
        feature = FeatureSpec("F.f", ("agg", AggregateSpec("sum", "S", LIFE, field=name)), "account")
        text = feature_sql(feature, {"S": stream}, 0, "then")
        assert run(text, {"S": records}, {"S": stream}, tmp_path) == {"account:A": value}


PAID = StreamSpec(
    "Paid",
    "id",
    "card",
    "at",
    tuple(FieldSpec(name, FieldKind.KEY) for name in ("card", "merchant")),
    0,
    0,
    other_roles=("merchant",),
)
SHARE = ("div", ("agg", AggregateSpec("count", "Paid", LIFE, role="card|merchant")),
         ("agg", AggregateSpec("count", "Paid", LIFE, role="card")))  # fmt: skip


def test_a_pair_reads_its_own_rows_and_those_of_its_two_entities(tmp_path: Path) -> None:
    #   card C|1 pays at merchant M%1 twice, and once at N
    keys = (("card:C|1", "card|merchant:C%7C1|M%251"), ("card:C|1", "card|merchant:C%7C1|M%251"))
    records = [
        record(f"p{number}", 0, position=10 * number + place, stream="Paid", entity=entity, units=(1, 1))
        for number, entities in enumerate((*keys, ("card:C|1", "card|merchant:C%7C1|N")))
        for place, entity in enumerate(entities)
    ]
    text = feature_sql(FeatureSpec("F.f", SHARE, "card|merchant"), {"Paid": PAID}, 0, "then")
    assert run(text, {"Paid": records}, {"Paid": PAID}, tmp_path) == {
        "card|merchant:C%7C1|M%251": 2 / 3,
        "card|merchant:C%7C1|N": 1 / 3,
    }


def test_a_feature_of_an_event_has_no_value_for_an_entity() -> None:
    with pytest.raises(NeedsEvent, match="of one role, or of a pair"):
        feature_sql(FeatureSpec("F.f", SHARE, "card"), {"Paid": PAID}, 0, "then")
