"""One stream in disorder, and the moments at which a feature of it is asked for. Plain Python, for every peer.

::

    hot    ▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮   an event every five minutes
    mid    ▮  ▮  ▮ ▮   ▮  ▮  ▮ ▮   ▮  ▮  ▮ ▮   ▮    one every forty
    idle   ▮▮▮▮                                     silent after twelve hours
    asked        ?        ?   ?         ?    ?      on whole hours, and at any other moment

The feature: count, sum and mean of an account's amounts over (t − 24 h, t], as of t, knowing what had arrived by t.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any

SECOND = 1_000_000
HOUR = 3_600 * SECOND
WINDOW = 24 * HOUR
START = 1_767_571_200 * SECOND
DAYS = 5
EVERY = {"hot": 300, "mid": 2_400, "idle": 2_400}
IDLE_AFTER = 12 * HOUR
CENTS = (10, 20, 30)
"""The first amounts: 0.1 + 0.2 is 0.3."""


@dataclass(frozen=True)
class Arrival:
    """An event as it arrives.

    Attributes:
        known_at: When it arrives, µs.
        id: The event's id; a repetition, a correction and a delete carry the same.
        account: Its account.
        event_time: When it happened, µs.
        cents: The amount.
        revision: 0, or 1 for a correction or a delete.
        op: ``insert``, ``replace`` or ``delete``.
    """

    known_at: int
    id: str
    account: str
    event_time: int
    cents: int
    revision: int = 0
    op: str = "insert"


@dataclass(frozen=True)
class Question:
    """An account's feature as of a moment, µs."""

    account: str
    t: int


@dataclass(frozen=True)
class Scenario:
    """Arrivals in their order, and questions in order of their moment."""

    arrivals: tuple[Arrival, ...]
    questions: tuple[Question, ...]
    troubles: dict[str, int]

    def packed(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)

    @classmethod
    def unpacked(cls, packed: dict[str, Any]) -> Scenario:
        """Read it from JSON."""
        arrivals = tuple(Arrival(**one) for one in packed["arrivals"])
        return cls(arrivals, tuple(Question(**one) for one in packed["questions"]), packed["troubles"])


def draw(seed: int, *, disorder: bool) -> Scenario:
    """Draw a scenario; without disorder the same events arrive once, at once and in order."""
    source = random.Random(seed)  # noqa: S311 - a seed for everybody, whatever libraries they have
    arrivals: list[Arrival] = []
    troubles = dict.fromkeys(("events", "late", "repeated", "corrected", "deleted", "on an edge"), 0)
    for account, seconds in EVERY.items():
        at, number = START, 0
        end = IDLE_AFTER if account == "idle" else DAYS * 24 * HOUR
        while (at := at + int(source.expovariate(1 / seconds) * SECOND) + 1) < START + end:
            edge = source.random() < 0.1
            event_time = (at // HOUR + 1) * HOUR if edge else at
            cents = CENTS[number] if number < len(CENTS) else source.randint(1, 20_000)
            troubles["events"] += 1
            troubles["on an edge"] += edge
            number += 1
            prompt = event_time + (0 if edge else source.randint(0, 2 * SECOND))
            event = Arrival(prompt, f"{account}-{number}", account, event_time, cents)
            arrivals += _troubled(source, event, troubles) if disorder else [event]
    arrivals.sort(key=lambda one: (one.known_at, one.id, one.revision))
    return Scenario(tuple(arrivals), _questions(source), troubles)


def _troubled(source: random.Random, event: Arrival, troubles: dict[str, int]) -> list[Arrival]:
    if source.random() < 0.1:
        troubles["late"] += 1
        event = _again(event, known_at=event.known_at + source.randint(600 * SECOND, 6 * HOUR))
    found, chance = [event], source.random()
    after = event.known_at + source.randint(SECOND, 4 * HOUR)
    if chance < 0.05:
        troubles["repeated"] += 1
        found.append(_again(event, known_at=after))
    elif chance < 0.09:
        troubles["corrected"] += 1
        found.append(_again(event, known_at=after, revision=1, op="replace", cents=source.randint(1, 20_000)))
    elif chance < 0.11:
        troubles["deleted"] += 1
        found.append(_again(event, known_at=after, revision=1, op="delete"))
    return found


def _again(event: Arrival, **changes: int | str) -> Arrival:
    return Arrival(**{**asdict(event), **changes})


def _questions(source: random.Random) -> tuple[Question, ...]:
    moments = [START + number * 3 * HOUR for number in range(1, 8 * (DAYS + 1))]
    moments += [START + source.randint(HOUR, DAYS * 24 * HOUR) for _ in moments]
    return tuple(Question(account, t) for t in sorted(moments) for account in EVERY)
