"""Labels: what they become, and what is refused with its line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamgauge.definitions.canonical import canonical, digest
from streamgauge.definitions.loader import load_source
from streamgauge.definitions.specs import LabelSpec, OutcomeRows
from tests.definitions.conftest import MODEL, STREAMS, Refusal

DAY = 86_400_000_000


def test_a_label_has_the_name_of_its_variable() -> None:
    labels = load_source(STREAMS + MODEL).labels

    where = ("ge", ("field", "days"), ("int", 30))
    assert labels["bad"] == LabelSpec(
        "bad", OutcomeRows("Arrears", where), match="application", within_us=90 * DAY, settle_us=5 * DAY
    )
    assert labels["grid_bad"] == LabelSpec("grid_bad", OutcomeRows("Arrears"), within_us=90 * DAY)


def test_a_label_may_end_at_a_moment() -> None:
    source = STREAMS + "\nx = sg.Label(bad=Arrears, indeterminate=Movement, until='1970-01-02T01:00:00+01:00')\n"

    label = load_source(source).labels["x"]

    assert label.until_us == DAY
    assert label.indeterminate == OutcomeRows("Movement")


MISTAKES = {
    "no rows": ("within='9d'", "bad= takes rows"),
    "a condition": ("bad=Arrears.days > 3, within='9d'", "bad= takes rows, such as Arrears.where"),
    "prior": ("bad=Arrears.prior, within='9d'", "bad= takes no prior"),
    "no window": ("bad=Arrears", "either within="),
    "two windows": ("bad=Arrears, within='9d', until='2024-01-01T00:00:00Z'", "either within="),
    "window": ("bad=Arrears, within='3 months'", "within '3 months' is no duration"),
    "no time at all": ("bad=Arrears, within='0d'", "longer than nothing"),
    "settle": ("bad=Arrears, within='9d', settle='soon'", "settle 'soon' is no duration"),
    "moment": ("bad=Arrears, until='next year'", "until 'next year' is no moment"),
    "moment without offset": ("bad=Arrears, until='2024-01-01T00:00:00'", "has no offset"),
    "match of no reference": ("bad=Arrears, match=Arrears.days, within='9d'", "match= takes a Ref field"),
    "match of another stream": (
        "bad=Movement, match=Arrears.application, within='9d'",
        "must be a Ref field of Movement",
    ),
    "indeterminate elsewhere": (
        "bad=Arrears, match=Arrears.application, indeterminate=Movement, within='9d'",
        "with match= it reads the stream of bad, Arrears",
    ),
    "indeterminate of another entity": (
        "bad=Arrears, indeterminate=Visit, within='9d'",
        "indeterminate reads Visit of shop; bad reads Arrears of account",
    ),
    "starts of another entity": (
        "bad=Visit, starts=Arrears.application, within='9d'",
        "starts=Arrears.application is of account; bad reads Visit of shop",
    ),
    "a presence and an absence": ("bad=Arrears, bad_without=Movement, within='9d'", "either bad= or bad_without="),
    "an absence of a condition": ("bad_without=Movement.paid, within='9d'", "bad_without= takes rows"),
    "match beside an absence": (
        "bad_without=Movement, match=Arrears.application, within='9d'",
        "must be a Ref field of Movement, which bad_without= reads",
    ),
    "unknown keyword": ("bda=Arrears, within='9d'", 'Did you mean "bad"?'),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistaken_label_is_named_with_its_line(arguments: str, message: str, refusal: Refusal) -> None:
    assert message in refusal(f"x = sg.Label({arguments})  # <-\n").message


def test_an_absence_may_be_the_outcome() -> None:
    source = STREAMS + "\nx = sg.Label(bad_without=Movement.where(Movement.paid), within='35d', settle='1d')\n"

    label = load_source(source).labels["x"]

    where = ("eq", ("field", "paid"), ("int", 1))
    assert label == LabelSpec("x", OutcomeRows("Movement", where), within_us=35 * DAY, settle_us=DAY, absent=True)


def test_an_absence_is_another_definition_than_its_presence() -> None:
    source = "\nx = sg.Label(bad_without=Movement, within='9d')\ny = sg.Label(bad=Movement, within='9d')\n"

    labels = load_source(STREAMS + source).labels

    assert digest(labels["x"]) != digest(replace(labels["y"], name="x"))
    assert "absent" not in canonical(labels["y"])
