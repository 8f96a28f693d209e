"""Reading protected attributes from tables."""

from __future__ import annotations

import polars as pl
import pytest

from streamgauge.definitions.loader import load_source
from streamgauge.errors import ImportRefused
from streamgauge.models.protected import read_people

SPEC = load_source("""
import streamgauge as sg
class Visit(sg.Event):
    id: sg.EventId
    customer: sg.Entity
    at: sg.EventTime
class Person(sg.Protected, entity=Visit.customer):
    sex: sg.Category = sg.field(levels=["f", "m"])
    region: sg.Category
    born: sg.Integer = sg.field(low=1900)
    member: sg.Flag
    income: sg.Money
""").protected["Person"]
ROW = {"customer": "C1", "sex": "f", "region": "north", "born": "1980", "member": "true", "income": "12.50"}


def test_values_are_read_as_their_kind_and_what_is_not_known_is_left_out() -> None:
    frames = [
        pl.DataFrame([ROW, {**ROW, "customer": "C2", "sex": None, "born": ""}]),
        pl.DataFrame([{**ROW, "customer": "C3"}]),
    ]
    people = read_people(frames, SPEC)
    assert people["customer:C1"] == {"sex": "f", "region": "north", "born": 1980, "member": 1, "income": 1250}
    assert people["customer:C2"] == {"region": "north", "member": 1, "income": 1250}
    assert len(people) == 3


def test_typed_columns_are_read_too_and_the_later_row_stands() -> None:
    row = {"entity": 7, "sex": "m", "region": "s", "born": 1990, "member": False, "income": 3.5}
    people = read_people([pl.DataFrame([row, {**row, "born": 1991}])], SPEC)
    assert people == {"customer:7": {"sex": "m", "region": "s", "born": 1991, "member": 0, "income": 350}}


COLUMNS = {
    "no ids": ({"client": "C1"}, 'no column "customer" with the ids of Person'),
    "a missing attribute": ({"customer": "C1", "sxe": "f"}, 'no column "sex" of Person. Did you mean "sxe"?'),
    "an undeclared one": ({**ROW, "name": "Ann"}, 'column "name" is no attribute of Person'),
}


@pytest.mark.parametrize(("row", "message"), COLUMNS.values(), ids=COLUMNS)
def test_columns_that_are_not_the_attributes_are_refused(row: dict[str, str], message: str) -> None:
    with pytest.raises(ImportRefused) as caught:
        read_people([pl.DataFrame([row])], SPEC)
    assert message in str(caught.value)


VALUES = {
    "level": ({"sex": "x"}, "no declared level"),
    "number": ({"born": "old"}, "born is"),
    "bound": ({"born": "1800"}, "born is"),
    "id": ({"customer": None}, "customer is null"),
}


@pytest.mark.parametrize(("part", "message"), VALUES.values(), ids=VALUES)
def test_one_wrong_value_refuses_all_rows_and_is_named_with_its_row(part: dict[str, str | None], message: str) -> None:
    with pytest.raises(ImportRefused) as caught:
        read_people([pl.DataFrame([ROW, {**ROW, **part}])], SPEC)
    assert message in str(caught.value)
    assert "1 of 2 rows cannot be read as Person, so none was imported" in str(caught.value)
    assert "row 2:" in str(caught.value)


def test_only_the_first_wrong_rows_are_shown() -> None:
    rows = [{**ROW, "born": "old"}] * 9
    with pytest.raises(ImportRefused) as caught:
        read_people([pl.DataFrame(rows)], SPEC)
    assert str(caught.value).count("\n  row") == 5
    assert "9 of 9 rows" in str(caught.value)
