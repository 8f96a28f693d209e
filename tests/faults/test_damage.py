"""Files that were cut short, flipped in a bit or lost: named, or built again from the log; never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from streamgauge.app.connect import become_owner
from streamgauge.app.doctor import examine
from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place
from streamgauge.errors import ArtefactAltered, LogDamaged
from tests.faults.damage import hide_a_record
from tests.faults.lender import APPLICATION_RISK, Sender
from tests.faults.truth import Truth

TRIALS = int(os.environ.get("FAULTS_DAMAGES", "4"))


def damaged(place: Place, target: str, *, seed: int = 1) -> list[tuple[str, str]]:
    """Return what was done to copies of a file, and what became of it."""
    command = [sys.executable, "-m", "tests.faults.damage", str(place.root), target, str(TRIALS), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    found: list[tuple[str, str]] = json.loads(done.stdout)
    return found


def crash(place: Place) -> None:
    """Leave the directory as a process does that was killed after some more events."""
    child = os.fork()
    if child == 0:
        sender = Sender(5, prefix="c")
        owner = Owner.open(place)
        for number in range(5):
            owner.ingest([sender.event(datetime.now(UTC)) for _ in range(8)], applied=True)
            owner.decide(f"c{number}", sender.application(datetime.now(UTC)))
        os._exit(0)
    os.waitpid(child, 0)


@pytest.fixture
def sealed(lender: Place) -> Place:
    """A lender of whose log the most is in the archive."""
    with Owner.open(lender) as owner:
        assert owner.log.seal(100, 150) == 300
    return lender


@pytest.mark.parametrize("crashed", [False, True])
def test_a_damaged_state_store_is_built_again_from_the_log(lender: Place, crashed: bool) -> None:
    if crashed:
        crash(lender)
    outcomes = damaged(lender, "state/*/data.mdb", seed=1 + crashed)
    assert [one for one in outcomes if not one[1].startswith("fine")] == []


@pytest.mark.parametrize("pages", ["", "#table", "#index"])
def test_a_damaged_log_is_named_and_never_served_wrongly(sealed: Place, pages: str) -> None:
    for done, outcome in damaged(sealed, f"log.db{pages}"):
        assert outcome.startswith(("fine", "LogDamaged: ", "verify: intact")), (done, outcome)


def test_a_log_of_which_the_last_commits_are_damaged_is_named(lender: Place) -> None:
    crash(lender)
    for done, outcome in damaged(lender, "log.db-wal"):
        assert outcome.startswith(("fine", "LogDamaged: The event log ends at position ")), (done, outcome)


def refuse_and_crash(place: Place, events: int) -> None:
    """Refuse events, each in a commit of its own, and leave them in the write-ahead log."""
    child = os.fork()
    if child == 0:
        owner = Owner.open(place)
        for number in range(events):
            owner.ingest([{"stream": "Movement", "amount": f"refused {number}"}])
        os._exit(0)
    os.waitpid(child, 0)


@pytest.mark.parametrize("cut", [False, True])
def test_refused_events_that_a_damaged_write_ahead_log_lost_are_named(lender: Place, cut: bool) -> None:
    refuse_and_crash(lender, 4)
    wal = lender.log.with_name("log.db-wal")
    data = bytearray(wal.read_bytes())
    if cut:
        del data[-100:]
    else:
        data[data.rindex(b"refused 2")] ^= 1
    wal.write_bytes(data)
    lost = "refused events are missing"
    with pytest.raises(LogDamaged, match=lost):
        Owner.open(lender)
    assert any(lost in finding.detail for finding in examine(lender.root) if finding.state == "bad")
    lender.log_end.unlink()
    with Owner.open(lender) as owner:
        assert owner.log.quarantined(last=1)[0].body.count("refused") == 1
        Truth(owner).check()


def test_records_that_no_state_knew_of_are_missed_where_the_log_lost_them(lender: Place) -> None:
    crash(lender)
    shutil.rmtree(lender.state)
    lender.log.with_name("log.db-wal").write_bytes(b"")
    with pytest.raises(LogDamaged, match=r"accepted records.* are missing"):
        Owner.open(lender)


@pytest.mark.parametrize("damage", [b"", b"1 2", b"99999999 1 00000000", b"\xff" * 64])
def test_a_damaged_note_of_the_logs_end_is_told_and_written_anew(
    lender: Place, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    lender.log_end.write_bytes(damage)
    with Owner.open(lender) as owner:
        assert "log.end, which cannot be read" in caplog.text
        owner.ingest([{"stream": "Movement", "amount": "seven"}])
    caplog.clear()
    Owner.open(lender).close()
    assert "log.end" not in caplog.text


@pytest.mark.parametrize("target", ["*.parquet", "manifest.json", "*.ids"])
def test_a_damaged_archive_is_named_or_what_is_derived_is_made_again(sealed: Place, target: str) -> None:
    for done, outcome in damaged(sealed, f"archive/{target}"):
        named = target == "*.parquet" and outcome.startswith("LogDamaged: 000000000000")
        assert named or outcome.startswith("fine"), (done, outcome)


@pytest.mark.parametrize("target", ["ledger.db", "ledger.db#index", "ledger.heads", "ledger.db-wal"])
def test_a_damaged_ledger_is_named(lender: Place, target: str) -> None:
    if target == "ledger.db-wal":
        crash(lender)
    for done, outcome in damaged(lender, target):
        assert outcome.startswith(("fine", "verify: ", "LedgerBroken: ")), (done, outcome)


@pytest.mark.parametrize("become", [Owner.open, become_owner])
def test_an_index_that_hides_records_is_made_again(
    lender: Place, caplog: pytest.LogCaptureFixture, become: Callable[[Place], Owner]
) -> None:
    hide_a_record(lender.log)
    with become(lender) as owner:
        assert "An index of log.db was damaged" in caplog.text
        every = Counter(record.entity for record in owner.log.read_after(0, 10**9))
        assert {entity: len(owner.log.read_entity(entity)) for entity in owner.log.entities()} == every
        Truth(owner).check()
    caplog.clear()
    Owner.open(lender).close()
    assert caplog.text == ""


@pytest.mark.parametrize("become", [Owner.open, become_owner])
def test_an_index_that_hides_decisions_is_made_again(
    lender: Place, caplog: pytest.LogCaptureFixture, become: Callable[[Place], Owner]
) -> None:
    with Owner.open(lender) as owner:
        ids = [entry.decision_id for entry in owner.ledger.iterate()]
    with closing(sqlite3.connect(lender.ledger)) as file:
        [(root, page_size)] = file.execute(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master"
            " WHERE type = 'index' AND tbl_name = 'chain' AND sql IS NULL"
        )
    data = bytearray(lender.ledger.read_bytes())
    for decision_id in ids:
        at = data.find(decision_id.encode(), (root - 1) * page_size, root * page_size)
        if at >= 0:
            data[at] ^= 1
    lender.ledger.write_bytes(data)
    with become(lender) as owner:
        assert "An index of ledger.db was damaged" in caplog.text
        assert [owner.decision(decision_id).decision_id for decision_id in ids] == ids
        assert owner.verify(lambda *_: None).chain == "intact"
    caplog.clear()
    Owner.open(lender).close()
    assert caplog.text == ""


def test_a_refused_event_that_is_not_what_was_written_is_named(lender: Place) -> None:
    with Owner.open(lender) as owner:
        owner.ingest([{"stream": "Movement", "amount": "seven"}])
        [newest] = owner.log.quarantined(last=1)
    with closing(sqlite3.connect(lender.log)) as file:
        file.execute("UPDATE quarantine SET body = replace(body, 'seven', 'eleven') WHERE number = ?", (newest.number,))
        file.commit()
    with Owner.open(lender) as owner, pytest.raises(LogDamaged, match=f"Number {newest.number} of the quarantine"):
        owner.quarantined()


@pytest.mark.e2e
@pytest.mark.parametrize("target", ["log.db", "archive/*.parquet", "ledger.db"])
def test_what_is_damaged_is_named_by_the_doctor_and_by_its_exit_code(sealed: Place, target: str) -> None:
    path = next(iter(sorted(sealed.data.glob(target))))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 - 7])
    command = [sys.executable, "-m", "streamgauge.app.cli", "doctor", "--project", str(sealed.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert path.name in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stderr


def test_a_deleted_state_is_built_again(lender: Place) -> None:
    shutil.rmtree(lender.state)
    with Owner.open(lender) as owner:
        Truth(owner).check()


def test_a_log_that_lost_its_end_is_named(lender: Place, copied: Callable[[str], Place]) -> None:
    backup = copied("backup")
    with Owner.open(lender) as owner:
        owner.ingest([Sender(6, prefix="n").event(datetime.now(UTC))], applied=True)
    shutil.copy(backup.log, lender.log)
    with pytest.raises(LogDamaged, match="accepted records are missing"):
        Owner.open(lender)
    lender.log_end.unlink()
    with pytest.raises(LogDamaged, match="accepted records are missing"):
        Owner.open(lender)
    shutil.rmtree(lender.state)
    with Owner.open(lender) as owner:
        Truth(owner).check()


@pytest.mark.parametrize("marker", ["", "12", "x", "99999 00000000", "\x00\xff"])
def test_a_damaged_import_marker_means_all_imports(lender: Place, marker: str) -> None:
    with Owner.open(lender) as owner:
        history = pl.DataFrame(Sender(8, prefix="h").history(50, datetime.now(UTC)), infer_schema_length=None)
        owner.import_frame(history, "Movement", known_after_us=3_600_000_000)
    (lender.data / "import.pending").write_text(marker, "latin-1")
    with Owner.open(lender) as owner:
        Truth(owner).check()
    assert not (lender.data / "import.pending").exists()


def test_an_altered_artefact_is_named(lender: Place) -> None:
    part = lender.models / APPLICATION_RISK / "1" / "artefact" / "ensemble.msgpack"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(ArtefactAltered, match=r"ensemble\.msgpack"):
        Owner.open(lender)


def test_an_edited_policy_is_never_put_in_force(lender: Place) -> None:
    policy = lender.models / APPLICATION_RISK / "policies" / "1.json"
    policy.write_text(policy.read_text("utf-8").replace('"approve_below": 0.3', '"approve_below": 0.9'), "utf-8")
    with pytest.raises(ArtefactAltered, match=r"policies/1\.json was altered"):
        Owner.open(lender)


def test_a_directory_that_cannot_be_opened_is_free_again(lender: Place) -> None:
    pointer = lender.models / APPLICATION_RISK / "champion.json"
    whole = pointer.read_bytes()
    pointer.write_bytes(whole[:10])
    with pytest.raises(Exception, match=r"champion\.json"):
        Owner.open(lender)
    pointer.write_bytes(whole)
    Owner.open(lender).close()


def test_a_store_that_breaks_at_work_is_built_again_at_work(lender: Place) -> None:
    with Owner.open(lender) as owner:
        applier = owner.engine.applier
        put, calls = applier.store.put_batch, 0

        def broken(*values: object, **named: object) -> int:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise applier.store._damaged(RuntimeError("a page is gone"))  # type: ignore[attr-defined]
            return put(*values, **named)  # type: ignore[arg-type]

        applier.store.put_batch = broken  # type: ignore[method-assign]
        sender = Sender(9, prefix="w")
        owner.ingest([sender.event(datetime.now(UTC)) for _ in range(8)], applied=True)
        assert list(Path(lender.state).glob("*/broken-1"))
        Truth(owner).check_features()
