"""The log's index by slices of positions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.adapters.sqlite.log_slices import FORMER, NAME
from streamgauge.events.record import Record
from streamgauge.testing.log_conformance import NOW, movement
from tests.adapters.sqlite.test_log import opened

EVENTS = 20_000
RARE = "rare"
RARE_AT = (1, 8_191, 8_192, 8_193, 16_384, EVENTS)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of three slices: one entity has a record on each side of their bounds, a hundred others have the rest."""
    path = tmp_path_factory.mktemp("slices") / "log.db"
    with closing(opened(path)) as log:
        new = [movement(f"m-{at}", RARE if at in RARE_AT else f"A-{at % 100}") for at in range(1, EVENTS + 1)]
        log.append(new, NOW)
    return path


@pytest.fixture
def path(written: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    copied = tmp_path / "log.db"
    copied.write_bytes(written.read_bytes())
    return copied


def positions(log: SqliteLog, up_to: int | None = None, after: int = 0) -> list[int]:
    return [record.position for record in log.read_entity(f"account:{RARE}", up_to, after)]


def reads_all(log: SqliteLog) -> None:
    assert positions(log) == list(RARE_AT)
    assert log.entities() == sorted([f"account:{RARE}", *(f"account:A-{number}" for number in range(100))])
    assert sum(len(records) for _, records in log.read_by_entity()) == EVENTS
    assert log.check() == EVENTS


def test_an_entity_is_found_in_every_slice(path: Path) -> None:
    with closing(opened(path)) as log:
        reads_all(log)


@pytest.mark.parametrize("after", [0, 1, 8_190, 8_191, 8_192, 16_383, EVENTS - 1, EVENTS, 2**63 - 1])
@pytest.mark.parametrize("up_to", [0, 8_191, 8_192, 16_384, EVENTS, None])
def test_bounds_within_and_between_slices_hold(path: Path, after: int, up_to: int | None) -> None:
    last = EVENTS if up_to is None else up_to
    with closing(opened(path)) as log:
        assert positions(log, up_to, after) == [at for at in RARE_AT if after < at <= last]


def test_an_event_is_found_in_a_later_slice_than_the_first(path: Path) -> None:
    with closing(opened(path)) as log:
        for at in RARE_AT:
            found = log.find("Movement", f"account:{RARE}", f"m-{at}", at - 1)
            assert found is not None
            assert found.position == at
            assert log.find("Movement", f"account:{RARE}", f"m-{at}", at) is None


def test_an_empty_log_has_no_slice(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "log.db")) as log:
        assert (positions(log), log.entities(), list(log.read_columns(["account:A-1"]))) == ([], [], [])


def test_the_newest_moment_of_an_entity_is_found_from_its_last_slice(path: Path) -> None:
    with closing(opened(path)) as log:
        (ahead,) = log.append([movement("ahead", RARE)], NOW + 10**9)
        log.append([movement(f"n-{at}", "A-1") for at in range(10_000)], NOW + 10**6)
        (behind,) = log.append([movement("behind", RARE)], NOW + 10**6)
        assert isinstance(ahead, Record)
        assert isinstance(behind, Record)
        assert behind.accepted_at == ahead.accepted_at == NOW + 10**9


def test_an_erasure_takes_the_records_of_every_slice(path: Path) -> None:
    with closing(opened(path)) as log:
        assert log.erase(f"account:{RARE}", up_to=8_192) == 3
        assert positions(log) == list(RARE_AT[3:])
        assert log.erased().tolist() == list(RARE_AT[:3])


def test_a_file_with_the_index_by_entity_alone_is_brought_to_this_one(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(f"DROP INDEX {NAME}")
        file.execute(f"CREATE INDEX {FORMER} ON records (entity, id_hash)")
        file.execute("UPDATE meta SET value = 2 WHERE key = 'format'")
    with closing(opened(path)) as log:
        reads_all(log)
    with closing(sqlite3.connect(path)) as file:
        names = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    assert NAME in names
    assert FORMER not in names


def test_each_slice_is_searched_by_the_index(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    with closing(opened(path)) as log:
        rows = log._reader.rows

        def explained(query: str, values: Sequence[str | int] = ()) -> list[tuple[Any, ...]]:
            steps.extend(step[3] for step in rows(f"EXPLAIN QUERY PLAN {query}", values))
            return rows(query, values)

        monkeypatch.setattr(log._reader, "rows", explained)
        positions(log)
        log.find("Movement", f"account:{RARE}", "m-1")
    by_entity, by_event = [step for step in steps if NAME in step]
    assert "<expr>=? AND entity=?" in by_entity
    assert "<expr>=? AND entity=? AND id_hash=?" in by_event
    assert not [step for step in steps if step.startswith("SCAN records")]
