"""An entity with very many records is swept over summaries: with the bits of looking at each row of each window."""

from __future__ import annotations

import numpy as np
import pytest

from streamgauge.definitions.schema import NULL
from streamgauge.events.record import Record
from streamgauge.features import history
from streamgauge.features.decode import Ints, SchemaBook
from streamgauge.features.history import EntityHistory
from streamgauge.features.kernels.tree import SUMMARIZED
from streamgauge.features.summary import new_summary
from streamgauge.testing.records import record
from tests.features.direct import SECOND
from tests.features.test_kernel_property import STREAMS
from tests.features.test_summary import BOUND, DAY


def troubled(feed: bool, count: int, seed: int) -> list[Record]:
    """Return records of one entity: one in ten is late, one in ten corrects or deletes an earlier event."""
    random = np.random.default_rng(seed)
    names = [field.name for field in STREAMS[feed].fields]
    records: list[Record] = []
    times: dict[str, int] = {}
    revisions: dict[str, int] = {}
    for position in range(1, count + 1):
        drawn = {"amount": random.integers(-20, 20), "balance": random.integers(-9, 30), "who": random.integers(0, 9)}
        drawn["kind"] = random.integers(0, 3)
        units = [NULL if random.random() < 0.1 else int(drawn[name]) for name in names]
        event_id, now, again = f"e{position:06}", DAY + position * 700 * SECOND, False
        if position > 20 and random.random() < 0.1:
            event_id, again = f"e{int(random.integers(position - 20, position)):06}", True
        late = int(random.integers(0, 90_000)) * SECOND if random.random() < 0.1 else 0
        time = times.setdefault(event_id, now - late)
        revision = revisions[event_id] = revisions.get(event_id, 0) + 1 if again else 0
        delete = again and random.random() < 0.3
        new = record(
            event_id,
            time,
            position=position,
            stream="Move",
            units=units,
            known_at=now,
            revision=revision,
            delete=delete,
        )
        records.append(new)
    return records


@pytest.mark.parametrize("feed", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_long_history_is_swept_with_the_bits_of_every_row(
    feed: bool, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = BOUND[feed]
    records = troubled(feed, SUMMARIZED + 700, seed)
    told = EntityHistory(bound.layout, records, SchemaBook({1: STREAMS[feed]}.__getitem__))
    asked = np.arange(SUMMARIZED - 300, len(records), 7)
    observed = [("Move", records[at].event_id) if at % 3 else None for at in asked.tolist()]
    t = np.array([max(records[at].event_time, records[at].known_at) for at in asked.tolist()]) + asked % 5 * SECOND
    sizes: list[int] = []

    def noted(kinds: Ints, events: int, rolls: Ints) -> Ints:
        sizes.append(events)
        return new_summary(kinds, events, rolls)

    monkeypatch.setattr(history, "new_summary", noted)
    summarized = told.at_positions(bound, t, asked + 1, observed)
    assert sizes == [len(records)]
    monkeypatch.setattr(history, "_WORTH_A_SUMMARY", len(records))
    each = told.at_positions(bound, t, asked + 1, observed)
    assert len(sizes) == 1
    different = np.argwhere(summarized.view(np.int64) != each.view(np.int64))
    assert not len(different), [
        (bound.program.aggregates[bound.program.expressions[column][1]], summarized[row, column], each[row, column])
        for row, column in different[:5].tolist()
    ]
    assert np.isfinite(each).mean() > 0.5
