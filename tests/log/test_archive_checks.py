"""What a check of the whole log finds, and what it must not take for damage."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from streamgauge.errors import LogDamaged
from tests.log.test_archive import fill, opened


def test_what_is_sealed_during_a_check_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(tmp_path)
    fill(log)
    count, check = log.check(), log._reader.check

    def overtaken(after: int) -> int:
        log.seal(10, 30)
        return check(after)

    monkeypatch.setattr(log._reader, "check", overtaken)
    assert log.check() == count
    assert log._archive.snapshot().sealed_to > 0
    log.close()


def test_a_flipped_index_is_found(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log)
    log.close()
    with sqlite3.connect(tmp_path / "log.db") as file:
        root = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'records_by_slice'").fetchone()[0]
        size = file.execute("PRAGMA page_size").fetchone()[0]
    file.close()
    path = tmp_path / "log.db"
    data = bytearray(path.read_bytes())
    page = slice((root - 1) * size, root * size)
    place = data.index(b"account:A-", page.start) + len("account:A-")
    data[place] ^= 8
    path.write_bytes(data)
    log = opened(tmp_path)
    with pytest.raises(LogDamaged, match="damaged"):
        log.check()
    log.close()
