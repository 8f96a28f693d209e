"""Protected attributes: declared, and refused wherever a model could read them."""

from __future__ import annotations

import pytest

from streamgauge.definitions.loader import load_source
from streamgauge.definitions.schema import FieldKind
from tests.definitions.conftest import MODEL, STREAMS, Refusal

PERSON = """
class Person(sg.Protected, entity=Movement.account):
    '''Kept apart.'''
    sex: sg.Category
    region: sg.Category = sg.field(levels=["north", "south"])
    born: sg.Integer = sg.field(low=1900, high=2030)
"""


def test_a_class_of_protected_attributes_is_part_of_the_project() -> None:
    project = load_source(STREAMS + PERSON)

    person = project.protected["Person"]
    assert (person.entity, person.names, person.doc) == ("account", ("sex", "region", "born"), "Kept apart.")
    assert [field.kind for field in person.fields] == [FieldKind.CATEGORY, FieldKind.CATEGORY, FieldKind.INTEGER]
    assert (person.fields[2].low, person.fields[2].high) == (1900, 2030)
    assert "Person" not in project.streams
    assert not any(name.startswith("Person") for name in project.features)


READS = {
    "a feature": "x = sg.feature(Person.born + 1)",
    "a condition": "x = Movement.where(Movement.days > Person.born)",
    "a value": "x = Movement.all.sum(Person.born, over='7d')",
    "a declared attribute": "x = Movement.where(Movement.kind == Person.region)",
    "a model": "sg.Model(**parts | dict(features=[Person.sex]))",
    "a label": "x = sg.Label(bad=Person.sex, within='9d')",
    "a rule": "x = sg.decline(Person.born < 2000, code='K', reason='Young')",
    "getattr": "x = getattr(Person, 'sex')",
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_no_definition_reads_a_protected_attribute(read: str, refusal: Refusal) -> None:
    error = refusal(MODEL + PERSON + read + "  # <-\n")

    assert "is a protected attribute: no feature, condition, label or model may read it" in error.message


MISTAKES = {
    "the class in a model": ("sg.Model(**parts | dict(features=[Cash, Person]))", "holds protected attributes"),
    "the class as observation": ("sg.Model(**parts | dict(observe=Person))", "observe= takes an event"),
    "the class as outcome": ("x = sg.Label(bad=Person, within='9d')", "bad= takes rows"),
    "its rows": ("x = Person.all.count(over='7d')", 'Person has no "all"'),
    "an unknown attribute": ("x = Person.sexx", 'Person has no "sexx"'),
    "no entity": ("class Other(sg.Protected): pass", "missing 1 required keyword-only argument: 'entity'"),
    "no entity field": ("class Other(sg.Protected, entity=Movement.amount): pass", "takes an Entity field"),
    "twice": ("class Person(sg.Protected, entity=Movement.account): sex: sg.Flag", 'of protected attributes "Person"'),
    "empty": ("class Other(sg.Protected, entity=Movement.account): pass", "Other has no attribute"),
    "key": ("class Other(sg.Protected, entity=Movement.account): name: sg.Key", "Other.name is of kind Key"),
    "no kind": ("class Other(sg.Protected, entity=Movement.account): name: str", 'annotated with "str"'),
    "default": (
        "class Other(sg.Protected, entity=Movement.account): a: sg.Flag = sg.field(default=True)",
        "Other.a takes no default",
    ),
    "value": ("class Other(sg.Protected, entity=Movement.account): a: sg.Flag = True", "has no value here"),
}


@pytest.mark.parametrize(("code", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_around_protected_attributes_has_its_line(code: str, message: str, refusal: Refusal) -> None:
    assert message in refusal(MODEL + PERSON + code + "  # <-\n").message


def test_an_attribute_of_a_string_annotation_is_found_too() -> None:
    source = STREAMS.replace("import streamgauge as sg", "from __future__ import annotations\nimport streamgauge as sg")

    assert load_source(source + PERSON).protected["Person"].names == ("sex", "region", "born")
