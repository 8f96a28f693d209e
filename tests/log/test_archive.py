"""The archive as a part of the log: every interruption, every damage, several readers."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streamgauge.adapters.parquet.segments import ParquetSegment, ParquetSegments
from streamgauge.adapters.sqlite import archived_log, stretch
from streamgauge.adapters.sqlite.archived_log import ArchivedLog
from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.adapters.sqlite.log_tail import drop_sealed
from streamgauge.errors import LogDamaged
from streamgauge.events.record import Record
from streamgauge.log.archive import Archive
from streamgauge.log.manifest import read_manifest
from streamgauge.testing.log_conformance import NOW, movement
from streamgauge.testing.streams import STREAMS

EVENTS, ENTITIES = 240, 7


def files() -> ParquetSegments:
    return ParquetSegments(group_rows=16)


def opened(folder: Path) -> ArchivedLog:
    log = ArchivedLog(folder / "log.db", Archive(folder / "archive", files))
    for spec in STREAMS.values():
        log.register_schema(spec)
    return log


def fill(log: SqliteLog, count: int = EVENTS, first: int = 0) -> None:
    for start in range(first, first + count, 40):
        log.append([movement(f"ü-{i}", f"A-{i * i % ENTITIES}") for i in range(start, start + 40)], NOW + start)


@pytest.fixture
def plain(tmp_path: Path) -> list[Record]:
    """What a log that seals nothing holds."""
    log = SqliteLog(tmp_path / "plain.db")
    for spec in STREAMS.values():
        log.register_schema(spec)
    fill(log)
    records = log.read_after(0, 10**6)
    log.close()
    return records


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log of which most is sealed, in several segments."""
    path = tmp_path / "sealed"
    path.mkdir()
    log = opened(path)
    fill(log)
    assert log.seal(20, 30) == 210
    assert len(list((path / "archive").glob("*.parquet"))) < 7
    log.close()
    return path


def holds(log: ArchivedLog, records: list[Record]) -> None:
    """Every way of reading gives these records."""
    assert log.read_after(0, 10**6) == records
    assert log.last_position() == records[-1].position
    assert log.last_accepted_at() == records[-1].accepted_at
    own: dict[str, list[Record]] = {}
    for record in records:
        own.setdefault(record.entity, []).append(record)
    assert log.entities() == sorted(own)
    assert list(log.read_by_entity()) == sorted(own.items())
    assert {key: log.read_entity(key) for key in own} == own
    assert log.entities_after(0) == list(own)
    for record in records[::17]:
        assert log.get(record.position) == record
        assert log.find(record.stream, record.entity, record.event_id) == record
        assert log.read_after(record.position, 3) == [r for r in records if r.position > record.position][:3]
        later = [r for r in own[record.entity] if record.position < r.position <= record.position + 50]
        assert log.read_entity(record.entity, record.position + 50, after=record.position) == later
    assert log.find("Movement", "account:A-1", "never") is None
    assert log.check() == len(records)


def test_what_is_sealed_reads_as_before(folder: Path, plain: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretch, "RECORDS", 50)
    log = opened(folder)
    holds(log, plain)
    with sqlite3.connect(folder / "log.db") as file:
        assert file.execute("SELECT count(*) FROM records").fetchone() == (30,)
    file.close()
    fill(log, 40, EVENTS)
    assert log.seal(0, 1) == 70
    assert log.append([movement("next")], NOW + EVENTS)[0] == log.get(EVENTS + 41)
    log.close()


def test_the_number_of_segments_stays_small(folder: Path) -> None:
    log = opened(folder)
    for first in range(EVENTS, EVENTS + 800, 40):
        fill(log, 40, first)
        log.seal(0, 40)
    assert len(list((folder / "archive").glob("*.parquet"))) <= 4
    log.close()


