"""Project files with one mistake each; the line that holds it ends in ``# <-``."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent
from typing import TypeAlias

import pytest

from streamgauge.definitions.loader import load_source
from streamgauge.errors import DefinitionError

STREAMS = '''\
import streamgauge as sg


class Movement(sg.Event, feed=True):
    """A booked movement."""

    id: sg.EventId
    account: sg.Entity
    at: sg.EventTime
    amount: sg.Money
    fee: sg.Money = sg.field(low=0, high=1000, default=0)
    rate: sg.Number = sg.field(decimals=4, low=0, high=1)
    days: sg.Integer = sg.field(low=-2, high=9)
    kind: sg.Category = sg.field(levels=["salary", "rent", "own"])
    country: sg.Category = sg.field(default=None)
    payee: sg.Key = sg.field(default=None)
    paid: sg.Flag = sg.field(default=False)


class Application(sg.Event):
    id: sg.EventId
    account: sg.Entity
    at: sg.EventTime
    amount: sg.Money
    note: sg.Key = sg.field(default=None)


class Arrears(sg.Event):
    id: sg.EventId
    account: sg.Entity
    at: sg.EventTime
    application: sg.Ref = sg.field(to=Application)
    movement: sg.Ref = sg.field(to=Movement)
    days: sg.Integer


class Visit(sg.Event):
    id: sg.EventId
    shop: sg.Entity
    at: sg.EventTime
'''

MODEL = """
class Cash(sg.Features, entity=Movement.account, reach="365d"):
    n = sg.feature(Movement.all.count(over="30d"), risk="up", code="R01", reason="Many movements")
    spend = Movement.all.sum(Movement.amount, over=["7d", "30d"])
    kind = Movement.all.last(Movement.kind, over="life")


class Shop(sg.Features, entity=Visit.shop):
    n = Visit.all.count(over="7d")


bad = sg.Label(bad=Arrears.where(Arrears.days >= 30), match=Arrears.application, within="90d", settle="5d")
grid_bad = sg.Label(bad=Arrears, within="90d")
weekly = sg.every("7d", anchor="Mon 00:00 UTC", entity=Movement.account, active=Cash.n > 0)
moment = sg.at(["2024-01-01T00:00:00Z"], entity=Movement.account)
months = sg.at(["2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"], entity=Movement.account)
time = sg.TimeSplit(calibrate="60d", test="60d")
parts = dict(name="risk", observe=Application, features=[Cash], label=bad, estimator=sg.Boosting(), split=time)
"""

Refusal: TypeAlias = Callable[[str], DefinitionError]


def _load(source: str) -> DefinitionError:
    lines = source.splitlines()
    marked = [number for number, line in enumerate(lines, 1) if line.endswith("# <-")]
    with pytest.raises(DefinitionError) as caught:
        load_source(source, "risk")
    error = caught.value
    assert error.path == "<risk>"
    assert [error.line] == marked, f"{error} is not on the marked line"
    return error


@pytest.fixture
def refusal() -> Refusal:
    """Return the refusal of a mistake that follows some streams."""
    return lambda mistake: _load(STREAMS + dedent(mistake))


@pytest.fixture
def model_refusal() -> Refusal:
    """Return the refusal of a mistake that follows some streams, features and labels."""
    return lambda mistake: _load(STREAMS + MODEL + dedent(mistake))


@pytest.fixture
def file_refusal() -> Refusal:
    """Return the refusal of a whole file."""
    return lambda source: _load(dedent(source).lstrip("\n"))
