"""At the largest values, the longest windows and past the bounds, every host still gives the oracle's values."""

from __future__ import annotations

import numpy as np

from streamgauge.definitions.schema import NULL
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, Summary, WindowSpec
from streamgauge.features.history import EntityHistory
from streamgauge.features.state import EntityState
from streamgauge.testing.records import record
from streamgauge.testing.streams import DAY_US, MOVEMENT
from tests.oracles.events import Cut
from tests.properties.gate import Gate
from tests.properties.streams import Moment, Scenario

LARGEST = 2**40
WINDOW = WindowSpec("duration", 120 * DAY_US)
SPACING_US = 158_000_000
EVENTS = 2**16 + 1
ROWS = ("sum", "mean", "std", "slope")
STEPS: tuple[Summary, ...] = ("sum", "mean", "std", "slope", "min", "below")
LEVELS = ("std", "slope")


def test_sums_of_65_537_of_the_largest_values_are_exact_and_steps_beyond_their_bound_null() -> None:
    #   120d  ├ 2**40 ─ 2**40 ─ … ─ 2**40 ┤ amount: 65,536 of them are a step of 2**56, the largest; one more is beyond
    #         ├ 2**40 ─ −2**40 ─ … ─ ±2**40 ┤ balance
    records = [
        record(
            f"{number}",
            number * SPACING_US,
            position=number,
            units=(LARGEST, LARGEST if number % 2 else -LARGEST, 0, NULL),
        )
        for number in range(1, EVENTS + 1)
    ]
    amount = ("Movement", WINDOW, None, False, "amount", 2)
    specs = [AggregateSpec(kind, *amount) for kind in ROWS]
    specs += [AggregateSpec("each", *amount, times=2, step="sum", summary=summary) for summary in STEPS]
    specs += [AggregateSpec(f"level_{kind}", *amount[:4], "balance", 2) for kind in LEVELS]
    specs += [AggregateSpec("gap_std", *amount[:4]), AggregateSpec("std", *amount[:4], "balance", 2)]
    features = [FeatureSpec(f"F.f{number}", ("agg", spec), "account") for number, spec in enumerate(specs)]
    streams = {"Movement": MOVEMENT}
    gate = Gate(Scenario(streams, {1: MOVEMENT}, records, features, [], [0], 32, 1, 0))
    (part,) = gate.parts
    t = EVENTS * SPACING_US
    history = EntityHistory(gate.layout, records, gate.book)
    for k in (EVENTS, EVENTS - 1):
        moment = Moment("account:A", t, Cut(k))
        (row,) = history.at_positions(part.bound, np.array([t]), np.array([k]))
        gate.compare("history", part, records, moment, row)
        state = EntityState.rebuild(gate.layout, records[:k], gate.book)
        gate.compare("rebuilt state", part, records, moment, state.compute(part.bound, t))
        assert str(row[len(ROWS)]) == ("nan" if k == EVENTS else str(2.0**56 / 100))