def test_dropping_hurries_where_records_come_faster_than_they_go(
    tmp_path: Path, plain: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def noted(writer: sqlite3.Connection, through: int, rows: int) -> int:
        sizes.append(rows)
        return drop_sealed(writer, through, rows)

    monkeypatch.setattr(archived_log, "drop_sealed", noted)
    monkeypatch.setattr(archived_log, "DROPPED_AT_ONCE", 2)
    log = opened(tmp_path)
    fill(log)
    assert log.seal(10, 30) == 210
    # 240 records are 160 more than the tail and two sealings: the first go 80 at a time. Nobody appends meanwhile.
    assert (max(sizes), sizes[-1]) == (80, 20)
    holds(log, plain)
    log.close()


class Killed(BaseException):
    """The process ends here."""


def interrupted(folder: Path, at: int, work: Callable[[ArchivedLog], Any]) -> bool:
    """Do some work in a forked process that is killed at one of the calls; return whether it came that far."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(original: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                nonlocal count
                count += 1
                if count == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*arguments, **named)

            return call

        os.rename, os.fsync, os.unlink = counted(os.rename), counted(os.fsync), counted(os.unlink)
        for name in ("drop_sealed", "end_erasing"):
            setattr(archived_log, name, counted(getattr(archived_log, name)))
        vars(archived_log)["DROPPED_AT_ONCE"] = 25
        try:
            work(opened(folder))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_kill_at_any_step_of_a_sealing_loses_and_doubles_nothing(tmp_path: Path, plain: list[Record]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    log = opened(source)
    fill(log)
    log.seal(110, 40)
    log.close()
    at = 0
    killed = True
    while killed:
        at += 1
        folder = tmp_path / f"copy-{at}"
        shutil.copytree(source, folder)
        killed = interrupted(folder, at, lambda log: log.seal(10, 40))
        log = opened(folder)
        assert read_through(log) == read_grouped(log) == plain
        assert log.check() == len(plain)
        log.seal(10, 40)
        assert read_through(log) == read_grouped(log) == plain
        assert log.check() == len(plain)
        names = {segment.name for segment in read_manifest(folder / "archive", files).segments}
        assert {path.name for path in (folder / "archive").glob("*.parquet")} == names
        log.close()
        shutil.rmtree(folder)
    assert at > 15


def test_a_kill_at_any_step_of_an_erasure_is_brought_to_its_end(
    folder: Path, plain: list[Record], tmp_path: Path
) -> None:
    left = [record for record in plain if record.entity != "account:A-1"]
    at, killed = 0, True
    while killed:
        at += 1
        copy = tmp_path / f"copy-{at}"
        shutil.copytree(folder, copy)
        killed = interrupted(copy, at, lambda log: log.erase("account:A-1"))
        log = opened(copy)
        assert log.erase("account:A-2") > 0 or not killed
        assert log.read_after(0, 10**6) in (
            [record for record in left if record.entity != "account:A-2"],
            [record for record in plain if record.entity != "account:A-2"],  # it had not begun
        )
        log.erase("account:A-1")
        assert log.read_after(0, 10**6) == [record for record in left if record.entity != "account:A-2"]
        log.check()
        log.close()
        shutil.rmtree(copy)
    assert at > 5


def test_an_erased_entity_is_nowhere_on_the_disk(folder: Path, plain: list[Record]) -> None:
    log = opened(folder)
    log.append([movement("ü-last", "A-1", counterparty="very secret")], NOW + EVENTS)
    for entity in ("account:A-1", "account:A-0", "account:nobody"):
        log.erase(entity)
    gone = {"account:A-1", "account:A-0"}
    kept = [record for record in plain if record.entity not in gone]
    assert log.read_after(0, 10**6) == kept
    assert log.check() == len(kept)
    assert log.last_position() == EVENTS + 1
    assert log.read_entity("account:A-1") == []
    (again,) = log.append([movement("ü-1", "A-1")], NOW + EVENTS)
    assert log.read_entity("account:A-1") == [again]
    log.erase("account:A-1")
    log.close()
    data = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"account:A-1" not in data
    assert b"very secret" not in data
    assert b"account:A-4" in data


def test_an_archive_from_before_an_erasure_is_not_taken(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "archive", tmp_path / "backup")
    log = opened(folder)
    log.erase("account:A-1")
    log.close()
    shutil.rmtree(folder / "archive")
    shutil.copytree(tmp_path / "backup", folder / "archive")
    log = opened(folder)
    with pytest.raises(LogDamaged, match="from before the last erasure"):
        log.read_entity("account:A-1")
    log.close()


def test_everything_can_be_erased(folder: Path) -> None:
    log = opened(folder)
    for entity in log.entities():
        log.erase(entity)
    assert log.read_after(0, 10**6) == []
    assert log.entities() == []
    assert log.check() == 0
    assert list(log.read_by_entity()) == []
    log.close()
    log = opened(folder)
    assert [r.position for r in log.append([movement("m")], NOW) if isinstance(r, Record)] == [EVENTS + 1]
    assert log.read_after(0, 9)[0].accepted_at == NOW
    log.close()


def test_a_damaged_manifest_is_made_again(folder: Path, plain: list[Record], caplog: pytest.LogCaptureFixture) -> None:
    manifest = folder / "archive" / "manifest.json"
    whole = manifest.read_bytes()
    for damage in (b"", whole[: len(whole) // 2], whole.replace(b'"rows"', b'"rowz"'), None):
        manifest.unlink(missing_ok=True) if damage is None else manifest.write_bytes(damage)
        log = opened(folder)
        holds(log, plain)
        assert "was made again" in caplog.text
        log.erase("account:nobody")
        log.close()
        assert read_manifest(folder / "archive", files).derived is False


def test_what_is_missing_is_named(folder: Path) -> None:
    archive = folder / "archive"
    segment = min(archive.glob("*.parquet"))
    kept = segment.read_bytes()
    segment.unlink()
    log = opened(folder)
    with pytest.raises(LogDamaged, match=r"a segment that its manifest names is missing.*restore the folder archive"):
        log.read_after(0, 10)
    log.close()
    segment.write_bytes(kept)
    shutil.rmtree(archive)
    log = opened(folder)
    for read in (lambda: log.read_after(0, 10), lambda: list(log.read_by_entity()), log.check):
        with pytest.raises(LogDamaged, match="records up to position 210 were sealed, and it ends at 0"):
            read()
    log.close()


def read_through(log: ArchivedLog) -> list[Record]:
    return log.read_after(0, 10**6)


def read_grouped(log: ArchivedLog) -> list[Record]:
    return sorted((r for _, own in log.read_by_entity() for r in own), key=lambda record: record.position)


def test_a_flipped_bit_of_a_segment_is_named_and_never_served(folder: Path, plain: list[Record]) -> None:
    draw = Random(7)  # noqa: S311 - a test's draw
    segment = max((folder / "archive").glob("*.parquet"), key=lambda path: path.stat().st_size)
    whole = segment.read_bytes()
    for _ in range(150):
        data = bytearray(whole)
        kind = draw.choice(["bit", "bit", "blank", "cut"])
        place = draw.randrange(len(data))
        if kind == "bit":
            data[place] ^= 1 << draw.randrange(8)
        elif kind == "blank":
            data[place : place + 16] = bytes(len(data[place : place + 16]))
        else:
            del data[place:]
        if bytes(data) == whole:
            continue
        segment.write_bytes(data)
        log = opened(folder)
        with pytest.raises(LogDamaged, match=rf"{segment.name} of the event log's archive.*restore the file"):
            log.check()
        for read in (read_through, read_grouped):
            try:
                assert read(log) == plain
            except LogDamaged as error:
                assert segment.name in str(error)  # noqa: PT017 - either is right
        log.close()


def test_a_lost_id_filter_is_made_again(folder: Path, plain: list[Record]) -> None:
    for path in (folder / "archive").glob("*.ids"):
        path.write_bytes(path.read_bytes()[:-8])
    log = opened(folder)
    assert all(log.find(r.stream, r.entity, r.event_id) == r for r in plain)
    log.close()


def test_another_reader_sees_what_is_sealed_merged_and_erased_meanwhile(tmp_path: Path, plain: list[Record]) -> None:
    writer = opened(tmp_path)
    fill(writer)
    reader = opened(tmp_path)
    reading = reader.read_by_entity()
    seen = [next(reading)]
    for least in (30, 15, 7):
        writer.seal(0, least)
        holds(reader, plain)
    seen += list(reading)
    assert [key for key, _ in seen] == reader.entities()
    assert sorted((r for _, own in seen for r in own), key=lambda r: r.position) == plain
    writer.erase("account:A-1")
    assert reader.read_after(0, 10**6) == [r for r in plain if r.entity != "account:A-1"]
    for log in (reader, writer):
        log.close()


def test_reads_beside_a_sealing_thread_are_whole(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 400)
    ended = threading.Event()
    problems: list[str] = []

    def seal() -> None:
        first = 400
        while not ended.is_set() and first < 2_000:
            fill(log, 40, first)
            first += 40
            log.seal(5, 20)

    def read() -> None:
        while not ended.is_set():
            cut = log.last_position()
            positions = sorted(r.position for _, own in log.read_by_entity(up_to=cut) for r in own)
            if positions != list(range(1, cut + 1)):
                problems.append(f"{len(positions)} of {cut}")
            if [r.position for r in log.read_after(cut - 30, 30)] != list(range(cut - 29, cut + 1)):
                problems.append("after")

    threads = [threading.Thread(target=work) for work in (seal, read, read)]
    for thread in threads:
        thread.start()
    threads[0].join(3)
    ended.set()
    for thread in threads:
        thread.join()
    assert problems == []
    log.close()


def test_an_entity_that_is_ahead_of_the_clock_is_known_from_the_archive(folder: Path) -> None:
    log = opened(folder)
    ahead = NOW + 10**9
    log.append([movement("a", "ahead")], ahead)
    fill(log, 40, EVENTS)
    log.seal(0, 1)
    log.close()
    log = opened(folder)
    now = NOW + 10**6
    answers = log.append([movement("b", "ahead"), movement("b", "A-1"), movement("b", "new")], now)
    assert [r.accepted_at for r in answers if isinstance(r, Record)] == [ahead, now, now]
    assert log.check() == EVENTS + 44
    log.close()


def test_reading_an_entity_that_was_never_sealed_opens_no_row_group(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(folder)
    log.read_entity("account:nobody")

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(ParquetSegment, "_read", refuse)
    assert log.read_entity("account:A-3") == log.read_entity("account:never") == []
    with pytest.raises(AssertionError):
        log.read_entity("account:A-1")
    log.close()
