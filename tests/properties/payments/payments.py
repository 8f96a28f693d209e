"""Payments of cards at merchants, over streams that misbehave: features of the card, the merchant and the pair."""

import streamgauge as sg


class Payment(sg.Event, lateness="10d", tolerance="2h"):
    """What a model scores, and a policy decides."""

    id: sg.EventId
    card: sg.Entity
    merchant: sg.Entity
    at: sg.EventTime
    amount: sg.Money = sg.field(default=None)
    country: sg.Category = sg.field(default=None)
    present: sg.Flag = sg.field(default=None)


class Dispute(sg.Event, feed=True, lateness="10d"):
    """What became of it; its roles are declared the other way round."""

    id: sg.EventId
    merchant: sg.Entity
    card: sg.Entity
    at: sg.EventTime
    payment: sg.Ref = sg.field(to=Payment, default=None)
    cost: sg.Money = sg.field(default=None)


class Card(sg.Features, entity=Payment.card, reach="60d"):
    """Of the card."""

    n = Payment.all.count(over=["1d", "30d", "last 5", "life"])
    before = Payment.prior.sum(Payment.amount, over=["1d", "30d"])
    usual = Payment.prior.mean(Payment.amount, over="last 3")
    spread = Payment.all.std(Payment.amount, over="30d")
    merchants = Payment.all.distinct(Payment.merchant, over=["1d", "30d"])
    top = Payment.prior.top_share(Payment.merchant, over="30d")
    country = Payment.prior.last(Payment.country, over="30d")
    here = Payment.all.share(Payment.present, over="30d")
    level = Payment.all.level(Payment.amount).mean(over="30d")
    gap = Payment.all.gap("median", over="30d")
    disputes = Dispute.all.count(over="30d")


class Merchant(sg.Features, entity=Payment.merchant, reach="60d"):
    """Of the merchant."""

    n = Payment.all.count(over=["1d", "30d"])
    most = Payment.prior.max(Payment.amount, over="30d")
    cards = Payment.prior.distinct(Payment.card, over=["1d", "30d"])
    since_first = Payment.all.time_since_first(over="life")
    decayed = Payment.all.decayed_sum(Payment.amount, half_life="3d", over="30d")
    steps = Payment.all.each("5d", times=6).sum(Payment.amount).slope()
    rate = Dispute.all.count(over="30d") / Payment.all.count(over="30d")
    cost = Dispute.all.sum(Dispute.cost, over="30d")


class Both(sg.Features, entity=(Payment.merchant, Payment.card), reach="60d"):
    """Of the card at the merchant."""

    visits = Payment.prior.count(over=["1d", "30d"])
    since_first = Payment.prior.time_since_first(over="life")
    median = Payment.all.median(Payment.amount, over="30d")
    disputes = Dispute.all.count(over="30d")
    share = Payment.all.sum(Payment.amount, over="30d") / Card.before["30d"]
    usual = sg.coalesce(Card.n["1d"] / Merchant.n["1d"], -1)


class Rush(sg.Features, entity=Payment.merchant):
    """What only rules read."""

    n = Payment.all.count(over="2h")
    cards = Payment.all.distinct(Payment.card, over="2h")


disputed = sg.Label(bad=Dispute.all, within="30d", settle="2d")
payment = sg.Model(
    name="payment",
    observe=Payment,
    features=[Card, Merchant, Both, Payment.amount, Payment.country, Payment.present],
    label=disputed,
    estimator=sg.Boosting(max_iter=8),
    split=sg.TimeSplit(calibrate="40d", test="40d"),
)
merchant = sg.Model(
    name="merchant",
    observe=sg.every("7d", anchor="Mon 00:00 UTC", entity=Payment.merchant, active=Merchant.since_first >= 0),
    features=[Merchant],
    label=disputed,
    estimator=sg.Logistic(),
    split=sg.TimeSplit(calibrate="40d", test="40d"),
)
policy = sg.Policy(
    payment,
    approve_below=0.35,
    refer_below=0.45,
    rules=[
        sg.decline(Both.visits["1d"] >= 5, code="V1", reason="Too many payments at one merchant"),
        sg.decline(Merchant.rate >= 0.6, code="V2", reason="Too many disputes at the merchant"),
        sg.refer((Card.n["1d"] >= 4) & (Rush.n > Rush.cards), code="V3", reason="Card and merchant are busy"),
    ],
)
