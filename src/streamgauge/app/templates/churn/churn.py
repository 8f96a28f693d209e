"""Subscription churn on a weekly grid."""

import streamgauge as sg


class Session(sg.Event):
    """One use of the service."""

    id: sg.EventId
    customer: sg.Entity
    at: sg.EventTime
    minutes: sg.Number = sg.field(decimals=1)


class Charge(sg.Event):
    """A renewal attempt."""

    id: sg.EventId
    customer: sg.Entity
    at: sg.EventTime
    amount: sg.Money
    paid: sg.Flag


class Change(sg.Event):
    """Started, cancelled, resumed."""

    id: sg.EventId
    customer: sg.Entity
    at: sg.EventTime
    state: sg.Category = sg.field(levels=["active", "cancelled"])
    active: sg.Integer


class Use(sg.Features, entity=Session.customer):
    sessions = Session.all.count(over=["7d", "28d", "91d"])
    minutes = Session.all.sum(Session.minutes, over=["7d", "28d"])
    since_session = Session.all.time_since_last(over="life")
    pace = sessions["7d"] / (sessions["28d"] / 4)
    failed = Charge.where(~Charge.paid).count(over="91d")
    active = Change.all.level(Change.active).now()
    tenure = Change.all.time_since_first(over="life")


churned = sg.Label(bad_without=Charge.where(Charge.paid), within="35d", settle="1d")
model = sg.Model(
    name="churn",
    observe=sg.every("7d", anchor="Mon 00:00 UTC", entity=Session.customer, active=Use.active > 0),
    features=[Use],
    label=churned,
    estimator=sg.Boosting(),
    split=sg.TimeSplit(calibrate="28d", test="28d"),
)


class Person(sg.Protected, entity=Session.customer):
    """Kept apart."""

    sex: sg.Category
    born: sg.Integer
