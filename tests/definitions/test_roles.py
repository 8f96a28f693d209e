"""Roles: events about several entities, features of pairs, and what is refused with its line."""

from __future__ import annotations

from datetime import UTC, datetime
from textwrap import dedent

import pytest

import streamgauge as sg
from streamgauge.definitions.loader import load_source
from streamgauge.definitions.roles import every_role, keys_of, keys_within, pair_id, pair_ids, pair_role
from streamgauge.definitions.schema import FieldKind
from streamgauge.features.program import FeatureProgram
from tests.definitions.conftest import Refusal

PAYMENTS = '''\
import streamgauge as sg


class Payment(sg.Event):
    """One authorization request."""

    id: sg.EventId
    card: sg.Entity
    merchant: sg.Entity
    at: sg.EventTime
    amount: sg.Money


class Chargeback(sg.Event):
    id: sg.EventId
    merchant: sg.Entity
    card: sg.Entity
    at: sg.EventTime
    payment: sg.Ref = sg.field(to=Payment)


class Lost(sg.Event):
    id: sg.EventId
    card: sg.Entity
    at: sg.EventTime


class Card(sg.Features, entity=Payment.card):
    n = Payment.all.count(over=["1h", "7d"])
    merchants = Payment.all.distinct(Payment.merchant, over="1d")
    top = Payment.all.top_share(Payment.merchant, over="1d")


class Merchant(sg.Features, entity=Payment.merchant):
    n = Payment.all.count(over="1h")
    disputes = Chargeback.all.count(over="90d")


class CardAtMerchant(sg.Features, entity=(Payment.merchant, Payment.card)):
    visits = Payment.prior.count(over="90d")
    disputes = Chargeback.all.count(over="90d")
    share = visits / Card.n["7d"]


fraud = sg.Label(bad=Chargeback, match=Chargeback.payment, within="120d")
time = sg.TimeSplit(calibrate="30d", test="30d")
'''
MODEL = 'model = sg.Model(name="m", observe={}, features=[{}], label={}, estimator=sg.Boosting(), split=time)  # <-\n'

MISTAKES = {
    "five roles": (
        """
        class Transfer(sg.Event):
            id: sg.EventId
            at: sg.EventTime
            a: sg.Entity
            b: sg.Entity
            c: sg.Entity
            d: sg.Entity
            e: sg.Entity  # <-
        """,
        "Transfer has 5 entities (a, b, c, d, e); it may have 4",
    ),
    "options of a role": (
        """
        class Transfer(sg.Event):
            id: sg.EventId
            at: sg.EventTime
            a: sg.Entity
            b: sg.Entity = sg.field(default=None)  # <-
        """,
        "Transfer.b is the event's Entity: it takes no options",
    ),
    "a pair of two events": (
        "class C(sg.Features, entity=(Payment.card, Chargeback.merchant)):  # <-\n    n = 1\n",
        'of another event. A pair is two entities of one event. Did you mean "Payment.merchant"?',
    ),
    "a pair with itself": (
        "class C(sg.Features, entity=(Payment.card, Payment.card)):  # <-\n    n = Payment.all.count(over='1d')\n",
        "C pairs Payment.card with itself",
    ),
    "three of a pair": (
        "class C(sg.Features, entity=(Payment.card, Payment.merchant, Lost.card)):  # <-\n    n = 1\n",
        "C has 3 entities. It is of one, or of a pair",
    ),
    "a pair with no entity": (
        "class C(sg.Features, entity=(Payment.card, Payment.amount)):  # <-\n    n = Payment.all.count(over='1d')\n",
        "C has entity=a Money. Name an Entity field",
    ),
    "a stream without the role": (
        "class C(sg.Features, entity=Payment.merchant):\n    n = Lost.all.count(over='1d')  # <-\n",
        "C.n aggregates Lost, whose entity is card; C is of merchant. Use a stream that has an entity field named",
    ),
    "a stream without one of the pair": (
        "class C(sg.Features, entity=(Payment.card, Payment.merchant)):\n    n = Lost.all.count(over='1d')  # <-\n",
        "C.n aggregates Lost, whose entity is card; C is of card|merchant. Use a stream that has an entity field",
    ),
    "another role's feature": (
        "class C(sg.Features, entity=Payment.card):\n    n = Payment.all.count(over='1d') / Merchant.n  # <-\n",
        "C.n reads Merchant.n of merchant; C is of card, which does not say whose.",
    ),
    "a feature that no observation has": (
        MODEL.format("Lost", "Merchant", "sg.Label(bad=Chargeback, within='3d')"),
        "Model m observes card; Merchant.n is of merchant.",
    ),
    "a pair of a grid": (
        MODEL.format(
            "sg.every('7d', anchor='00:00 UTC', entity=Payment.card)",
            "CardAtMerchant",
            "sg.Label(bad=Lost, within='3d')",
        ),
        "Model m observes card; CardAtMerchant.visits is of card|merchant.",
    ),
    "a label of another role": (
        MODEL.format(
            "sg.every('7d', anchor='00:00 UTC', entity=Payment.merchant)", "Merchant", "sg.Label(bad=Lost, within='3d')"
        ),
        "Model m observes merchant; its label reads Lost of card.",
    ),
    "a reference to another entity's event": (
        """
        class Audit(sg.Event):
            id: sg.EventId
            merchant: sg.Entity
            shop: sg.Entity
            at: sg.EventTime
            payment: sg.Ref = sg.field(to=Payment)  # <-
        """,
        "Audit.payment points to Payment, whose entity is card, not merchant or shop.",
    ),
}


