import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from streamgauge.adapters.parquet.segments import ParquetSegments
from streamgauge.adapters.sqlite.archived_log import ArchivedLog
from streamgauge.adapters.sqlite.log import never
from streamgauge.app import sealing
from streamgauge.app.sealing import Sealer
from streamgauge.app.settings import LogSettings
from streamgauge.log.archive import Archive
from streamgauge.testing.log_conformance import NOW, movement
from streamgauge.testing.streams import STREAMS


class WatchedLog(ArchivedLog):
    """Tells when a sealing ended, and fails the first ones if it is told to."""

    failures = 0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "log.db", Archive(folder / "archive", ParquetSegments))
        self.sealed = threading.Semaphore(0)
        for spec in STREAMS.values():
            self.register_schema(spec)
        self.append([movement(f"m-{i}") for i in range(60)], NOW)

    def seal(self, keep: int, least: int, stopped: Callable[[], bool] = never) -> int:
        try:
            if self.failures:
                self.failures -= 1
                raise OSError(28, "No space left on device")
            return super().seal(keep, least, stopped)
        finally:
            self.sealed.release()


def test_the_owner_seals_in_the_background_what_exceeds_the_tail(tmp_path: Path) -> None:
    log = WatchedLog(tmp_path)
    sealer = Sealer(log, LogSettings(tail=25, seal=10))
    assert log.sealed.acquire(timeout=30)
    sealer.close()
    assert log.check() == 60
    log.close()
    assert len(list((tmp_path / "archive").glob("*.parquet"))) == 3


def test_a_full_disk_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sealing, "_AFTER_A_FAILURE_S", 0.01)
    log = WatchedLog(tmp_path)
    log.failures = 2
    sealer = Sealer(log, LogSettings(tail=25, seal=10))
    for _ in range(3):
        assert log.sealed.acquire(timeout=30)
    sealer.close()
    assert "the tail grows" in caplog.text
    assert (tmp_path / "archive" / "manifest.json").exists()
    log.close()


def test_a_damaged_archive_ends_the_sealing_and_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = WatchedLog(tmp_path)
    log.seal(40, 10)
    for segment in (tmp_path / "archive").glob("*.parquet"):
        segment.write_bytes(b"PAR1")
    (tmp_path / "archive" / "manifest.json").write_bytes(b"{}")
    sealer = Sealer(log, LogSettings(tail=25, seal=10))
    assert log.sealed.acquire(timeout=30)
    assert log.sealed.acquire(timeout=30)
    sealer.close()
    assert "restore the folder archive from a backup" in caplog.text
    log.close()
