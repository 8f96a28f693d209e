"""The file of protected attributes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from streamgauge.adapters.sqlite.protected import SqliteProtectedStore
from streamgauge.errors import SettingsError


def test_what_is_kept_is_read_again_after_reopening(tmp_path: Path) -> None:
    store = SqliteProtectedStore(tmp_path / "protected.db")
    store.put("Person", {"customer:C1": {"sex": "f", "born": 1980}, "customer:C2": {}})
    store.put("Person", {"customer:C1": {"sex": "m"}})
    store.put("Shop", {"shop:C1": {"owned_by": "f"}})
    store.close()
    again = SqliteProtectedStore(tmp_path / "protected.db")
    assert again.people("Person") == {"customer:C1": {"sex": "m"}, "customer:C2": {}}
    assert again.counts() == {"Person": 2, "Shop": 1}
    assert again.people("Other") == {}
    again.close()


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "protected.db"
    path.touch(0o644)
    SqliteProtectedStore(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_erased_entity_is_in_no_byte_of_the_folder(tmp_path: Path) -> None:
    store = SqliteProtectedStore(tmp_path / "protected.db")
    store.put("Person", {f"customer:C{number}": {"region": f"place-{number}"} for number in range(200)})
    store.put("Family", {"customer:C17": {"region": "elsewhere-17"}})
    assert store.erase("customer:C17") == 2
    assert store.erase("customer:C17") == 0
    assert len(store.people("Person")) == 199
    store.close()
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"place-18" in held
    assert b'place-17"' not in held
    assert b"elsewhere-17" not in held


def test_a_failed_write_keeps_nothing(tmp_path: Path) -> None:
    store = SqliteProtectedStore(tmp_path / "protected.db")
    with pytest.raises(UnicodeEncodeError):
        store.put("Person", {"customer:C1": {"sex": "f"}, "customer:\ud800": {"sex": "f"}})
    assert store.people("Person") == {}
    store.put("Person", {"customer:C1": {"sex": "f"}})
    assert len(store.people("Person")) == 1
    store.close()


def test_a_file_that_is_none_of_ours_is_named(tmp_path: Path) -> None:
    path = tmp_path / "protected.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(SettingsError, match="cannot be read as protected attributes"):
        SqliteProtectedStore(path)
