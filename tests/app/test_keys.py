from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from streamgauge.app.keys import SCOPES, KeyEntry, Keys
from streamgauge.errors import SettingsError, UnknownName

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "keys.json"


def test_a_key_is_found_again_and_is_not_in_the_file(path: Path) -> None:
    key, entry = Keys(path).create("scorer", ["read", "ingest"], 0)
    assert key.startswith("sg_")
    assert len(key) == 55
    assert entry.scopes == ["ingest", "read"]
    assert Keys(path).find(key) == entry
    assert key not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_keys_differ(path: Path) -> None:
    keys = Keys(path)
    assert keys.create("one", ["read"], 0)[0] != keys.create("two", ["read"], 0)[0]


@pytest.mark.parametrize("wrong", ["", "sg_", "sg_aaaa", "\udcff", "x" * 10_000])
def test_another_key_is_not_found(path: Path, wrong: str) -> None:
    keys = Keys(path)
    assert keys.find(wrong) is None
    key, _ = keys.create("scorer", ["read"], 0)
    assert keys.find(wrong) is None
    assert keys.find(key.upper()) is None
    assert keys.find(key[:-1]) is None


def test_a_running_server_sees_new_and_revoked_keys(path: Path) -> None:
    server, command = Keys(path), Keys(path)
    key, entry = command.create("scorer", ["read"], 0)
    assert server.find(key) == entry
    other, _ = command.create("other", ["read"], 0)
    assert command.revoke("scorer") == entry
    assert server.find(key) is None
    assert server.find(other) is not None
    command.revoke(command.all()[0].id)
    assert server.find(other) is None


def test_a_file_that_is_gone_opens_nothing(path: Path) -> None:
    keys = Keys(path)
    key, _ = keys.create("scorer", ["read"], 0)
    assert keys.find(key) is not None
    path.unlink()
    assert keys.find(key) is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{}",
        b'{"keys":[{"id":"1"}]}',
        b"\xff",
        b'{"keys":[{"id":"a","name":"n","scopes":[],"created":"","sha256":"zz"}]}',
    ],
)
def test_a_damaged_file_opens_nothing(path: Path, damage: bytes) -> None:
    keys = Keys(path)
    key, _ = keys.create("scorer", ["read"], 0)
    path.write_bytes(damage)
    with pytest.raises(SettingsError, match="holds no API keys"):
        keys.find(key)


def test_admin_opens_everything_and_others_their_own() -> None:
    def entry(*scopes: str) -> KeyEntry:
        return KeyEntry(id="", name="", scopes=list(scopes), created="")

    assert all(entry("admin").opens(scope) for scope in SCOPES)
    assert [scope for scope in SCOPES if entry("read").opens(scope)] == ["read"]


def test_what_cannot_be_made_is_refused_with_a_next_step(path: Path) -> None:
    keys = Keys(path)
    keys.create("scorer", ["read"], 0)
    with pytest.raises(SettingsError, match="already"):
        keys.create("scorer", ["read"], 0)
    with pytest.raises(SettingsError, match="at least one"):
        keys.create("nothing", [], 0)
    with pytest.raises(UnknownName, match='Did you mean "read"'):
        keys.create("other", ["raed"], 0)
    with pytest.raises(SettingsError, match="printable"):
        keys.create("\n", ["read"], 0)
    with pytest.raises(UnknownName, match='Did you mean "scorer"'):
        keys.revoke("scoer")
    assert [entry.name for entry in keys.all()] == ["scorer"]
