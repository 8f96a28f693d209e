"""Card fraud: card, merchant, and card at merchant."""

import streamgauge as sg


class Payment(sg.Event):
    """One authorization request."""

    id: sg.EventId
    card: sg.Entity
    merchant: sg.Entity
    at: sg.EventTime
    amount: sg.Money
    country: sg.Category
    present: sg.Flag


class Chargeback(sg.Event):
    """A payment disputed as fraud; event_time is the report's, not the payment's."""

    id: sg.EventId
    card: sg.Entity
    merchant: sg.Entity
    at: sg.EventTime
    payment: sg.Ref = sg.field(to=Payment)


class Card(sg.Features, entity=Payment.card):
    n = Payment.all.count(over=["1m", "1h", "24h", "7d"])
    spend = Payment.all.sum(Payment.amount, over=["1h", "24h", "7d"])
    usual = Payment.prior.mean(Payment.amount, over="30d")
    since_previous = Payment.prior.time_since_last(over="90d")
    merchants = Payment.all.distinct(Payment.merchant, over=["1h", "24h"])
    countries = Payment.all.distinct(Payment.country, over=["1h", "24h"])
    previous_country = Payment.prior.last(Payment.country, over="30d")
    disputes = Chargeback.all.count(over="180d")


class Merchant(sg.Features, entity=Payment.merchant):
    n = Payment.all.count(over=["1h", "7d"])
    dispute_rate = sg.feature(
        Chargeback.all.count(over="90d") / Payment.all.count(over="90d"),
        leak_waiver="It counts the disputes of other payments, reported by then; it rises while a merchant is crooked.",
    )


class CardAtMerchant(sg.Features, entity=(Payment.card, Payment.merchant)):
    known_for = sg.feature(
        Payment.prior.time_since_first(over="life"),
        leak_waiver="It ages with the log, so later rows have more of it, fraud or not; a thief pays where the card never was.",
    )
    visits = Payment.prior.count(over="90d")


fraud = sg.Label(bad=Chargeback, match=Chargeback.payment, within="120d", settle="0d")
model = sg.Model(
    name="card-fraud",
    observe=Payment,
    features=[Card, Merchant, CardAtMerchant, Payment.amount, Payment.country, Payment.present],
    label=fraud,
    estimator=sg.Boosting(),
    split=sg.TimeSplit(calibrate="30d", test="30d"),
    sample=sg.Downsample(good=0.02),
)
policy = sg.Policy(model, approve_below=0.02, refer_below=0.2, rules=[sg.decline(Card.n["1m"] >= 5, code="V1", reason="Too many payments in one minute")])
