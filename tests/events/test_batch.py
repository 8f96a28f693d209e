from itertools import groupby
from random import Random

import numpy as np
import pytest

from streamgauge.events.batch import NOTHING, NUMBERS, RecordBatch
from streamgauge.events.cells import Cells
from streamgauge.events.record import Record
from streamgauge.log.merging import merged
from streamgauge.testing.records import record

STREAMS = {1: "Movement"}


def some_records(count: int, seed: int = 1, first: int = 1) -> dict[str, list[Record]]:
    draw = Random(seed)  # noqa: S311 - a test's draw
    held: dict[str, list[Record]] = {}
    for position in range(first, first + count):
        entity = f"account:{draw.choice(['hot', 'hot', *'abcdeäöü𝄞'])}"
        one = record(f"ü{position}", draw.randrange(10**9), position=position, entity=entity, units=[position, -1])
        held.setdefault(entity, []).append(one)
    return dict(sorted(held.items(), key=lambda item: item[0].encode()))


def test_records_come_back_from_columns_as_they_were() -> None:
    held = some_records(200)
    batch = RecordBatch.of(held.items())
    assert list(batch.groups(STREAMS)) == list(held.items())
    assert [len(part.entities) for part in batch.split(1)] == [1] * len(held)
    assert [r for part in batch.split(70) for r in part.records(STREAMS)] == batch.records(STREAMS)


def test_a_cut_leaves_whole_rows_and_no_empty_entities() -> None:
    held = some_records(200)
    cut = RecordBatch.of(held.items()).up_to(5)
    assert dict(cut.groups(STREAMS)) == {
        key: own for key, records in held.items() if (own := [r for r in records if r.position <= 5])
    }
    assert cut.up_to(0).entities == []


def test_sorted_places_are_merged_into_whole_entities() -> None:
    places: list[list[RecordBatch]] = []
    everything: dict[str, list[Record]] = {}
    for number in range(4):
        held = some_records(150, seed=number, first=1 + 150 * number)
        for key, records in held.items():
            everything.setdefault(key, []).extend(records)
        rows = [r for records in held.values() for r in records]
        slices = [rows[i : i + 7] for i in range(0, len(rows), 7)]
        places.append(
            [RecordBatch.of([(key, list(own)) for key, own in groupby(part, lambda r: r.entity)]) for part in slices]
        )
    found = [group for batch in merged([[], *places, [NOTHING]]) for group in batch.groups(STREAMS)]
    assert found == sorted(everything.items())


@pytest.mark.parametrize("column", range(len(NUMBERS)))
def test_a_checksum_covers_every_number(column: int) -> None:
    batch = RecordBatch.of(some_records(20).items())
    before = batch.checks()
    batch.numbers[column, 7] ^= 1
    assert np.flatnonzero(batch.checks() != before).tolist() == [7]


@pytest.mark.parametrize("name", ["event_id", "units"])
def test_a_checksum_covers_every_byte(name: str) -> None:
    batch = RecordBatch.of(some_records(20).items())
    before = batch.checks()
    cells: Cells = getattr(batch, name)
    data = cells.data.copy()
    data[cells.start[3] + cells.size[3] - 1] ^= 4
    object.__setattr__(batch, name, Cells(data, cells.start, cells.size))
    assert np.flatnonzero(batch.checks() != before).tolist() == [3]
    assert len(set(before.tolist())) == 20
