"""Editing the project file never stops serving; a program that does not fit the state is built beside it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamgauge.app.owner import Owner
from streamgauge.app.service import quiet
from streamgauge.app.settings import Place, find_place
from streamgauge.definitions.loader import load_project
from streamgauge.errors import DefinitionError
from tests.faults.lender import ACCOUNT_RISK, PROJECT, Sender, register
from tests.faults.truth import Truth

BROKEN = "import streamgauge as sg\nclass Movement(sg.Event:\n"
EDITS = {
    "a field is gone": ("    payer: sg.Key = sg.field(default=None)\n", ""),
    "a field has other decimals": ("    balance: sg.Money", "    balance: sg.Number"),
    "a level is new": ('levels=["salary", "card", "loan"]', 'levels=["salary", "card", "loan", "fee"]'),
    "a level is gone": ('levels=["salary", "card", "loan"]', 'levels=["salary", "loan"]'),
    "the entity has another name": ("    account: sg.Entity\n    booked_at", "    client: sg.Entity\n    booked_at"),
}
MORE = PROJECT.replace(
    "    pace = ", '    cards = Movement.where(Movement.kind == "card").sum(Movement.amount, over="8d")\n    pace = '
)


def go_on(owner: Owner, project: str = PROJECT, prefix: str = "x") -> None:
    """Ingest and decide, then check everything."""
    sender = Sender(31, prefix=prefix)
    for number in range(10):
        answer = owner.ingest([sender.event(datetime.now(UTC)) for _ in range(8)], applied=True)
        assert answer.quarantined == 0
        owner.decide(f"{prefix}-{number}", sender.application(datetime.now(UTC)))
    Truth(owner, project).check()


@pytest.mark.parametrize("content", [BROKEN, "", "raise SystemExit", None])
def test_a_broken_or_missing_file_at_a_restart_does_not_stop_serving(lender: Place, content: str | None) -> None:
    file = lender.root / "lender.py"
    file.unlink() if content is None else file.write_text(content, "utf-8")
    with Owner.open(lender) as owner:
        assert "served" in owner.warnings[0]
        go_on(owner)


def test_a_broken_file_is_refused_where_nothing_is_served(tmp_path: Path) -> None:
    (tmp_path / "lender.py").write_text(BROKEN, "utf-8")
    (tmp_path / "streamgauge.toml").write_text('[project]\nfile = "lender.py"\n', "utf-8")
    with pytest.raises(DefinitionError, match=r"lender\.py:2"):
        Owner.open(find_place(tmp_path))


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_that_does_not_fit_the_champion_is_not_taken_for_serving(lender: Place, edit: str) -> None:
    old, new = EDITS[edit]
    text = PROJECT.replace(old, new)
    assert text != PROJECT
    if "payer" in old:
        text = text.replace("(Movement.payer", "(Movement.kind")
    (lender.root / "lender.py").write_text(text, "utf-8")
    with Owner.open(lender) as owner:
        assert any("Movement" in warning or "project file" in warning for warning in owner.warnings)
        go_on(owner)


def test_an_edit_while_it_serves_changes_nothing(lender: Place) -> None:
    with Owner.open(lender) as owner:
        (lender.root / "lender.py").write_text(BROKEN, "utf-8")
        go_on(owner)
        owner.reload(quiet)
        go_on(owner, prefix="y")


def test_a_champion_with_other_features_is_built_beside_the_old_while_reads_go_on(lender: Place) -> None:
    told: list[str] = []
    problems: list[BaseException] = []
    stop = threading.Event()
    with Owner.open(lender) as owner:

        def busy(number: int) -> None:
            sender = Sender(40 + number, prefix=f"b{number}")
            try:
                while not stop.is_set():
                    owner.ingest([sender.event(datetime.now(UTC))], applied=True)
                    owner.score("A-00", model=ACCOUNT_RISK)
                    owner.scores_after(0, 50)
            except BaseException as error:  # noqa: BLE001 - the test reports it
                problems.append(error)

        threads = [threading.Thread(target=busy, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        (lender.root / "lender.py").write_text(MORE, "utf-8")
        project = load_project(lender.project_file)
        for model in project.models.values():
            register(lender, project, model, seed=2)
        before = owner.live.layouts.digest
        owner.reload(lambda what, _done, _total: told.append(what))
        assert owner.live.layouts.digest != before
        stop.set()
        for thread in threads:
            thread.join(30)
        assert problems == []
        assert "rebuilding states" in told
        go_on(owner, MORE)
        assert [folder.name for folder in lender.state.iterdir()] == [owner.live.layouts.digest[:16]]
    with Owner.open(lender) as owner:
        go_on(owner, MORE, prefix="z")


def test_a_champion_registered_while_nobody_served_finds_the_feed_as_it_was(lender: Place) -> None:
    (lender.root / "lender.py").write_text(MORE, "utf-8")
    project = load_project(lender.project_file)
    for model in project.models.values():
        register(lender, project, model, seed=2)
    with Owner.open(lender) as owner:
        go_on(owner, MORE)
