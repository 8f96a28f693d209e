"""``quarantine`` and ``policy``, alone and by their commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.app.cli.conftest import answer, command, refusal

if TYPE_CHECKING:
    from pathlib import Path

    from streamgauge.app.settings import Place


def test_a_group_alone_lists(project: Place) -> None:
    policies = answer("policy", "-C", project.root)
    assert policies == answer("policy", "list", "-C", project.root)
    assert [(one["model"], one["state"], one["version"]) for one in policies] == [("application-risk", "in force", 1)]
    assert "application-risk" in command("policy", "-C", project.root).stdout
    assert answer("quarantine", "-C", project.root) == []
    assert "empty" in command("quarantine", "-C", project.root).stdout


def test_a_policy_changed_in_the_file_is_listed_as_declared(project: Place) -> None:
    text = project.project_file.read_text()
    try:
        changed = text.replace("refer_below=0.08", "refer_below=0.09")
        assert changed != text
        project.project_file.write_text(changed)
        found = answer("policy", "-C", project.root)
    finally:
        project.project_file.write_text(text)
    assert [(one["state"], one["refer_below"]) for one in found] == [("in force", 0.08), ("declared", 0.09)]


def test_refused_events_are_tried_again_by_command(project: Place, tmp_path: Path) -> None:
    event = {"id": "r-1", "account": "acc-00007", "booked_at": "2020-01-01T08:00:00Z", "amount": "1.00", "kind": "fee"}
    (tmp_path / "one.jsonl").write_text(json.dumps(event))
    command("ingest", tmp_path / "one.jsonl", "--stream", "Movement", "-C", project.root)
    [item] = answer("quarantine", "list", "--reason", "too_late", "--stream", "Movement", "-C", project.root)
    shown = command("quarantine", "retry", "-C", project.root)
    assert "1 tried: 0 accepted and applied, 1 refused again" in shown.stdout
    assert "r-1" in shown.stdout
    project.project_file.write_text(
        project.project_file.read_text().replace("class Movement(sg.Event", 'class Movement(sg.Event, lateness="9999d"')
    )
    done = answer("quarantine", "retry", item["number"], "-C", project.root)
    assert (done["resolved"], done["kept"]) == (1, 0)
    assert answer("quarantine", "-C", project.root) == []
    assert answer("quarantine", "list", "--state", "resolved", "-C", project.root)[0]["number"] == item["number"]
    assert "Nothing" in command("quarantine", "retry", "-C", project.root).stdout
    assert "cannot be tried" in command("quarantine", "retry", item["number"], "-C", project.root).stdout


def test_wrong_choices_are_refused(project: Place) -> None:
    assert "exclude" in refusal("quarantine", "retry", "1", "--reason", "x", "-C", project.root, code=2)
    assert "resolved or all" in refusal("quarantine", "list", "--state", "shut", "-C", project.root, code=2)
    assert "999999" in refusal("quarantine", "retry", "999999", "-C", project.root)
