"""Events: what their declaration may say, and what is refused with its line."""

from __future__ import annotations

from dataclasses import replace

import pytest

import streamgauge as sg
from streamgauge.definitions.canonical import digest
from streamgauge.definitions.event import as_mapping
from streamgauge.definitions.loader import load_source
from streamgauge.definitions.schema import NULL, FieldKind
from streamgauge.errors import DefinitionError
from tests.definitions.conftest import Refusal

DAY = 86_400_000_000
HEAD = """
import streamgauge as sg
"""

MISTAKES = {
    "unknown kind": ("amount: sg.Moneyy  # <-", 'streamgauge has no "Moneyy". Did you mean "Money"?'),
    "plain type": ("amount: int  # <-", 'annotated with "int", which is no kind of field'),
    "value for field": ("amount: sg.Money = 5  # <-", "write sg.field(default=5)"),
    "reserved for rows": ("prior: sg.Flag  # <-", '"prior" selects rows of an event'),
    "reserved for records": ("revision: sg.Integer  # <-", '"revision" numbers an event\'s revisions'),
    "no annotation": ("amount = sg.field(default=None)  # <-", "Movement.amount has no kind"),
    "number without decimals": ("rate: sg.Number  # <-", "Number without decimals"),
    "too many decimals": ("rate: sg.Number = sg.field(decimals=12)  # <-", "decimals=12; it may be 0 to 9"),
    "levels of money": (
        'amount: sg.Money = sg.field(levels=["a"])  # <-',
        "Money, which has no levels=; Category has it",
    ),
    "no levels": ("kind: sg.Category = sg.field(levels=[])  # <-", "Write a list of texts"),
    "level twice": ('kind: sg.Category = sg.field(levels=["a", "b", "a"])  # <-', 'declares the level "a" twice'),
    "unknown default level": (
        'kind: sg.Category = sg.field(levels=["salary"], default="salry")  # <-',
        'Did you mean "salary"?',
    ),
    "default of a text": ('payee: sg.Key = sg.field(default="x")  # <-', "default may only be None"),
    "low above high": ("days: sg.Integer = sg.field(low=9, high=2)  # <-", "low=9 above high=2"),
    "low is no number": (
        'days: sg.Integer = sg.field(low="a")  # <-',
        "Movement.days cannot go with 'a', which is no number",
    ),
    "low has too many decimals": ("amount: sg.Money = sg.field(low=0.001)  # <-", "more decimals than"),
    "default outside bounds": ("days: sg.Integer = sg.field(low=0, default=-1)  # <-", "outside low and high"),
    "reference to nothing": ("loan: sg.Ref  # <-", "say which event it points to"),
    "reference to a text": ('loan: sg.Ref = sg.field(to="Loan")  # <-', "say which event it points to"),
    "unknown option": ("amount: sg.Money = sg.field(levls=None)  # <-", 'Did you mean "levels"?'),
    "two ids": ("other: sg.EventId  # <-", "several fields of kind EventId: id, other"),
}


