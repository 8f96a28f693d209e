"""Features: their names and expressions, and what is refused with its line."""

from __future__ import annotations

import pytest

from streamgauge.definitions.loader import load_source
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, Tree, WindowSpec
from streamgauge.definitions.texts import open_code
from tests.definitions.conftest import MODEL, STREAMS, Refusal

A = ("agg", AggregateSpec("count", "Movement", WindowSpec("duration", 86_400_000_000)))
HEAD = "class C(sg.Features, entity=Movement.account):\n    a = Movement.all.count(over='1d')\n"


def feature(expression: str) -> FeatureSpec:
    return load_source(f"{STREAMS}\n{HEAD}    x = {expression}\n").features["C.x"]


EXPRESSIONS: dict[str, Tree] = {
    "a * 7 / 90": ("div", ("mul", A, ("const", 7.0)), ("const", 90.0)),
    "a * (7 / 90)": ("mul", A, ("const", 7 / 90)),
    "1 - a": ("sub", ("const", 1.0), A),
    "2 / a + a": ("add", ("div", ("const", 2.0), A), A),
    "3 * a": ("mul", ("const", 3.0), A),
    "-a": ("neg", A),
    "sg.minimum(a, 3, a)": ("min", ("min", A, ("const", 3.0)), A),
    "sg.maximum(0, a)": ("max", ("const", 0.0), A),
    "sg.coalesce(a, 0)": ("coalesce", A, ("const", 0.0)),
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_keeps_its_written_order(expression: str) -> None:
    assert feature(expression).expression == EXPRESSIONS[expression]


def test_a_category_carries_its_levels() -> None:
    assert feature("Movement.all.last(Movement.kind, over='life')").levels == ("salary", "rent", "own")
    assert feature("Movement.all.last(Movement.country, over='life')").levels == ()
    assert feature("Movement.all.last(Movement.amount, over='life')").levels is None


def test_every_window_of_a_list_carries_what_is_said_of_the_feature() -> None:
    source = f"{STREAMS}\n{HEAD}    x = sg.feature(\n        Movement.all.count(over=['1d', '7d']),\n"
    source += "        risk='up', code='R1', reason='Many', why='seen', leak_waiver='prior')\n"
    line = len(source.splitlines()) - 2

    features = load_source(source).features

    for name in ("C.x_1d", "C.x_7d"):
        found = features[name]
        assert (found.risk, found.code, found.reason, found.why, found.leak_waiver, found.line) == (
            "up",
            "R1",
            "Many",
            "seen",
            "prior",
            line,
        )


def test_an_underscore_marks_an_intermediate_result() -> None:
    source = f"{STREAMS}\n{HEAD}    _half = a / 2\n    x = _half + 1\n"

    assert list(load_source(source).features) == ["C.a", "C.x"]


def test_a_feature_of_another_class_keeps_its_own_reach() -> None:
    source = f"{STREAMS}\nclass A(sg.Features, entity=Movement.account, reach='7d'):\n"
    source += "    n = Movement.all.count(over='last 3')\n"
    source += "class B(sg.Features, entity=Movement.account, reach='9d'):\n    n = A.n * 2\n"

    expression = load_source(source).features["B.n"].expression

    assert expression[1][1].window.width_us == 7 * 86_400_000_000


PREDICATES = {
    "C.a > 3": ("gt", A, ("const", 3.0)),
    "3 >= C.a": ("le", A, ("const", 3.0)),
    "C.a == C.a * 2": ("eq", A, ("mul", A, ("const", 2.0))),
    "C.a.is_null() | ~(C.a != 1)": ("or", ("is_null", A), ("not", ("ne", A, ("const", 1.0)))),
    "(C.a < 1) & (C.a < 2)": ("and", ("lt", A, ("const", 1.0)), ("lt", A, ("const", 2.0))),
}


@pytest.mark.parametrize("predicate", PREDICATES)
def test_a_predicate_over_features_is_a_tree(predicate: str) -> None:
    assert _active(HEAD, predicate) == PREDICATES[predicate]


def test_a_category_is_compared_with_a_level() -> None:
    closed = HEAD + "    k = Movement.all.last(Movement.kind, over='life')\n"
    opened = HEAD + "    k = Movement.all.last(Movement.country, over='life')\n"

    assert _active(closed, "C.k == 'own'")[2] == ("const", 2.0)
    assert _active(opened, "C.k != 'GB'")[2] == ("const", open_code("GB"))


def _active(head: str, predicate: str) -> Tree:
    source = f"{STREAMS}\n{head}\nbad = sg.Label(bad=Arrears, within='9d')\n"
    source += f"grid = sg.every('7d', anchor='00:00 UTC', entity=Movement.account, active={predicate})\n"
    source += "sg.Model(name='m', observe=grid, features=[C], label=bad, estimator=sg.Boosting(),\n"
    source += "         split=sg.TimeSplit(calibrate='1d', test='1d'))\n"
    active = load_source(source).models["m"].observe.active
    assert active is not None
    return active


MISTAKES = {
    "category in an expression": ("Movement.all.last(Movement.kind, over='life') / 2", "is a category and cannot be"),
    "field in an expression": ("a + Movement.amount", "An event's field must be aggregated first"),
    "null in an expression": ("a + None", "Use .is_null()"),
    "text in an expression": ("a + '1'", "'1', which is no feature"),
    "not finite": ("a * float('nan')", "which is not finite"),
    "list of windows in an expression": ("Movement.all.count(over=['1d', '7d']) / 2", 'Name the window: …["1d"]'),
    "list of windows beside a feature": ("a / Movement.all.count(over=['1d', '7d'])", 'Name the window: …["1d"]'),
    "a field": ("Movement.amount", "C.x is the field Movement.amount, no feature"),
    "a condition": ("Movement.amount > 0", "C.x is a condition, no feature"),
    "rows": ("Movement.all", "C.x is a Rows, no feature. Start its name with _"),
    "an aggregate that is not called": ("Movement.all.count", "C.x is a method, no feature"),
    "a number": ("3", "C.x is 3, no feature"),
    "another name": ("a", "C.x is C.a under another name"),
    "and": ("a and a", "Write & | ~ instead of and, or, not"),
    "minimum of one": ("sg.minimum(a)", "minimum takes two or more values"),
    "coalesce of numbers": ("sg.coalesce(1, 2)", "at least one of them a feature"),
    "no feature": ("sg.feature(3)", "feature takes an aggregate or an expression of features, not 3"),
    "risk": ("sg.feature(a + 1, risk='upp')", "risk='upp' is not understood"),
    "risk of a category": (
        "sg.feature(Movement.all.last(Movement.kind, over='life'), risk='up')",
        "risk= is for numbers",
    ),
    "code without reason": ("sg.feature(a + 1, code='R1')", "A code without a reason"),
    "reason without code": ("sg.feature(a + 1, reason='Why')", "A reason without a code"),
    "code": ("sg.feature(a + 1, code='R 1', reason='Why')", "code='R 1' is no code"),
    "empty reason": ("sg.feature(a + 1, code='R1', reason=' ')", "The reason of R1 is empty"),
    "empty waiver": ("sg.feature(a + 1, leak_waiver='')", "leak_waiver is empty"),
    "declared twice": ("sg.feature(sg.feature(a + 1))", "declared already"),
    "other entity": ("Visit.all.count(over='7d')", "C.x aggregates Visit, whose entity is shop; C is of account"),
    "unknown name": ("aa / 2", "name 'aa' is not defined"),
}


@pytest.mark.parametrize(("expression", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistaken_feature_is_named_with_its_line(expression: str, message: str, refusal: Refusal) -> None:
    error = refusal(
        f"\nclass C(sg.Features, entity=Movement.account):\n{HEAD.splitlines()[1]}\n    x = {expression}  # <-\n"
    )

    assert message in error.message


CLASSES = {
    "entity": ("class C(sg.Features, entity=Movement.amount):  # <-", "Name an Entity field"),
    "reach": ("class C(sg.Features, entity=Movement.account, reach='1y'):  # <-", "reach '1y' is no duration"),
    "keyword": ("class C(sg.Features, entty=Movement.account):  # <-", 'Did you mean "entity"?'),
    "base": ("class C(Cash, entity=Movement.account):  # <-", "It extends sg.Features alone"),
    "second": ("class Cash(sg.Features, entity=Movement.account):  # <-", 'A second Features class "Cash"'),
    "event's name": ("class Visit(sg.Features, entity=Movement.account):  # <-", "names an event and a Features class"),
}


@pytest.mark.parametrize(("line", "message"), CLASSES.values(), ids=CLASSES)
def test_a_mistaken_class_is_named_with_its_line(line: str, message: str, model_refusal: Refusal) -> None:
    assert message in model_refusal(f"\n{line}\n    n = Movement.all.count(over='1d')\n").message


def test_a_class_without_a_feature_is_refused(refusal: Refusal) -> None:
    assert "C has no feature" in refusal("class C(sg.Features, entity=Movement.account):  # <-\n    _x = 3\n").message


def test_a_window_cannot_take_another_features_name(refusal: Refusal) -> None:
    error = refusal(
        """
        class C(sg.Features, entity=Movement.account):
            n_7d = Movement.all.count(over="1d")
            n = Movement.all.count(over=["7d"])  # <-
        """
    )

    assert "C.n_7d is defined twice" in error.message


def test_one_code_has_one_reason(refusal: Refusal) -> None:
    error = refusal(
        """
        class C(sg.Features, entity=Movement.account):
            a = sg.feature(Movement.all.count(over="1d"), code="R1", reason="Many")
            b = sg.feature(Movement.all.count(over="2d"), code="R1", reason="More")  # <-
        """
    )

    assert 'C.b has the code R1 with the reason "More"; C.a has it with "Many"' in error.message


def test_an_unknown_feature_is_named_with_the_close_match(model_refusal: Refusal) -> None:
    assert 'Cash has no "spnd". Did you mean "spend"?' in model_refusal("x = Cash.spnd  # <-\n").message


def test_the_models_of_the_tests_load() -> None:
    assert list(load_source(STREAMS + MODEL).features) == [
        "Cash.n",
        "Cash.spend_7d",
        "Cash.spend_30d",
        "Cash.kind",
        "Shop.n",
    ]
