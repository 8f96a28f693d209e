"""``streamgauge verify`` names what changed since a decision, however little of the project still opens."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamgauge.app.settings import Place
from tests.app.cli.conftest import answer, command


@pytest.fixture(scope="module")
def decided(project: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with three decisions, which nobody owns."""
    root = tmp_path_factory.mktemp("verified") / "decided"
    shutil.copytree(project.root, root)
    for number in range(3):
        event = {"stream": "Application", "id": f"v-{number}", "account": "acc-00017"}
        event |= {"asked_at": datetime.now(UTC).isoformat(), "amount": "1500.00"}
        file = root / "event.json"
        file.write_text(json.dumps({**event, "term_months": 12}))
        answer("decide", file, "--id", f"v-{number}", "-C", root)
    assert answer("verify", "--last", "3", "-C", root)["match"] == 3
    return root


def edit_event(root: Path) -> None:
    with sqlite3.connect(root / ".streamgauge/log.db") as log:
        [position, body] = log.execute("SELECT max(position), body FROM records").fetchone()
        log.execute("UPDATE records SET body = ? WHERE position = ?", (body[:-1] + bytes([body[-1] ^ 1]), position))


def delete_history(root: Path) -> None:
    with sqlite3.connect(root / ".streamgauge/log.db") as log:
        [newest] = log.execute("SELECT max(position) FROM records").fetchone()
        mine = (newest - 3, "account:acc-00017")
        assert log.execute("DELETE FROM records WHERE position < ? AND entity = ?", mine).rowcount > 0


def edit_model(root: Path) -> None:
    part = root / ".streamgauge/models/application-risk/1/artefact/calibrator.json"
    part.write_text(part.read_text().replace('"slope":', '"slope":1'))


def edit_policies(root: Path) -> None:
    for policy in (root / ".streamgauge/models/application-risk/policies").glob("[0-9]*.json"):
        edited = policy.read_text().replace("K01", "K09")
        assert edited != policy.read_text()
        policy.write_text(edited)


def edit_ledger(root: Path) -> None:
    with sqlite3.connect(root / ".streamgauge/ledger.db") as ledger:
        [seq, body] = ledger.execute("SELECT max(seq), body FROM bodies").fetchone()
        ledger.execute("UPDATE bodies SET body = ? WHERE seq = ?", (body.replace(b"acc-", b"bcc-"), seq))


@pytest.mark.parametrize(
    ("damage", "changed"),
    [
        (edit_event, "data"),
        (delete_history, "data"),
        (edit_model, "model"),
        (edit_policies, "policy"),
        (edit_ledger, "ledger"),
    ],
)
def test_what_changed_is_named(decided: Path, tmp_path: Path, damage: Callable[[Path], None], changed: str) -> None:
    root = tmp_path / "damaged"
    shutil.copytree(decided, root)
    damage(root)
    result = command("verify", "--last", "3", "--json", "-C", root)
    assert result.exit_code == 1, result.stderr
    found = json.loads(result.stdout)
    assert found["mismatch"] >= 1
    assert {tuple(one["changed"]) for one in found["differences"]} == {(changed,)}


def test_a_project_file_that_does_not_load_is_no_hindrance(decided: Path, tmp_path: Path) -> None:
    root = tmp_path / "broken"
    shutil.copytree(decided, root)
    (root / "credit.py").write_text("this is no project(")
    assert answer("verify", "--last", "3", "-C", root)["match"] == 3
