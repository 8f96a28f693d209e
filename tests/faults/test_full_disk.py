"""A server on a small file system of its own that fills up: it refuses clearly, loses nothing, and goes on."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place
from tests.faults.lender import Sender, make_project
from tests.faults.running import Running, post
from tests.faults.test_kill import SMALL
from tests.faults.truth import Truth

_REFUSED = {"storage-unavailable", "ledger-unavailable", "not-ready"}
_PATIENCE_S = 60.0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory of a few megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("mounting a file system takes root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


class Sent:
    """Events and applications, and which of them were acknowledged."""

    def __init__(self, seed: int) -> None:
        self._sender = Sender(seed, prefix="full")
        self._number = 0
        self.events: list[str] = []
        self.decisions: list[str] = []
        self.refusals: set[str] = set()

    def some(self, url: str) -> bool:
        """Send some events and an application; return whether all were taken."""
        events = [self._sender.application(datetime.now(UTC)) for _ in range(10)]
        answered = self._taken(*post(url, "/v1/events?wait=applied", events))
        if answered:
            self.events += [event["id"] for event in events]
        self._number += 1
        name = f"d-{self._number}"
        asked = {"decision_id": name, "event": self._sender.application(datetime.now(UTC))}
        decided = self._taken(*post(url, "/v1/decisions", asked))
        if decided:
            self.decisions.append(name)
        return answered and decided

    def _taken(self, status: int, answer: dict[str, Any]) -> bool:
        if status == 200:
            return True
        kind = answer["type"].rpartition(":")[2]
        assert (status, kind in _REFUSED) == (503, True), answer
        self.refusals.add(kind)
        return False


def fill(folder: Path) -> Path:
    """Take all the room there is."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return ballast


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_a_server_whose_disk_is_full_refuses_and_goes_on_when_there_is_room(small: Path, killed: bool) -> None:
    place = make_project(small / "project", engine=SMALL)
    sent = Sent(31 + killed)
    with Running(place) as server:
        server.wait()
        for _ in range(20):
            assert sent.some(server.url)
        ballast = fill(small)
        refused = 0
        for _ in until(_PATIENCE_S):
            refused += not sent.some(server.url)
            if refused == 15:
                break
        assert sent.refusals
        if killed:
            server.kill()
            with Running(place) as early:
                assert early.answers() or early.join() == 1
        ballast.unlink()
        if not killed:
            goes_on(server, sent)
    if killed:
        with Running(place) as server:
            goes_on(server.wait(), sent)
    assert "Traceback" not in (place.root / "run.err").read_text("utf-8", "replace")
    _check(place, sent)


def goes_on(server: Running, sent: Sent) -> None:
    """All is taken again before long, and it ends as asked."""
    for _ in until(_PATIENCE_S):
        if sent.some(server.url):
            break
    for _ in range(5):
        assert sent.some(server.url)
    assert server.stop() == 0


def until(seconds: float) -> Iterator[None]:
    """Yield now and again, for so long at most."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.05)
    pytest.fail(f"not within {seconds} s")


def _check(place: Place, sent: Sent) -> None:
    with Owner.open(place) as owner:
        truth = Truth(owner)
        truth.check()
        held = {record.event_id for told in truth.told for record in told.records}
        assert set(sent.events) <= held
        assert {owner.decision(one).decision_id for one in sent.decisions} == set(sent.decisions)