@pytest.mark.parametrize(("line", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistaken_field_is_named_with_its_line(line: str, message: str, file_refusal: Refusal) -> None:
    error = file_refusal(
        f"""
import streamgauge as sg


class Movement(sg.Event):
    id: sg.EventId
    account: sg.Entity
    at: sg.EventTime
    {line}
"""
    )

    assert message in error.message


CLASSES = {
    "feed": ("class M(sg.Event, feed=1):  # <-", "feed=1; it is True or False"),
    "lateness": ('class M(sg.Event, lateness="30 days"):  # <-', "lateness '30 days' is no duration"),
    "tolerance": ("class M(sg.Event, tolerance=5):  # <-", "tolerance 5 is no duration"),
    "zone": ('class M(sg.Event, zone="Europe/Londn"):  # <-', 'Did you mean "Europe/London"?'),
    "unknown keyword": ("class M(sg.Event, latenes='30d'):  # <-", 'Did you mean "lateness"?'),
}


@pytest.mark.parametrize(("line", "message"), CLASSES.values(), ids=CLASSES)
def test_a_mistaken_class_keyword_is_named_with_its_line(line: str, message: str, file_refusal: Refusal) -> None:
    error = file_refusal(
        f"""
import streamgauge as sg


{line}
    id: sg.EventId
    account: sg.Entity
    at: sg.EventTime
"""
    )

    assert message in error.message


@pytest.mark.parametrize("missing", ["id: sg.EventId", "account: sg.Entity", "at: sg.EventTime"])
def test_an_event_needs_its_three_keys(missing: str, file_refusal: Refusal) -> None:
    keys = [key for key in ("id: sg.EventId", "account: sg.Entity", "at: sg.EventTime") if key != missing]

    error = file_refusal("import streamgauge as sg\nclass M(sg.Event):  # <-\n    " + "\n    ".join(keys) + "\n")

    assert f"Add a field such as {missing}" in error.message


def test_an_event_extends_event_alone(refusal: Refusal) -> None:
    assert "extends sg.Event alone" in refusal("class Other(Movement):  # <-\n    x: sg.Money\n").message


def test_two_events_of_one_name_are_refused(refusal: Refusal) -> None:
    error = refusal(
        """
        class Visit(sg.Event):  # <-
            id: sg.EventId
            shop: sg.Entity
            at: sg.EventTime
        """
    )

    assert 'A second event "Visit"' in error.message


def test_a_reference_points_to_an_event_of_its_own_entity(refusal: Refusal) -> None:
    error = refusal(
        """
        class Complaint(sg.Event):
            id: sg.EventId
            account: sg.Entity
            at: sg.EventTime
            visit: sg.Ref = sg.field(to=Visit)  # <-
        """
    )

    assert "points to Visit, whose entity is shop, not account" in error.message


def test_an_event_becomes_a_stream() -> None:
    stream = load_source(
        """
import streamgauge as sg

class Trip(sg.Event, feed=True, lateness="2d", tolerance="0s", zone="Europe/Madrid"):
    '''One trip.'''

    id: sg.EventId
    car: sg.Entity
    at: sg.EventTime
    price: sg.Money = sg.field(decimals=3, round=True, low=-1, high=5)
    kind: sg.Category = sg.field(levels=["a", "b"], default="b")
    place: sg.Category
    key: sg.Key = sg.field(default=None)
    late: sg.Flag = sg.field(default=True)
"""
    ).streams["Trip"]

    assert (stream.event_id, stream.entity, stream.event_time) == ("id", "car", "at")
    assert (stream.feed, stream.lateness_us, stream.tolerance_us, stream.zone) == (True, 2 * DAY, 0, "Europe/Madrid")
    assert stream.doc == "One trip."
    price, kind, place, key, late = stream.fields
    assert (price.decimals, price.rounds, price.low, price.high, price.required) == (3, True, -1000, 5000, True)
    assert (kind.kind, kind.levels, kind.default, kind.required) == (FieldKind.CATEGORY, ("a", "b"), 1, False)
    assert (place.levels, place.is_text) == (None, True)
    assert (key.default, key.required) == (NULL, False)
    assert late.default == 1


def test_annotations_may_be_texts() -> None:
    project = load_source(
        """
from __future__ import annotations
import streamgauge as sg

class Trip(sg.Event):
    id: sg.EventId
    car: sg.Entity
    at: sg.EventTime
    km: sg.Integer
"""
    )

    assert [field.name for field in project.streams["Trip"].fields] == ["km"]


class Stop(sg.Event):
    id: sg.EventId
    car: sg.Entity
    at: sg.EventTime
    place: sg.Key = sg.field(default=None)


def test_an_event_holds_values_and_knows_its_flat_form() -> None:
    stop = Stop(id="s1", car="c1", at="2024-01-01T00:00:00Z")  # type: ignore[arg-type]  # a text, as it is sent

    assert stop.car == "c1"
    assert vars(stop)["place"] is None
    assert as_mapping(stop) == {
        "stream": "Stop",
        "id": "s1",
        "car": "c1",
        "at": "2024-01-01T00:00:00Z",
        "place": None,
    }


def test_an_event_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match='Did you mean "place"'):
        Stop(id="s1", car="c1", at=None, plce="x")  # type: ignore[arg-type,call-arg]  # the mistake under test


def test_what_becomes_of_unknown_fields_is_declared_and_no_part_of_a_hash() -> None:
    class Strict(sg.Event):
        id: sg.EventId
        card: sg.Entity
        at: sg.EventTime

    assert Strict.__stream__.unknown == "refuse"

    class Lenient(sg.Event, unknown="keep"):
        id: sg.EventId
        card: sg.Entity
        at: sg.EventTime

    assert Lenient.__stream__.unknown == "keep"
    assert digest(replace(Lenient.__stream__, name="Strict")) == digest(Strict.__stream__)
    with pytest.raises(DefinitionError, match="refuse, ignore or keep"):

        class Wrong(sg.Event, unknown="drop"):
            id: sg.EventId
            card: sg.Entity
            at: sg.EventTime
