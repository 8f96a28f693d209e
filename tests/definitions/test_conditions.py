"""Conditions: exact trees over fields, and what is refused with its line."""

from __future__ import annotations

import pytest

from streamgauge.definitions.loader import load_source
from streamgauge.definitions.specs import Tree
from streamgauge.definitions.texts import hash_text
from tests.definitions.conftest import STREAMS, Refusal

AMOUNT = ("field", "amount")


def tree(condition: str) -> Tree:
    source = f"{STREAMS}\nclass C(sg.Features, entity=Movement.account):\n"
    project = load_source(source + f"    n = Movement.where({condition}).count(over='1d')\n")
    where: Tree = project.features["C.n"].expression[1].where
    return where


TREES = {
    "Movement.amount > 0": ("gt", AMOUNT, ("int", 0)),
    "0 < Movement.amount": ("gt", AMOUNT, ("int", 0)),
    "Movement.amount <= 12.5": ("le", AMOUNT, ("int", 1250)),
    "Movement.amount == 1e3": ("eq", AMOUNT, ("int", 100_000)),
    "Movement.rate < 0.25": ("lt", ("field", "rate"), ("int", 2500)),
    "Movement.kind != 'own'": ("ne", ("field", "kind"), ("int", 2)),
    "Movement.country == 'GB'": ("eq", ("field", "country"), ("int", hash_text("GB"))),
    "Movement.payee == Movement.country": ("eq", ("field", "payee"), ("field", "country")),
    "Movement.kind.is_in(['rent', 'salary'])": ("in", ("field", "kind"), (0, 1)),
    "Movement.days.is_in([3, 1, 3])": ("in", ("field", "days"), (1, 3)),
    "Movement.payee.is_null()": ("is_null", ("field", "payee")),
    "Movement.payee.is_not_null()": ("not", ("is_null", ("field", "payee"))),
    "Movement.paid": ("eq", ("field", "paid"), ("int", 1)),
    "~Movement.paid": ("not", ("eq", ("field", "paid"), ("int", 1))),
    "Movement.paid == False": ("eq", ("field", "paid"), ("int", 0)),
    "Movement.paid & (Movement.days > 1)": (
        "and",
        ("eq", ("field", "paid"), ("int", 1)),
        ("gt", ("field", "days"), ("int", 1)),
    ),
    "(Movement.days > 1) | (Movement.days < 0)": (
        "or",
        ("gt", ("field", "days"), ("int", 1)),
        ("lt", ("field", "days"), ("int", 0)),
    ),
    "Movement.amount + Movement.fee > 1": ("gt", ("add", AMOUNT, ("field", "fee")), ("int", 100)),
    "Movement.amount - 0.5 > Movement.fee": ("gt", ("sub", AMOUNT, ("int", 50)), ("field", "fee")),
    "10 - Movement.fee > 1": ("gt", ("sub", ("int", 1000), ("field", "fee")), ("int", 100)),
    "-Movement.amount > 1": ("gt", ("sub", ("int", 0), AMOUNT), ("int", 100)),
    "Movement.amount * 0.5 > 1": ("gt", ("mul", AMOUNT, ("int", 5)), ("int", 1000)),
    "Movement.fee * Movement.rate > 1": ("gt", ("mul", ("field", "fee"), ("field", "rate")), ("int", 1_000_000)),
    "Movement.amount > Movement.rate": ("gt", ("mul", AMOUNT, ("int", 100)), ("field", "rate")),
    "Movement.days > Movement.amount": ("gt", ("mul", ("field", "days"), ("int", 100)), AMOUNT),
}


@pytest.mark.parametrize("condition", TREES)
def test_a_condition_is_a_tree_in_units(condition: str) -> None:
    assert tree(condition) == TREES[condition]


def test_conditions_one_after_another_all_hold() -> None:
    source = f"{STREAMS}\nclass C(sg.Features, entity=Movement.account):\n"
    source += "    n = Movement.where(Movement.amount > 0).where(Movement.paid).count(over='1d')\n"

    where = load_source(source).features["C.n"].expression[1].where

    assert where == ("and", ("gt", AMOUNT, ("int", 0)), ("eq", ("field", "paid"), ("int", 1)))


MISTAKES = {
    "unknown field": ("Movement.ammount > 0", 'Movement has no "ammount". Did you mean "amount"?'),
    "unknown level": ("Movement.kind == 'salry'", '"salry" is no level of Movement.kind. Did you mean "salary"?'),
    "unknown level in a list": ("Movement.kind.is_in(['rnt'])", '"rnt" is no level of Movement.kind'),
    "number for a category": ("Movement.kind == 3", "compared with a text, not 3"),
    "null literal": ("Movement.payee == None", "Use .is_null()"),
    "null number": ("Movement.amount == None", "Use .is_null()"),
    "null in a list": ("Movement.kind.is_in(['rent', None])", "Add | Movement.kind.is_null()"),
    "text for a list": ("Movement.kind.is_in('rent')", "takes a list"),
    "empty list": ("Movement.kind.is_in([])", "which keeps nothing"),
    "too many decimals": ("Movement.amount > 0.005", "0.005 has more decimals than Movement.amount, which has 2"),
    "decimals of an integer": ("Movement.days > 1.5", "more decimals than Movement.days, which has 0"),
    "not finite": ("Movement.amount > float('inf')", "which no value can be"),
    "too large": ("Movement.amount > 10**30", "larger than any value of Movement.amount"),
    "true for a number": ("Movement.amount > True", "True, which is no number"),
    "text for a number": ("Movement.amount > '0'", "'0', which is no number"),
    "two for a flag": ("Movement.paid.is_in([2])", "Flag: it is True or False, not 2"),
    "and": ("(Movement.amount > 0) and Movement.paid", "Write & | ~ instead of and, or, not"),
    "not": ("not Movement.paid", "Write & | ~ instead of and, or, not"),
    "chained": ("0 < Movement.amount < 5", "split 0 < x < 5 into (x > 0) & (x < 5)"),
    "no parentheses": ("Movement.amount > 0 & Movement.paid", "parentheses"),
    "other stream": ("Application.amount > 0", "condition on Application. It reads Movement"),
    "two streams": ("Movement.amount > Application.amount", "different streams (Movement, Application)"),
    "two streams joined": ("Movement.paid & (Application.amount > 0)", "different streams"),
    "order of a key": ("Movement.payee > 'x'", "Movement.payee is a Key: it has ==, !=, is_in and is_null only"),
    "sum of keys": ("Movement.payee + 1 > 3", "no order or arithmetic"),
    "order of a category": ("Movement.kind < 'rent'", "Movement.kind is a Category"),
    "different levels": ("Movement.kind == Movement.country", "different levels"),
    "overflow": ("Movement.amount * Movement.amount > 1", "more than 64 bits hold. Declare low and high"),
    "overflow by scale": ("Movement.amount * Movement.rate * 100000 > 1", "more than 64 bits"),
    "division": ("Movement.amount / 2 > 1", "is divided in a condition"),
    "a field": (
        "Movement.amount",
        "takes a condition on the fields of Movement such as Movement.amount > 0, not a Money",
    ),
    "a truth": ("True", "not True"),
    "entity compared": ("Movement.account == 'a'", "not False"),
}


@pytest.mark.parametrize(("condition", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistaken_condition_is_named_with_its_line(condition: str, message: str, refusal: Refusal) -> None:
    assert message in refusal(f"rows = Movement.where({condition})  # <-\n").message


def test_a_product_of_bounded_fields_fits() -> None:
    assert tree("Movement.fee * Movement.fee > 1")[0] == "gt"
