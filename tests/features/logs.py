"""A small log on disk, with late, corrected, deleted and imported records."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, WindowSpec
from streamgauge.events.record import NewRecord
from streamgauge.features.bind import BoundProgram
from streamgauge.features.layout import Layout, Layouts
from streamgauge.features.program import FeatureProgram
from streamgauge.testing.records import record
from streamgauge.testing.streams import DAY_US, EVERYTHING, MOVEMENT

START = 20_000 * DAY_US
MONTH, LIFE = WindowSpec("duration", 30 * DAY_US), WindowSpec("life")
PROGRAM = FeatureProgram.of(
    [
        FeatureSpec(f"f{number}", ("agg", spec), "account")
        for number, spec in enumerate(
            [
                AggregateSpec("count", "Movement", MONTH),
                AggregateSpec("sum", "Movement", LIFE, field="amount", decimals=2),
                AggregateSpec("std", "Movement", MONTH, prior=True, field="amount", decimals=2),
                AggregateSpec("level_mean", "Movement", MONTH, field="balance", decimals=2),
                AggregateSpec("distinct", "Movement", MONTH, field="counterparty"),
            ]
        )
    ],
    {"Movement": MOVEMENT},
)
LAYOUT = Layout.of([PROGRAM])
LAYOUTS = Layouts.of([PROGRAM])
BOUND = BoundProgram.of(PROGRAM, LAYOUTS)


def new(
    event_id: str,
    at: int,
    entity: str,
    units: list[int],
    *,
    revision: int = 0,
    delete: bool = False,
    known: int | None = None,
) -> NewRecord:
    """Return a movement that the log has not seen; `known` declares its arrival."""
    one = record(event_id, at, units=units, revision=revision, delete=delete)
    return NewRecord(
        stream="Movement",
        entity=entity,
        event_id=event_id,
        event_time=at,
        sequence=0,
        revision=revision,
        op=one.op,
        units=one.units,
        texts=b"\x91\xc0",
        digest=one.digest,
        declared_known_at=known,
    )


def filled_log(folder: Path, entities: int = 12, days: int = 150, seed: int = 1) -> SqliteLog:
    """Return a log: half of the history imported, the rest live, one in ten late, corrected or deleted."""
    rng = np.random.default_rng(seed)
    log = SqliteLog(folder / "log.sqlite")
    log.register_schema(EVERYTHING)
    log.register_schema(MOVEMENT)
    batches: dict[int, list[NewRecord]] = {}
    for entity in range(entities):
        for number in range(int(rng.integers(20, 60))):
            day = int(rng.integers(0, days))
            at = START + day * DAY_US
            units = [int(rng.integers(-9_000, 9_000)), int(rng.integers(-500, 900)), 1, int(rng.integers(0, 5))]
            one, key = f"M-{number}", f"account:{entity:02d}"
            if day < days // 2:
                known = at + int(rng.integers(0, 20)) * DAY_US
                batches.setdefault(days // 2 + 25, []).append(new(one, at, key, units, known=known))
                continue
            seen = day + int(rng.integers(0, 25)) * int(rng.random() < 0.2)
            batches.setdefault(max(seen, days // 2 + 25), []).append(new(one, at, key, units))
            if rng.random() < 0.15:
                again = new(one, at, key, [1, 1, 1, 1], revision=1, delete=bool(rng.random() < 0.5))
                batches.setdefault(max(seen, days // 2 + 25) + 2, []).append(again)
    for day in sorted(batches):
        log.append(batches[day], START + day * DAY_US)
    return log
