"""`kill -9` of a running server at random moments: nothing acknowledged is lost, nothing is applied twice."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import pytest

from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place
from streamgauge.events.content import content_digest
from streamgauge.events.validate import validate_one
from tests.faults.lender import make_project
from tests.faults.running import Acknowledged, Client, Running
from tests.faults.truth import Truth

KILLS = int(os.environ.get("FAULTS_KILLS", "6"))
SEEDS = tuple(range(1, 1 + -(-KILLS // 20)))


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random_moments_it_loses_nothing_and_repeats_nothing(seed: int, tmp_path: Path) -> None:
    place = make_project(tmp_path / "project")
    draw = Random(seed)  # noqa: S311 - a test's draw
    client = Client(seed, tmp_path)
    for kill in range(min(KILLS, 20)):
        _run_and_kill(place, client, draw, kill)
    assert client.problems == []
    assert "Traceback" not in (place.root / "run.err").read_text("utf-8", "replace")
    with Owner.open(place) as owner:
        assert not list(place.state.glob("*/broken-*"))
        truth = Truth(owner)
        truth.check()
        _check_acknowledged(truth, client.held)


def _run_and_kill(place: Place, client: Client, draw: Random, kill: int) -> None:
    """Kill it at work; every fourth time while it starts: it catches up, or rebuilds what an import touched."""
    server = Running(place)
    if kill % 4 == 3:
        time.sleep(draw.uniform(0.3, 1.2))
        server.kill()
        return
    threads = client.run(server.wait().url, place, imports=kill % 3 == 1)
    time.sleep(draw.uniform(0.02, 0.9))
    server.kill()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def _check_acknowledged(truth: Truth, held: Acknowledged) -> None:
    streams = truth.project.streams
    logged = truth.events()
    for event in [*held.events, *({"stream": "Movement", **row} for row in held.imports)]:
        new = validate_one(event, streams)
        digest = content_digest(new.op, new.event_time, new.sequence, new.units, new.texts)
        assert logged[new.entity, new.stream, new.event_id, new.revision, digest], event
    for decision_id, answer in held.decisions.items():
        assert truth.owner.decision(decision_id).digest == answer["digest"]
    published = {score["id"] for score in truth.published()}
    assert set(held.scores) <= published
    assert len(held.events) > KILLS
    assert len(held.decisions) > KILLS // 2
