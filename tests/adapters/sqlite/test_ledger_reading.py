"""Decisions are read beside their ledger's owner as the owner reads them, or not at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from streamgauge.adapters.sqlite.ledger import SqliteLedger
from streamgauge.adapters.sqlite.ledger_reading import DecisionReader
from streamgauge.testing.decision_builder import build_decision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with SqliteLedger(tmp_path / "ledger.sqlite", tmp_path / "ledger.heads") as ledger:
        ledger.append([build_decision("d-1", "ann"), build_decision("d-2", "bob")])
        yield ledger


def test_a_decision_is_the_one_that_the_owner_reads(ledger: SqliteLedger, tmp_path: Path) -> None:
    with closing(DecisionReader(tmp_path / "ledger.sqlite")) as reader:
        assert reader.get("d-1") == ledger.get("d-1") is not None
        assert reader.get("d-3") is None
        ledger.append([build_decision("d-3", "ann")])
        assert reader.get("d-3") == ledger.get("d-3") is not None


def test_an_erased_decision_is_left_to_the_owner_and_the_erasure_is_not_held_up(
    ledger: SqliteLedger, tmp_path: Path
) -> None:
    with closing(DecisionReader(tmp_path / "ledger.sqlite")) as reader:
        assert reader.get("d-2") is not None
        ledger.erase("account", "bob", erased_at=1)
        assert reader.get("d-2") is None
        assert reader.get("d-1") is not None
        assert (tmp_path / "ledger.sqlite-wal").stat().st_size == 0


def test_an_altered_decision_is_left_to_the_owner(ledger: SqliteLedger, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as other:
        other.execute("UPDATE bodies SET body = CAST(replace(CAST(body AS TEXT), 'd-1', 'd-9') AS BLOB) WHERE seq = 1")
        other.commit()
    with closing(DecisionReader(tmp_path / "ledger.sqlite")) as reader:
        assert reader.get("d-1") is None
    entry = ledger.get("d-1")
    assert entry is not None
    assert entry.status == "broken"
