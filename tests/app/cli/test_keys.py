"""``streamgauge keys``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.cli.conftest import answer, command, refusal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    command("init", tmp_path / "new")
    return tmp_path / "new"


def test_a_key_is_printed_once_and_only_its_hash_is_kept(root: Path) -> None:
    created = answer("keys", "create", "scoring", "--scope", "read", "--scope", "decide", "-C", root)
    assert created["key"].startswith("sg_")
    [listed] = answer("keys", "list", "-C", root)
    assert (listed["name"], listed["scopes"]) == ("scoring", ["read", "decide"])
    assert created["key"] not in str(listed)
    assert created["key"] not in (root / ".streamgauge" / "keys.json").read_text()


def test_a_revoked_key_is_gone(root: Path) -> None:
    command("keys", "create", "scoring", "--scope", "read", "-C", root)
    assert answer("keys", "revoke", "scoring", "-C", root)["name"] == "scoring"
    assert answer("keys", "list", "-C", root) == []


def test_an_unknown_key_is_refused_with_the_close_one(root: Path) -> None:
    command("keys", "create", "scoring", "--scope", "read", "-C", root)
    assert 'Did you mean "scoring"?' in refusal("keys", "revoke", "scorring", "-C", root)


def test_an_unknown_scope_is_refused(root: Path) -> None:
    assert "raed" in refusal("keys", "create", "scoring", "--scope", "raed", "-C", root)


def test_a_key_without_a_scope_is_a_usage_error(root: Path) -> None:
    assert "--scope" in refusal("keys", "create", "scoring", "-C", root, code=2)


def test_tables_are_for_people(root: Path) -> None:
    assert "There is no API key yet" in command("keys", "list", "-C", root).stdout
    assert "Keep it now" in command("keys", "create", "ops", "--scope", "admin", "-C", root).stdout
    assert "ops" in command("keys", "list", "-C", root).stdout
    assert "revoked" in command("keys", "revoke", "ops", "-C", root).stdout
