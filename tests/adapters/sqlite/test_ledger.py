import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamgauge.adapters.sqlite.ledger import SqliteLedger
from streamgauge.decisions.chain import GENESIS, Break, Head, entry_hash
from streamgauge.decisions.heads import HeadFile
from streamgauge.decisions.record import record_digest
from streamgauge.errors import DecisionErased, LedgerBroken, LedgerUnavailable
from streamgauge.testing.decision_builder import build_decision

STORE, HEADS = "ledger.sqlite", "ledger.heads"


def open_ledger(folder: Path) -> SqliteLedger:
    return SqliteLedger(folder / STORE, folder / HEADS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed ledger.

    entry   1   2   3   4   5   6          7   8
            d-1 d-2 d-3 d-4 d-5 note of 2  d-7 d-8
    group   |---|   |-------|   |          |   |
    """
    with open_ledger(tmp_path) as ledger:
        ledger.append([build_decision("d-1", "ann"), build_decision("d-2", "bob")])
        ledger.append([build_decision(f"d-{number}", "cleo") for number in (3, 4, 5)])
        ledger.erase("account", "bob", erased_at=1)
        ledger.append([build_decision("d-7", "ann")])
        ledger.append([build_decision("d-8", "ann")])
    return tmp_path


def change(folder: Path, *statements: str) -> None:
    with sqlite3.connect(folder / STORE) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def first_break(folder: Path) -> Break:
    with open_ledger(folder) as ledger:
        broken = ledger.verify_chain().broken
    assert broken is not None
    return broken


def test_an_untouched_ledger_holds(folder: Path) -> None:
    with open_ledger(folder) as ledger:
        report = ledger.verify_chain()
        assert (report.broken, report.checked, report.erased) == (None, 8, 1)
        assert report.head == ledger.head()


def test_every_edited_byte_of_every_stored_column_is_located(folder: Path) -> None:
    checked = 0
    ledger = open_ledger(folder)
    editor = sqlite3.connect(folder / STORE, isolation_level=None)
    editor.text_factory = bytes
    columns = [
        ("chain", "decision_id", "TEXT"),
        ("chain", "record_digest", "BLOB"),
        ("chain", "entry_hash", "BLOB"),
        ("bodies", "salt", "BLOB"),
        ("bodies", "body", "BLOB"),
        ("entities", "role", "TEXT"),
        ("entities", "entity", "TEXT"),
    ]
    for table, column, kind in columns:
        rows = editor.execute(f"SELECT seq, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
        for seq, value in rows:
            for at in range(len(value)):
                # Every byte once, by another bit from one to the next.
                edited = value[:at] + bytes([value[at] ^ (1 << (at * 3 + 1) % 8)]) + value[at + 1 :]
                update = f"UPDATE {table} SET {column} = CAST(? AS {kind}) WHERE seq = ?"
                editor.execute(update, (edited, seq))
                broken = ledger.verify_chain().broken
                assert broken is not None, (table, column, seq, at)
                assert (broken.kind, broken.seq) == ("edited", seq), (table, column, at)
                editor.execute(update, (value, seq))
                checked += 1
    editor.close()
    assert checked > 1_000
    assert ledger.verify_chain().ok
    ledger.close()


@pytest.mark.parametrize("seq", range(1, 9))
def test_an_edited_group_boundary_is_located(folder: Path, seq: int) -> None:
    change(folder, f"UPDATE chain SET group_after = group_after + 1 WHERE seq = {seq}")
    broken = first_break(folder)
    assert (broken.kind, broken.seq) == ("edited", seq)


@pytest.mark.parametrize("seq", range(1, 8))
def test_a_deleted_row_is_located(folder: Path, seq: int) -> None:
    change(folder, f"DELETE FROM chain WHERE seq = {seq}")
    broken = first_break(folder)
    assert (broken.kind, broken.seq) == ("deleted", seq)


def test_a_removed_note_of_an_erasure_is_located(folder: Path) -> None:
    change(folder, "DELETE FROM bodies WHERE seq = 6")
    broken = first_break(folder)
    assert (broken.kind, broken.seq) == ("deleted", 6)


@pytest.mark.parametrize("seq", [1, 3, 4, 7, 8])
def test_a_body_that_no_erasure_explains_is_located(folder: Path, seq: int) -> None:
    change(folder, f"DELETE FROM bodies WHERE seq = {seq}", f"DELETE FROM entities WHERE seq = {seq}")
    broken = first_break(folder)
    assert (broken.kind, broken.seq) == ("deleted", seq)
    with open_ledger(folder) as ledger:
        entry = ledger.get(f"d-{seq}")
        assert entry is not None
        assert entry.status == "broken"
        with pytest.raises(LedgerBroken, match=f'"d-{seq}"'):
            entry.require()


def test_a_deleted_row_is_located_though_the_rest_were_renumbered(folder: Path) -> None:
    change(
        folder,
        "DELETE FROM chain WHERE seq = 3",
        *(f"UPDATE chain SET seq = {seq - 1} WHERE seq = {seq}" for seq in range(4, 9)),
    )
    broken = first_break(folder)
    assert (broken.kind, broken.seq) == ("deleted", 3)


@pytest.mark.parametrize("gone", range(1, 9))
def test_a_cut_end_is_located_through_the_heads(folder: Path, gone: int) -> None:
    for table in ("chain", "bodies", "entities"):
        change(folder, f"DELETE FROM {table} WHERE seq > {8 - gone}")
    with open_ledger(folder) as ledger:
        broken = ledger.verify_chain().broken
        assert broken is not None
        assert (broken.kind, broken.seq, broken.through) == ("truncated", 9 - gone, 8)
        with pytest.raises(LedgerBroken, match="truncated"):
            ledger.append([build_decision("d-9")])
        with pytest.raises(LedgerBroken, match="truncated"):
            ledger.erase("account", "ann", erased_at=2)


def test_a_removed_store_is_not_taken_for_a_new_one(folder: Path) -> None:
    (folder / STORE).unlink()
    broken = first_break(folder)
    assert (broken.kind, broken.seq, broken.through) == ("truncated", 1, 8)


@pytest.mark.parametrize(("one", "other"), [(1, 3), (3, 4), (4, 7), (7, 8)])
def test_swapped_rows_are_located(folder: Path, one: int, other: int) -> None:
    for table in ("chain", "bodies", "entities"):
        change(
            folder,
            f"UPDATE {table} SET seq = 99 WHERE seq = {one}",
            f"UPDATE {table} SET seq = {one} WHERE seq = {other}",
            f"UPDATE {table} SET seq = {other} WHERE seq = 99",
        )
    broken = first_break(folder)
    assert (broken.kind, broken.seq) == ("reordered", one)


def test_a_row_moved_to_the_end_is_located(folder: Path) -> None:
    change(folder, "UPDATE chain SET seq = 50 WHERE seq = 4")
    broken = first_break(folder)
    assert (broken.kind, broken.seq) == ("reordered", 4)


def test_rows_that_were_never_chained_are_located(folder: Path) -> None:
    change(folder, "INSERT INTO entities VALUES (70, 'account', 'eve')")
    broken = first_break(folder)
    assert (broken.kind, broken.seq) == ("inserted", 70)
    change(folder, "INSERT INTO entities VALUES (2, 'account', 'bob')")
    broken = first_break(folder)
    assert (broken.kind, broken.seq) == ("inserted", 2)


def test_a_chain_written_anew_is_bounded_by_the_heads(folder: Path) -> None:
    connection = sqlite3.connect(folder / STORE)
    rows = connection.execute("SELECT seq, group_after, decision_id, record_digest FROM chain ORDER BY seq").fetchall()
    previous = GENESIS
    for seq, after, decision_id, digest in rows:
        known = digest
        if seq == 4:
            (salt, body) = connection.execute("SELECT salt, body FROM bodies WHERE seq = 4").fetchone()
            body = body.replace(b"refer", b"decln")
            known = record_digest(salt, body)
            connection.execute("UPDATE bodies SET body = ? WHERE seq = 4", (body,))
        previous = entry_hash(previous, known, seq, after, decision_id)
        connection.execute("UPDATE chain SET record_digest = ?, entry_hash = ? WHERE seq = ?", (known, previous, seq))
    connection.commit()
    connection.close()
    broken = first_break(folder)
    assert (broken.kind, broken.seq, broken.through) == ("edited", 3, 5)


def test_an_edited_line_of_heads_is_told_from_an_edited_store(folder: Path) -> None:
    lines = (folder / HEADS).read_bytes().splitlines(keepends=True)
    (folder / HEADS).unlink()
    heads = HeadFile(folder / HEADS)
    heads.append(Head(2, "ab" * 32))
    heads.close()
    (folder / HEADS).write_bytes((folder / HEADS).read_bytes() + b"".join(lines[1:]))
    broken = first_break(folder)
    assert (broken.kind, broken.seq) == ("heads", 2)


def test_an_unreadable_line_of_heads_is_located(folder: Path) -> None:
    whole = (folder / HEADS).read_bytes()
    (folder / HEADS).write_bytes(whole.replace(b"\n6 ", b"\n7 "))
    broken = first_break(folder)
    assert (broken.kind, broken.seq) == ("heads", 6)


def test_a_head_that_a_crash_left_unwritten_is_written_at_opening(folder: Path) -> None:
    whole = (folder / HEADS).read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for torn in (b"", last[:5], last[:-1]):
        (folder / HEADS).write_bytes(whole[: -len(last)] + torn)
        with open_ledger(folder) as ledger:
            assert ledger.verify_chain().ok
        assert (folder / HEADS).read_bytes() == whole


def test_more_than_one_missing_head_is_never_repaired(folder: Path) -> None:
    lines = (folder / HEADS).read_bytes().splitlines(keepends=True)
    (folder / HEADS).write_bytes(b"".join(lines[:-2]))
    with open_ledger(folder) as ledger:
        broken = ledger.verify_chain().broken
        assert broken is not None
        assert (broken.kind, broken.seq) == ("heads", 7)
        with pytest.raises(LedgerBroken, match="heads"):
            ledger.append([build_decision("d-9")])
    assert (folder / HEADS).read_bytes() == b"".join(lines[:-2])


def test_a_missing_head_is_not_written_for_an_edited_commit(folder: Path) -> None:
    lines = (folder / HEADS).read_bytes().splitlines(keepends=True)
    (folder / HEADS).write_bytes(b"".join(lines[:-1]))
    change(folder, "UPDATE bodies SET body = x'80' WHERE seq = 8")
    broken = first_break(folder)
    assert (broken.kind, broken.seq) == ("edited", 8)
    assert (folder / HEADS).read_bytes() == b"".join(lines[:-1])


def test_a_head_that_the_disk_refuses_is_written_before_the_next_commit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with open_ledger(folder) as ledger:
        with monkeypatch.context() as disk:
            disk.setattr(os, "fdatasync", full)
            ledger.append([build_decision("d-9")])  # the record is durable; only its head is not, yet
            ledger.settle()
            with pytest.raises(LedgerUnavailable, match="No space left"):
                ledger.append([build_decision("d-10")])
        receipts = ledger.append([build_decision("d-9"), build_decision("d-10")])
        assert [(receipt.seq, receipt.repeated) for receipt in receipts] == [(9, True), (10, False)]
        assert ledger.verify_chain().ok
        assert [head.seq for head in HeadFile(folder / HEADS).heads() if head] == [2, 5, 6, 7, 8, 9, 10]


def test_a_store_changed_by_another_hand_takes_no_more(folder: Path) -> None:
    with open_ledger(folder) as ledger:
        change(folder, "DELETE FROM chain WHERE seq = 8")
        with pytest.raises(LedgerBroken, match="another hand"):
            ledger.append([build_decision("d-9")])


def test_a_repeat_of_an_edited_decision_is_refused(folder: Path) -> None:
    change(folder, "UPDATE bodies SET body = x'80' WHERE seq = 3")
    with open_ledger(folder) as ledger, pytest.raises(LedgerBroken, match='"d-3"'):
        ledger.append([build_decision("d-3", "cleo")])


def test_nothing_of_an_erased_entity_is_left_in_the_files(folder: Path) -> None:
    with open_ledger(folder) as ledger:
        ledger.append([build_decision("d-9", "Zebulon Quirk")])
        assert any(b"Zebulon" in path.read_bytes() for path in folder.iterdir())
        assert ledger.erase("account", "Zebulon Quirk", erased_at=3) == 1
        assert not any(b"Zebulon" in path.read_bytes() for path in folder.iterdir())
        entry = ledger.get("d-9")
        assert entry is not None
        with pytest.raises(DecisionErased, match="erased"):
            entry.require()


def test_an_erased_body_that_comes_back_is_located(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.append([build_decision("d-1", "ann"), build_decision("d-2", "bob")])
        connection = sqlite3.connect(tmp_path / STORE)
        salt, body = connection.execute("SELECT salt, body FROM bodies WHERE seq = 1").fetchone()
        ledger.erase("account", "ann", erased_at=1)
        connection.execute("INSERT INTO bodies VALUES (1, ?, ?)", (salt, body))
        connection.commit()
        connection.close()
        broken = ledger.verify_chain().broken
    assert broken is not None
    assert (broken.kind, broken.seq) == ("inserted", 1)


def test_salts_come_from_the_injected_source(tmp_path: Path) -> None:
    def digest(folder: str, source: Callable[[int], bytes]) -> str:
        (tmp_path / folder).mkdir()
        with SqliteLedger(tmp_path / folder / STORE, tmp_path / folder / HEADS, source) as ledger:
            return ledger.append([build_decision("d-1")])[0].digest

    assert digest("a", bytes) == digest("b", bytes) != digest("c", os.urandom)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / STORE).write_bytes(b"not a database, and long enough to be taken for one" * 100)
    with pytest.raises(LedgerBroken, match="backup"):
        open_ledger(tmp_path)


APPEND_FOR_EVER = """
import sys
from pathlib import Path
from streamgauge.adapters.sqlite.ledger import SqliteLedger
from streamgauge.testing.decision_builder import build_decision

folder, run = Path(sys.argv[1]), sys.argv[2]
ledger = SqliteLedger(folder / "ledger.sqlite", folder / "ledger.heads")
number = 0
while True:
    group = [build_decision(f"{run}-{number + index}", f"e{number % 5}") for index in range(1 + number % 7)]
    number += len(group)
    for receipt in ledger.append(group):
        print(receipt.record.decision_id, receipt.seq, receipt.digest, receipt.chain_hash, flush=True)
"""


@pytest.mark.e2e
def test_a_killed_writer_loses_no_acknowledged_decision(tmp_path: Path) -> None:
    moments = np.random.default_rng(7)
    acknowledged: dict[str, tuple[int, str, str]] = {}
    for run in range(5):
        lines: list[str] = []
        with subprocess.Popen(
            [sys.executable, "-c", APPEND_FOR_EVER, str(tmp_path), str(run)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as writer:
            assert writer.stdout is not None
            enough = moments.integers(1, 400)
            end = time.monotonic() + 30
            while len(lines) < enough and time.monotonic() < end:
                lines.append(writer.stdout.readline())
            writer.kill()
            lines += writer.stdout.readlines()
        for line in lines:
            if line.endswith("\n"):
                decision_id, seq, digest, chain_hash = line.split()
                acknowledged[decision_id] = (int(seq), digest, chain_hash)
        with open_ledger(tmp_path) as ledger:
            report = ledger.verify_chain()
            assert report.ok, report.broken
            kept = {entry.decision_id: (entry.seq, entry.digest, entry.chain_hash) for entry in ledger.iterate()}
            assert {name: kept.get(name) for name in acknowledged} == acknowledged
            assert len(kept) == report.checked
    assert len(acknowledged) > 5


def test_throughput_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_ledger(tmp_path) as ledger:
        for size, groups in ((1, 300), (500, 6)):
            records = [build_decision(f"{size}-{number}") for number in range(size * groups)]
            took = []
            for start in range(0, len(records), size):
                begin = time.perf_counter()
                ledger.append(records[start : start + size])
                took.append(time.perf_counter() - begin)
            rate, slowest = len(records) / sum(took), sorted(took)[int(len(took) * 0.99)] * 1_000
            with capsys.disabled():
                print(f"\nledger, groups of {size}: {rate:,.0f} appends/s, p99 {slowest:.2f} ms a group")  # noqa: T201
        assert ledger.head().seq == 3_300
