from pathlib import Path
from random import Random

import numpy as np
import pytest

from streamgauge.definitions.schema import StreamSpec
from streamgauge.events.batch import RecordBatch
from streamgauge.events.record import Record
from streamgauge.features.batch_build import StateFiller
from streamgauge.features.decode import SchemaBook
from streamgauge.features.judging import Judged
from streamgauge.features.state import EntityState
from streamgauge.features.timeline import StreamTimeline, Timeline
from streamgauge.testing.records import record
from streamgauge.testing.streams import DAY_US, EVERYTHING, MOVEMENT
from tests.features.logs import LAYOUT, filled_log

FORMS: dict[int, StreamSpec] = {1: MOVEMENT, 2: EVERYTHING}


def disorder(seed: int) -> list[tuple[str, list[Record]]]:
    """Entities whose few ids come again and again: duplicates, conflicts, corrections, deletes, ids begun anew."""
    draw = Random(seed)  # noqa: S311 - a test's draw
    position = 0
    groups: list[tuple[str, list[Record]]] = []
    for entity in ("account:A", "account:B", "account:C", "account:Ü"):
        records = []
        for _ in range(draw.choice([0, 3, 60])):
            position += 1
            at = draw.randrange(3) * DAY_US * draw.choice([1, 1, 40])
            schema = draw.choice([1, 1, 1, 2])
            records.append(
                record(
                    f"id-{draw.randrange(draw.choice([3, 500]))}",
                    at,
                    position=position,
                    entity=entity,
                    stream=FORMS[schema].name,
                    schema=schema,
                    units=[draw.randrange(3)] * len(FORMS[schema].fields),
                    revision=draw.randrange(3),
                    delete=draw.random() < 0.2,
                    known_at=at + draw.randrange(60) * DAY_US,
                    imported=draw.random() < 0.3,
                    sequence=draw.randrange(2),
                )
            )
        groups.append((entity, records))
    return groups


def same(ours: StreamTimeline, theirs: StreamTimeline) -> None:
    for name in ("offsets", "position", "known_at", "time", "sequence", "rank", "event", "key", "revision", "live"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    assert np.array_equal(ours.mask, theirs.mask)
    assert np.array_equal(ours.cols, theirs.cols)
    assert list(ours.records) == list(theirs.records)


@pytest.mark.parametrize("seed", range(40))
def test_a_batch_gives_the_timeline_of_its_records(seed: int) -> None:
    groups, book = disorder(seed), SchemaBook(FORMS.__getitem__)
    theirs = Timeline.of(LAYOUT, groups, book)
    ours = Timeline.of_batch(LAYOUT, RecordBatch.of(groups), book)
    assert ours.entities == theirs.entities
    assert ours.last_position == theirs.last_position
    assert ours.rejected == theirs.rejected
    for own, other in zip(ours.streams, theirs.streams, strict=True):
        same(own, other)
    entity = np.array([i for i, (_, records) in enumerate(groups) for _ in records] + [0, 3])
    observed = [(r.stream, r.event_id) for _, records in groups for r in records] + [None, ("Movement", "never")]
    for stream in ("Movement", "Everything"):
        if LAYOUT.index(stream) >= 0:
            keys = ours.observed_keys(stream, entity, observed)
            assert np.array_equal(keys, theirs.observed_keys(stream, entity, observed))


def test_a_log_gives_the_same_timeline_as_columns_and_as_records(tmp_path: Path) -> None:
    log = filled_log(tmp_path)
    book = SchemaBook(log.schema)
    theirs = Timeline.of(LAYOUT, log.read_by_entity(), book)
    ours = Timeline.of_batch(LAYOUT, next(log.read_columns()), book)
    assert ours.rejected == theirs.rejected
    same(ours.streams[0], theirs.streams[0])
    identities = ours.identities[3]["Movement"]
    assert identities.records == theirs.identities[3]["Movement"].records
    log.close()


@pytest.mark.parametrize("seed", range(40))
def test_a_batch_gives_the_states_of_its_records(seed: int) -> None:
    groups = disorder(seed)
    for entity, (_, records) in enumerate(groups):
        book = SchemaBook(FORMS.__getitem__)
        for number in FORMS:
            book.spec(number)
        batch = RecordBatch.of(groups)
        timeline = Timeline.of_batch(LAYOUT, batch, book)
        ours = StateFiller(timeline, Judged.of(batch, book), book).fill(EntityState(LAYOUT), entity)
        assert ours.encode() == EntityState.rebuild(LAYOUT, records, book).encode()
