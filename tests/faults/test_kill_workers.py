"""`kill -9` of the owner and of the workers of a server with several processes, while all others go on."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from streamgauge.app.lock import OwnerLock
from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place
from streamgauge.errors import OwnerBusy
from tests.faults.lender import make_project
from tests.faults.running import Client, Running, Watch
from tests.faults.test_kill import KILLS, SMALL, check_acknowledged
from tests.faults.truth import Truth

ROUNDS = max(1, KILLS // 20)
"""In each, the owner is killed in two phases and a worker at a random moment."""
_PATIENCE_S = 60.0


@pytest.mark.e2e
@pytest.mark.slow
def test_owner_and_workers_killed_in_turn_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    place = make_project(tmp_path / "project", engine=SMALL)
    draw = Random(71)  # noqa: S311 - a test's draw
    client, watch = Client(71, tmp_path, patient=True), Watch(tmp_path / "phases")
    watch.aim("deciding", 10, 0.001)
    with Running(place, workers=2, watch=watch) as server:
        threads = client.run(server.wait().url, place, imports=False)
        for number in range(ROUNDS):
            phases = ["deciding", "ingesting", "storing", "checkpointing"]
            for phase in [phases[number % 4], phases[(number + 1) % 4]]:
                _until_owner_dies(watch, place)
                watch.aim(phase, draw.choice([5, 20]), draw.uniform(0.0, 0.01))
            server.kill_part("worker", draw)
            time.sleep(draw.uniform(0.5, 1.5))
        client.stopped.set()
        server.kill()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
    _until_free(place)
    watch.count()
    assert watch.hits["deciding"]
    assert client.problems == []
    with Owner.open(place) as owner:
        truth = Truth(owner)
        truth.check()
        check_acknowledged(truth, client.held, 2 * ROUNDS)


def _until_owner_dies(watch: Watch, place: Place) -> None:
    """Wait until the aim is taken, or go on where the phase does not come."""
    end = time.monotonic() + _PATIENCE_S
    while watch.aimed:
        assert time.monotonic() < end, (place.root / "run.err").read_text("utf-8", "replace")
        time.sleep(0.02)


def _until_free(place: Place) -> None:
    """Without their supervisor, owner and workers end by themselves."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            OwnerLock(place.lock).release()
        except OwnerBusy:
            assert time.monotonic() < end
            time.sleep(0.1)
        else:
            return
