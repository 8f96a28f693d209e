from __future__ import annotations

import errno
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from streamgauge.adapters.sqlite import log_sweeping
from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.errors import LogDamaged, UnknownName
from streamgauge.events.record import Record
from streamgauge.testing.log_conformance import NOW, movement
from streamgauge.testing.streams import STREAMS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.sqlite"


def opened(path: Path) -> SqliteLog:
    log = SqliteLog(path)
    for spec in STREAMS.values():
        log.register_schema(spec)
    return log


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    log = opened(path)
    yield log
    log.close()


def altered(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()


def test_a_full_disk_accepts_nothing_and_leaves_the_log_usable(log: SqliteLog) -> None:
    log.append([movement("m-1")], NOW)
    pages = log._writer.execute("PRAGMA page_count").fetchone()[0]
    log._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(OSError, match="full") as failure:
        log.append([movement(f"big-{i}", counterparty="x" * 4000) for i in range(200)], NOW)
    assert failure.value.errno == errno.ENOSPC
    assert [r.event_id for r in log.read_after(0, 10)] == ["m-1"]
    log._writer.execute("PRAGMA max_page_count = 1000000")
    (record,) = log.append([movement("m-2")], NOW)
    assert isinstance(record, Record)
    assert [r.event_id for r in log.read_after(0, 10)] == ["m-1", "m-2"]


def test_a_record_that_cannot_be_written_takes_its_whole_batch_with_it(log: SqliteLog) -> None:
    late = movement("late", ago_us=10**14)
    alien = msgspec.structs.replace(movement("alien"), stream="Loan")
    with pytest.raises(UnknownName, match='"Loan" was not registered'):
        log.append([movement("m-1"), late, alien], NOW)
    with pytest.raises(ValueError, match="bytes of units"):
        log.append([movement("m-1"), late, msgspec.structs.replace(alien, stream="Everything")], NOW)
    assert log.last_position() == 0
    assert log.quarantined() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET body = substr(body, 1, 20) || X'00' || substr(body, 22) WHERE position = 2",
        "UPDATE records SET body = X'' WHERE position = 2",
        "UPDATE records SET body = 'text' WHERE position = 2",
        "UPDATE records SET body = (SELECT body FROM records WHERE position = 1) WHERE position = 2",
        "UPDATE records SET entity = 'account:A-2' WHERE position = 2",
    ],
    ids=["a byte", "empty", "text", "another's body", "another entity"],
)
def test_an_altered_record_is_found_and_named(path: Path, statement: str) -> None:
    log = opened(path)
    log.append([movement("m-1"), movement("m-2", ago_us=7), movement("m-3")], NOW)
    log.close()
    altered(path, statement)
    log = opened(path)
    with pytest.raises(LogDamaged, match="position 2"):
        log.read_after(0, 10)
    with pytest.raises(LogDamaged, match="position 2"):
        log.check()
    assert [r.event_id for r in log.read_after(2, 10)] == ["m-3"]
    log.close()


def test_an_entity_that_is_no_text_any_more_is_found(path: Path) -> None:
    log = opened(path)
    log.append([movement("m-1"), movement("m-2")], NOW)
    log.close()
    altered(path, "UPDATE records SET entity = CAST(X'FFFE' AS TEXT) WHERE position = 1")
    log = opened(path)
    with pytest.raises(LogDamaged):
        log.read_after(0, 10)
    log.close()


def test_a_damaged_page_is_found(path: Path) -> None:
    log = opened(path)
    log.append([movement(f"m-{i:04d}") for i in range(2_000)], NOW)
    assert log.check() == 2_000
    log.close()
    content = bytearray(path.read_bytes())
    for page in range(20, len(content) // 4096, 3):
        content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    log = opened(path)
    with pytest.raises(LogDamaged):
        log.check()
    log.close()


def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"no database" * 1000)
    with pytest.raises(LogDamaged):
        SqliteLog(tmp_path / "text")
    altered(tmp_path / "other.sqlite", "CREATE TABLE things (id)")
    with pytest.raises(LogDamaged, match="no event log"):
        SqliteLog(tmp_path / "other.sqlite")
    with pytest.raises(OSError, match="unable to open"):
        SqliteLog(tmp_path / "absent" / "events.sqlite")


def test_a_newer_format_is_refused_with_the_next_step(path: Path) -> None:
    opened(path).close()
    altered(path, "UPDATE meta SET value = 4 WHERE key = 'format'")
    with pytest.raises(LogDamaged, match=r"has format 4.*reads format 3.*Install the version"):
        SqliteLog(path)


APPENDER = """
import sys
from pathlib import Path
from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.testing.log_conformance import NOW, movement
from streamgauge.testing.streams import MOVEMENT
log = SqliteLog(Path(sys.argv[1]))
log.register_schema(MOVEMENT)
for i in range(1_000_000):
    log.append([movement(f"m-{i}-{j}") for j in range(3)], NOW)
    print(i, flush=True)
"""


def test_an_acknowledged_batch_outlives_its_process_and_none_is_cut(path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", APPENDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(50)]
    process.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in process.stdout.read().split()]
    process.stdout.close()
    process.wait()
    log = opened(path)
    ids = [record.event_id for record in log.read_after(0, 10**6)]
    assert len(ids) % 3 == 0
    assert ids[: 3 * len(acknowledged)] == [f"m-{i}-{j}" for i in acknowledged for j in range(3)]
    assert log.check() == len(ids)
    log.close()


def test_a_movement_takes_at_most_200_bytes(path: Path) -> None:
    log = opened(path)
    n = 20_000
    log.append([movement(f"m-{i:09d}", f"A-{i * 7919 % 500}", counterparty=f"cp-{i % 999}") for i in range(n)], NOW)
    log.close()
    assert path.stat().st_size / n <= 200


def test_each_thread_reads_on_its_own_connection_that_ends_with_it(log: SqliteLog) -> None:
    log.append([movement("m-1")], NOW)
    log.last_position()
    threads = [threading.Thread(target=log.last_position) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log._reader._connections) == 1


def test_checkpoints_happen_beside_the_writer(path: Path) -> None:
    log = opened(path)
    log.append([movement(f"m-{i}") for i in range(5_000)], NOW)
    log._checkpointer.close()
    assert path.stat().st_size > 400_000
    log.close()


def test_reading_through_the_log_and_searching_it_give_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(path)
    log.append([movement(f"m-{i}", f"A-{i % 7}") for i in range(600)], NOW)
    monkeypatch.setattr(log_sweeping, "ROWS_AT_ONCE", 200)
    through = list(log.read_by_entity(up_to=500))
    monkeypatch.setattr(log_sweeping, "SCANNED_AT_MOST", 0)
    assert list(log.read_by_entity(up_to=500)) == through
    assert [entity for entity, _ in through] == [f"account:A-{i}" for i in range(7)]
    assert sum(len(records) for _, records in through) == 500
    assert all(records == log.read_entity(entity, 500) for entity, records in through)
    log.close()


def test_a_log_closed_in_the_middle_of_a_read_ends_the_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_sweeping, "ROWS_AT_ONCE", 200)
    log = opened(path)
    log.append([movement(f"m-{i}", f"A-{i}") for i in range(600)], NOW)
    reading = log.read_by_entity()
    next(reading)
    log.close()
    with pytest.raises(ValueError, match="was closed"):
        list(reading)
