"""Every aggregate and every kind of window, over streams that misbehave."""

import streamgauge as sg


class Move(sg.Event, feed=True, lateness="10d", tolerance="2h"):
    """Money that moves."""

    id: sg.EventId
    account: sg.Entity
    at: sg.EventTime
    amount: sg.Money = sg.field(default=None)
    balance: sg.Money = sg.field(default=None)
    kind: sg.Category = sg.field(levels=["own", "card", "loan"], default=None)
    place: sg.Category = sg.field(default=None)
    who: sg.Key = sg.field(default=None)


class Ask(sg.Event, lateness="3d"):
    """A question that a model answers."""

    id: sg.EventId
    account: sg.Entity
    at: sg.EventTime
    amount: sg.Number = sg.field(decimals=4, default=None)
    purpose: sg.Category = sg.field(default=None)


class Bad(sg.Event, lateness="10d"):
    """What became of it."""

    id: sg.EventId
    account: sg.Entity
    at: sg.EventTime


inflow = Move.where(Move.amount > 0)
spent = Move.where((Move.amount < 0) & ~(Move.kind == "own"))
before = Ask.prior
balance = Move.all.level(Move.balance)
weekly = Move.all.each("5d", times=6)
WINDOWS = ["1d", "30d", "last 5"]


class Law(sg.Features, entity=Move.account, reach="60d"):
    """One of each."""

    count = Move.all.count(over=["1d", "30d", "last 5", "life"])
    total = inflow.sum(Move.amount, over=["1d", "30d", "last 5", "life"])
    mean = spent.mean(Move.amount, over=WINDOWS)
    std = Move.all.std(Move.amount, over=["30d", "life"])
    least = Move.all.min(Move.amount, over=WINDOWS)
    most = Move.all.max(Move.amount, over=["30d", "life"])
    first = Move.all.first(Move.amount, over="30d")
    last = inflow.last(Move.amount, over=["30d", "life"])
    last_kind = Move.all.last(Move.kind, over="30d")
    first_place = Move.all.first(Move.place, over="life")
    median = Move.all.median(Move.amount, over=["30d", "last 5"])
    tenth = Move.all.quantile(Move.amount, 0.1, over="30d")
    since_last = spent.time_since_last(over="30d")
    since_first = Move.all.time_since_first(over="life")
    who = Move.all.distinct(Move.who, over=["30d", "last 5"])
    card_share = Move.all.share(Move.kind == "card", over=["30d", "life"])
    weighed_share = spent.share(Move.kind == "card", of=Move.amount, over="30d")
    top = Move.all.top_share(Move.who, over="30d")
    weighed_top = spent.top_share(Move.who, of=Move.amount, over="30d")
    gap_mean = Move.all.gap("mean", over="30d")
    gap_median = inflow.gap("median", over="30d")
    gap_max = Move.all.gap("max", over="last 5")
    gap_std = Move.all.gap("std", over="30d")
    streak = Move.all.streak(Move.amount < 0, over="30d")
    slope = Move.all.slope(Move.amount, over=["30d", "last 5"])
    decayed = Move.all.decayed_sum(Move.amount, half_life="3d", over="30d")
    level_mean = balance.mean(over=["1d", "30d"])
    level_std = balance.std(over="30d")
    level_slope = balance.slope(over="30d")
    level_min = balance.min(over="30d")
    level_max = balance.max(over="1d")
    level_below = balance.time_below(0, over="30d")
    level_since = balance.since_below(0)
    level_now = balance.now()
    steps_sum = weekly.sum(Move.amount).slope()
    steps_std = weekly.sum(Move.amount).std()
    steps_count = weekly.count().below(3)
    steps_max = weekly.max(Move.amount).mean()
    steps_distinct = weekly.distinct(Move.who).max()
    asked = before.count(over=["30d", "life"])
    asked_mean = before.mean(Ask.amount, over="last 3")
    asked_last = Ask.all.time_since_last(over="60d")
    ratio = sg.coalesce(inflow.sum(Move.amount, over="30d") / -spent.sum(Move.amount, over="30d"), 0) - 1
    least_of = sg.minimum(Move.all.mean(Move.amount, over="30d"), balance.mean(over="30d")) / 3


went_bad = sg.Label(bad=Bad.all, within="30d", settle="2d")
watch = sg.Model(
    name="watch",
    observe=sg.every("7d", anchor="Mon 00:00 UTC", entity=Move.account, active=Law.since_first >= 0),
    features=[Law],
    label=went_bad,
    estimator=sg.Logistic(),
    split=sg.TimeSplit(calibrate="40d", test="40d"),
)
answer = sg.Model(
    name="answer",
    observe=Ask,
    features=[Law, Ask.amount, Ask.purpose],
    label=went_bad,
    estimator=sg.Boosting(max_iter=8),
    split=sg.TimeSplit(calibrate="40d", test="40d"),
)
policy = sg.Policy(answer, approve_below=0.2, refer_below=0.5)
