"""What the type checkers know of a project file's values."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import assert_type

import streamgauge as sg
from streamgauge.definitions.conditions import Arithmetic, Predicate
from streamgauge.definitions.expressions import Feature, FeaturePredicate


class Movement(sg.Event, feed=True, lateness="30d"):
    id: sg.EventId
    account: sg.Entity
    at: sg.EventTime
    amount: sg.Money
    days: sg.Integer
    kind: sg.Category = sg.field(levels=["a", "b"])
    payee: sg.Key = sg.field(default=None)
    paid: sg.Flag = sg.field(default=False)


class Payment(sg.Event):
    id: sg.EventId
    card: sg.Entity
    merchant: sg.Entity
    at: sg.EventTime


class Visits(sg.Features, entity=(Payment.card, Payment.merchant)):
    n = Payment.prior.count(over="90d")


class Cash(sg.Features, entity=Movement.account, reach="9d"):
    spend = sg.feature(Movement.all.sum(Movement.amount, over=["7d", "30d"]), risk="up")
    pace = spend["7d"] / spend["30d"]


movement = Movement(id="m1", account="a1", at=datetime(2024, 1, 1, tzinfo=UTC), amount=Decimal(1), days=2, kind="a")

assert_type(Movement.amount, sg.Money)
assert_type(movement.amount, Decimal)
assert_type(movement.days, int)
assert_type(movement.at, datetime)
assert_type(movement.paid, bool)
assert_type(movement.account, str)
assert_type(Movement.amount > 0, Predicate)
assert_type((Movement.amount > 0) & Movement.paid | ~Movement.paid, Predicate)
assert_type(Movement.kind != "a", Predicate)
assert_type(Movement.amount + Movement.days, Arithmetic)
assert_type(Movement.all.count(over="7d"), Feature)
assert_type(Movement.all.median(Movement.amount, over=["7d", "30d"])["7d"], Feature)
assert_type(Movement.all.quantile(Movement.days, 0.9, over="7d"), Feature)
assert_type(Movement.all.streak(~Movement.paid, over="last 5", reach="9d"), Feature)
assert_type(Movement.all.decayed_sum(Movement.amount, half_life="1d", over="7d"), Feature)
assert_type(Movement.all.each("7d", times=3).max(Movement.amount).mean(), Feature)
assert_type(Movement.all.each("7d", times=3).distinct(Movement.payee).slope(), Feature)
assert_type(Cash.spend["7d"], Feature)
assert_type(Payment.all.distinct(Payment.merchant, over="7d"), Feature)
assert_type(Payment.all.top_share(Payment.merchant, over="7d"), Feature)
assert_type(Cash.pace, Feature)
assert_type(Cash.pace > 0, FeaturePredicate)
assert_type(sg.coalesce(Cash.pace, 0), Feature)
