"""The shared feature, as a project file says it."""

import streamgauge as sg


class Payment(sg.Event, lateness="2d"):
    """A payment of an account."""

    id: sg.EventId
    account: sg.Entity
    at: sg.EventTime
    amount: sg.Money


class Day(sg.Features, entity=Payment.account):
    """The last 24 hours."""

    count = Payment.all.count(over="24h")
    total = Payment.all.sum(Payment.amount, over="24h")
    mean = Payment.all.mean(Payment.amount, over="24h")