@pytest.mark.parametrize(("source", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_about_roles_is_named_with_its_line(source: str, message: str, file_refusal: Refusal) -> None:
    assert message in file_refusal(PAYMENTS + dedent(source)).message


def test_an_event_of_several_entities_has_each_as_a_key_of_its_payload() -> None:
    stream = load_source(PAYMENTS).streams["Chargeback"]
    assert (stream.entity, stream.roles) == ("merchant", ("merchant", "card"))
    assert [(field.name, field.kind, field.required) for field in stream.fields[:2]] == [
        ("merchant", FieldKind.KEY, True),
        ("card", FieldKind.KEY, True),
    ]
    assert load_source(PAYMENTS).streams["Lost"].fields == ()


def test_an_event_of_several_entities_is_made_from_each_once() -> None:
    class Ride(sg.Event):
        id: sg.EventId
        driver: sg.Entity
        rider: sg.Entity
        at: sg.EventTime

    at = datetime(2024, 1, 1, tzinfo=UTC)
    ride = Ride(id="r", driver="d", rider="p", at=at)
    assert (ride.driver, ride.rider) == ("d", "p")
    with pytest.raises(TypeError, match=r"Ride lacks rider\."):
        Ride(id="r", driver="d", at=at)  # type: ignore[call-arg]


def test_each_aggregate_is_read_under_its_class_role() -> None:
    project = load_source(PAYMENTS)
    program = FeatureProgram.of(list(project.features.values()), project.streams)
    read = {
        name: sorted({program.aggregates[leaf[1]].role for leaf in (tree, *tree[1:]) if leaf_of(leaf)})
        for name, tree in zip(program.names, program.expressions, strict=True)
    }
    assert read["Card.n_1h"] == ["card"]
    assert read["Merchant.n"] == ["merchant"]
    assert read["Merchant.disputes"] == ["merchant"]
    assert read["CardAtMerchant.share"] == ["card", "card|merchant"]
    assert program.roles == ("card", "card|merchant", "merchant")


def leaf_of(tree: object) -> bool:
    return isinstance(tree, tuple) and tree[0] == "agg"


def test_a_program_of_several_roles_comes_back_from_its_canonical_form() -> None:
    project = load_source(PAYMENTS)
    program = FeatureProgram.of(list(project.features.values()), project.streams)
    again = FeatureProgram.from_canonical(program.canonical())
    assert again == program
    assert again.digest == program.digest


def test_a_model_reads_every_role_of_what_it_observes() -> None:
    source = MODEL.format("Payment", "Card, Merchant, CardAtMerchant, Payment.amount", "fraud")
    rule = 'sg.Policy(model, approve_below=.1, refer_below=.2, rules=[sg.refer(Merchant.n > 9, code="V", reason="x")])'
    project = load_source(PAYMENTS + source + rule)
    assert {feature.role for feature in project.models["m"].features} == {"card", "merchant", "card|merchant"}
    assert project.models["m"].observe.role == "card"


def test_the_order_of_a_pair_does_not_matter() -> None:
    assert pair_role("card", "merchant") == pair_role("merchant", "card") == "card|merchant"
    assert every_role(("c", "b", "a")) == ("c", "b", "a", "b|c", "a|c", "a|b")
    ids = {"merchant": "M", "card": "C"}
    assert keys_of(ids) == {"merchant": "merchant:M", "card": "card:C", "card|merchant": "card|merchant:C|M"}


@pytest.mark.parametrize(("first", "second"), [("a|b", "c"), ("a", "b|c"), ("a%7Cb", "c"), ("%", "|"), ("a%", "7Cb")])
def test_every_two_ids_have_a_pair_id_of_their_own(first: str, second: str) -> None:
    assert pair_ids(pair_id(first, second)) == (first, second)
    key = f"card|merchant:{pair_id(first, second)}"
    assert keys_within(key) == {"card|merchant": key, "card": f"card:{first}", "merchant": f"merchant:{second}"}
