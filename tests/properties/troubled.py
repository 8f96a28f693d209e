"""Streams in trouble, drawn from a seed: what the law lists, as flat events in the order of their arrival.

::

    clock    ├──batch──┼──batch──┼── days of silence ──┼──batch──┤
    event      late, ahead, at the very time of another, out of order
    again      the same once more, with other content (conflict), at another time (refused), corrected, deleted
    early      a correction or a delete before its insert
    entity     one of them has a quarter of all events
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl

from streamgauge.events.values import format_time

HOUR = 3_600_000_000
DAY = 24 * HOUR
START = 1_700_000_000_000_000
LATENESS = {"Move": 10 * DAY, "Ask": 3 * DAY, "Bad": 10 * DAY}
REMEMBERED = 64
KINDS = ("own", "card", "loan", None)
PLACES = ("", "Ω", "acme", None)
ODD = (0, 0, 1, -1, 499_999, 500_000)
"""µs beside a whole hour, so that events lie on edges of windows, and just beside."""

Flat = dict[str, Any]


@dataclass
class Troubled:
    """A seeded source of events.

    Attributes:
        seed: The seed; equal seeds give equal streams.
        entities: How many accounts there are.
        now: The present moment, µs.
        IDS: The fields with entities' ids.
        DECIDED: The stream whose events are decided.
        REACHING: The streams that imports are of, the frequent one more often.
        READ: The model whose features are read.
    """

    IDS: ClassVar[tuple[str, ...]] = ("account",)
    DECIDED: ClassVar = "Ask"
    REACHING: ClassVar[tuple[str, ...]] = ("Move", "Move", "Ask")
    READ: ClassVar = "watch"

    seed: int
    entities: int
    now: int = START
    _made: int = 0
    _told: list[Flat] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start the generator."""
        self._draw = np.random.default_rng(self.seed)

    def batches(self, events: int, size: int, *, pace_us: int = HOUR) -> Iterator[list[Flat]]:
        """Yield batches of random sizes around one; `now` moves on before each, rarely by many days."""
        left = events
        while left > 0:
            self.now += int(self._draw.integers(0, 2 * pace_us)) + (30 * DAY if self._draw.random() < 0.01 else 0)
            count = min(left, int(self._draw.integers(1, 2 * size + 1)))
            left -= count
            yield [self._next() for _ in range(count)]

    def history(self, stream: str, events: int, span_us: int) -> pl.DataFrame:
        """Return a frame of history over the time before `now`, each row with when it became known."""
        rows = []
        for _ in range(events):
            back = int(self._draw.integers(0, span_us)) // HOUR * HOUR
            event = self._new(stream, self.now - back)
            rows.append(event | {"known_at": self.now - max(back - int(self._draw.integers(0, 3)) * DAY, 0)})
        frame = pl.DataFrame(
            [{name: value for name, value in row.items() if name not in {"stream", "_at"}} for row in rows]
        )
        return frame.with_columns(pl.from_epoch("known_at", "us").dt.replace_time_zone("UTC"))

    def entity(self) -> str:
        """Return an entity as a read names it."""
        return self.id_of("account")

    def id_of(self, _role: str) -> str:
        """Return an entity's id for an event: one of them is hot."""
        if self._draw.random() < 0.25:
            return "hot"
        return f"a{int(self._draw.integers(self.entities)):06d}"

    def _next(self) -> Flat:
        chance = self._draw.random()
        if chance < 0.8 or not self._told:
            event = self._new(self._stream(), self._time())
        else:
            event = self._again(self._told[int(self._draw.integers(len(self._told)))], chance)
        self._told.append(event)
        if len(self._told) > REMEMBERED:
            self._told.pop(int(self._draw.integers(len(self._told))))
        return event

    def _stream(self) -> str:
        chance = self._draw.random()
        return "Move" if chance < 0.85 else "Ask" if chance < 0.98 else "Bad"

    def _time(self) -> int:
        chance = self._draw.random()
        if chance < 0.15 and self._told:
            return int(self._told[-1]["_at"])
        if chance < 0.3:
            whole = self.now // HOUR * HOUR - int(self._draw.integers(0, 24 * 9)) * HOUR
            return whole + int(self._draw.choice(ODD))
        return self.now - int(self._draw.integers(0, HOUR // 2 if chance < 0.9 else 2 * DAY))

    def _new(self, stream: str, at: int) -> Flat:
        self._made += 1
        ids = {role: self.id_of(role) for role in self.IDS}
        event = {"stream": stream, "id": f"e{self._made}", **ids, "_at": at, "at": format_time(at)}
        if self._draw.random() < 0.1:
            event["sequence"] = int(self._draw.integers(-1, 3))
        if self._draw.random() < 0.03:
            event |= {"revision": int(self._draw.integers(1, 3)), "op": str(self._draw.choice(["replace", "delete"]))}
        return self._filled(event)

    def _filled(self, event: Flat) -> Flat:
        if event.get("op") == "delete" or event["stream"] == "Bad":
            return event
        if event["stream"] == "Ask":
            return event | {"amount": self._number(4), "purpose": self._pick(PLACES)}
        return event | {
            "amount": self._number(2),
            "balance": self._number(2),
            "kind": self._pick(KINDS),
            "place": self._pick(PLACES),
            "who": f"w{int(self._draw.integers(9))}" if self._draw.random() < 0.8 else None,
        }

    def _again(self, event: Flat, chance: float) -> Flat:
        """Return an earlier event once more: the same, corrected, deleted, in conflict, or moved in time."""
        bare: Flat = {
            name: event[name] for name in ("stream", "id", *self.IDS, "_at", "at", "sequence") if name in event
        }
        revision = int(event.get("revision", 0))
        if chance < 0.88:
            return event
        if chance < 0.94:
            return self._filled(bare | {"revision": revision + 1, "op": "replace"})
        if chance < 0.97:
            return bare | {"revision": revision + int(self._draw.integers(1, 3)), "op": "delete"}
        again: Flat = {name: event[name] for name in ("revision", "op") if name in event}
        if chance < 0.985:
            return self._filled(bare | again)
        at = event["_at"] + int(self._draw.choice((1, -HOUR)))
        return self._filled(bare | again | {"_at": at, "at": format_time(at)})

    def _pick(self, among: tuple[str | None, ...]) -> str | None:
        return among[int(self._draw.integers(len(among)))]

    def _number(self, decimals: int) -> str | None:
        chance = self._draw.random()
        if chance < 0.05:
            return None
        units = int(self._draw.integers(-50_000, 50_000))
        if chance < 0.1:
            units = int(self._draw.choice((0, 2**40, -(2**40), 2**40 - 1)))
        sign, units = ("-" if units < 0 else ""), abs(units)
        return f"{sign}{units // 10**decimals}.{units % 10**decimals:0{decimals}d}"


def sent(events: list[Flat]) -> list[Flat]:
    """Return events as a sender sends them."""
    return [{name: value for name, value in event.items() if name != "_at"} for event in events]
