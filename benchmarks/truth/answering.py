"""How a peer is asked: the scenario comes as JSON on standard input, the answers go as JSON to standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from scenario import Scenario

Answer: TypeAlias = "tuple[float | None, float | None, float | None]"
"""Count, sum and mean; None where there is no value."""

EMPTY: Answer = (0.0, 0.0, None)


def answer(by: Callable[[Scenario], tuple[Sequence[Answer], Sequence[Answer]]]) -> None:
    """Answer a scenario's questions: as served then, and as computed for a training set afterwards."""
    out, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    served, trained = by(Scenario.unpacked(json.load(sys.stdin)))
    json.dump({"served": served, "trained": trained}, out)
