from dataclasses import replace

import numpy as np
import pytest

from streamgauge.definitions.schema import NULL, FieldKind, FieldSpec, StreamSpec
from streamgauge.errors import DefinitionError
from streamgauge.features.decode import SchemaBook
from streamgauge.testing.records import record

AMOUNT = FieldSpec("amount", FieldKind.MONEY, decimals=2)
KIND = FieldSpec("kind", FieldKind.CATEGORY, levels=("card", "cash"), required=False)
STREAM = StreamSpec("Move", "id", "account", "at", (AMOUNT, KIND), lateness_us=1, tolerance_us=1)


def form(*fields: FieldSpec) -> StreamSpec:
    return replace(STREAM, fields=fields)


def test_fields_are_found_by_name_in_whatever_order() -> None:
    book = SchemaBook(lambda _: STREAM)
    assert book.units(record("a", 0, units=[125, 1]), form(KIND, AMOUNT)).tolist() == [1, 125]


def test_a_field_that_an_old_form_lacks_is_its_default() -> None:
    late = FieldSpec("late", FieldKind.INTEGER, required=False, default=7)
    book = SchemaBook(lambda _: STREAM)
    assert book.units(record("a", 0, units=[125, 1]), form(late, AMOUNT)).tolist() == [7, 125]


def test_a_form_without_fields_gives_defaults() -> None:
    late = FieldSpec("late", FieldKind.INTEGER, required=False, default=7)
    book = SchemaBook(lambda _: form())
    assert book.matrix([b"", b""], [1, 1], form(late)).tolist() == [[7], [7]]


def test_records_of_several_forms_keep_their_order() -> None:
    forms = {1: STREAM, 2: form(KIND, AMOUNT)}
    book = SchemaBook(forms.__getitem__)
    units = [record("a", 0, units=[1, 0]).units, record("b", 0, units=[0, 2]).units, record("c", 0, units=[3, 1]).units]
    assert book.matrix(units, [1, 2, 1], STREAM).tolist() == [[1, 0], [2, 0], [3, 1]]


def test_more_decimals_scale_exactly() -> None:
    book = SchemaBook(lambda _: STREAM)
    finer = form(replace(AMOUNT, decimals=4), KIND)
    units = [record("a", 0, units=[125, 1]).units, record("b", 0, units=[NULL, 1]).units]
    assert book.matrix(units, [1, 1], finer).tolist() == [[12_500, 1], [NULL, 1]]


def test_levels_follow_their_texts() -> None:
    book = SchemaBook(lambda _: STREAM)
    wider = form(AMOUNT, replace(KIND, levels=("rent", "cash", "card")))
    units = [record("a", 0, units=[1, kind]).units for kind in (0, 1, NULL)]
    assert book.matrix(units, [1] * 3, wider)[:, 1].tolist() == [2, 1, NULL]


def test_a_level_that_is_gone_is_named_with_the_close_one() -> None:
    book = SchemaBook(lambda _: STREAM)
    with pytest.raises(DefinitionError, match=r'"cash" of Move\.kind is gone.*Did you mean "cashes"'):
        book.units(record("a", 0, units=[1, 0]), form(AMOUNT, replace(KIND, levels=("card", "cashes"))))


@pytest.mark.parametrize(
    "now",
    [
        replace(AMOUNT, decimals=1),
        replace(AMOUNT, kind=FieldKind.KEY),
        FieldSpec("amount", FieldKind.CATEGORY, levels=("a",)),
    ],
)
def test_a_form_that_older_records_cannot_be_read_in_is_refused(now: FieldSpec) -> None:
    book = SchemaBook(lambda _: STREAM)
    with pytest.raises(DefinitionError, match="new name"):
        book.units(record("a", 0, units=[1, 0]), form(now))


def test_a_scaled_value_beyond_the_limit_is_refused() -> None:
    book = SchemaBook(lambda _: STREAM)
    with pytest.raises(DefinitionError, match="beyond"):
        book.units(record("a", 0, units=[2**40, 0]), form(replace(AMOUNT, decimals=3)))


def test_rows_are_in_c_order_as_the_conditions_need_them() -> None:
    book = SchemaBook(lambda _: STREAM)
    rows = book.matrix([record("a", 0, units=[1, 0]).units] * 3, [1] * 3, form(KIND, AMOUNT))
    assert rows.flags.c_contiguous
    assert rows.dtype == np.int64
