"""The check of the log's index beside a start."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.adapters.sqlite.index_check import IndexCheck
from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.adapters.sqlite.log_schema import CHECKED
from tests.faults.damage import hide_a_record


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of ten thousand records whose keys are in no order."""
    path = tmp_path / "log.db"
    SqliteLog(path).close()
    with closing(sqlite3.connect(path)) as file, file:
        rows = ((at, f"account:A-{at * 7_919 % 10_007}", at, b"record") for at in range(1, 10_001))
        file.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
    return path


def test_a_sound_index_has_no_problems(log: Path) -> None:
    with closing(IndexCheck(log, CHECKED)) as check:
        assert check.problems() == []


def test_an_index_that_hides_a_record_is_found_and_made_again_from_what_was_found(log: Path) -> None:
    hide_a_record(log)
    with closing(IndexCheck(log, CHECKED)) as check, closing(SqliteLog(log)) as opened:
        found = check.problems()
        assert found
        assert "missing from index records_by_slice" in found[0]
        assert opened.mend(found)
        assert not opened.mend()


def test_what_is_found_is_believed_and_what_was_not_looked_at_is_looked_at(log: Path) -> None:
    hide_a_record(log)
    with closing(SqliteLog(log)) as opened:
        assert not opened.mend([])
        assert opened.mend(None)


@pytest.mark.parametrize("content", [None, b"", b"no database " * 1_000])
def test_a_file_that_is_no_log_is_left_to_who_opens_it(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "log.db"
    if content is not None:
        path.write_bytes(content)
    with closing(IndexCheck(path, CHECKED)) as check:
        assert check.problems() is None
    assert path.exists() == (content is not None)


def test_closing_ends_a_check_under_way(log: Path) -> None:
    for _ in range(20):
        check = IndexCheck(log, CHECKED)
        check.close()
        assert check.problems() in (None, [])
