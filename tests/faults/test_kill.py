"""`kill -9` of a running server at random moments and in each phase of its work: nothing is lost, doubled or wrong."""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path
from random import Random

import pytest

from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place
from streamgauge.events.content import content_digest
from streamgauge.events.validate import validate_one
from streamgauge.log.manifest import NAME
from tests.faults.lender import make_project
from tests.faults.running import Acknowledged, Client, Running, Watch
from tests.faults.truth import Truth
from tests.faults.watched.sitecustomize import PHASES

logger = logging.getLogger(__name__)

KILLS = int(os.environ.get("FAULTS_KILLS", "6"))
AT_ONCE = 20
SEEDS = tuple(range(1, 1 + -(-KILLS // AT_ONCE)))
SMALL = "checkpoint_records = 20\ncheckpoint_seconds = 0.2\n[log]\ntail = 60\nseal = 40\n"
"""So small that everything that a long life has happens in a second."""
IN_RANDOM_PHASES = 4
"""Of so many kills, one is aimed at no phase."""
FREQUENT = {"ingesting", "applying", "storing", "checkpointing", "deciding"}
BRIEF = {"catching up"}
"""Once a life, and often over at once: a kill that waits a while would wait for ever."""
_AIMED_S = 40.0


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random_moments_and_in_every_phase_it_loses_nothing_and_repeats_nothing(
    seed: int, tmp_path: Path
) -> None:
    place = make_project(tmp_path / "project", engine=SMALL)
    draw = Random(seed)  # noqa: S311 - a test's draw
    client, watch = Client(seed, tmp_path), Watch(tmp_path / "phases")
    aims = draw.sample(PHASES, len(PHASES))
    aimed = set()
    kills = min(KILLS, AT_ONCE)
    for kill in range(kills):
        if kill % IN_RANDOM_PHASES == 0 or not aims:
            _run_and_kill(place, client, watch, draw, kill)
        else:
            aimed.add(aims[-1])
            _run_until(aims.pop(), place, client, watch, draw)
        watch.count()
    logger.info("%s kills, of which within: %s", kills, dict(watch.hits))
    assert aimed <= watch.hits.keys()
    assert client.problems == []
    assert client.held.refused
    assert "Traceback" not in (place.root / "run.err").read_text("utf-8", "replace")
    with Owner.open(place) as owner:
        assert not list(place.state.glob("*/broken-*"))
        truth = Truth(owner)
        truth.check()
        assert owner.log.check() == len([record for told in truth.told for record in told.records])
        check_acknowledged(truth, client.held, kills)
        _check_erased(place, truth, client.held)
    _check_files(place, client.held)
    shutil.rmtree(place.state)
    with Owner.open(place) as owner:
        Truth(owner).check(feed=False)


def _run_until(phase: str, place: Place, client: Client, watch: Watch, draw: Random) -> None:
    """Have it killed in a phase."""
    nth = draw.choice([1, 3, 9, 30]) if phase in FREQUENT else 1
    delay_s = draw.choice([0.0, 0.0, draw.uniform(0, 0.004), draw.uniform(0, 0.05)])
    watch.aim(phase, nth, 0.0 if phase in BRIEF else delay_s)
    server = Running(place, watch=watch)
    threads = client.run(server.url, place, imports=True, cares=True) if server.answers() else []
    server.dies_within(_AIMED_S)
    server.kill()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def _run_and_kill(place: Place, client: Client, watch: Watch, draw: Random, kill: int) -> None:
    """Kill it at work; every other time while it starts: it catches up, or rebuilds what an import touched."""
    server = Running(place, watch=watch)
    if kill % 2:
        time.sleep(draw.uniform(0.3, 1.2))
        server.kill()
        return
    threads = client.run(server.wait().url, place, imports=kill % 3 == 0, cares=kill % 4 == 0)
    time.sleep(draw.uniform(0.02, 0.9))
    server.kill()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def check_acknowledged(truth: Truth, held: Acknowledged, kills: int) -> None:
    """What was answered is in the log, in the quarantine, in the ledger and in the feed."""
    streams = truth.project.streams
    logged = truth.events()
    for event in [*held.events, *({"stream": "Movement", **row} for row in held.imports)]:
        new = validate_one(event, streams)
        digest = content_digest(new.op, new.event_time, new.sequence, new.units, new.texts)
        assert logged[new.entity, new.stream, new.event_id, new.revision, digest], event
    for decision_id, answer in held.decisions.items():
        assert truth.owner.decision(decision_id).digest == answer["digest"]
    published = {score["id"] for score in truth.published()}
    assert {number for number, score in held.scores.items() if score["entity"] not in held.asked} <= published
    refused = {one.number: one.event_id for one in truth.owner.log.quarantined(last=10**6)}
    assert held.refused.items() <= refused.items()
    places = {record.position: record.event_id for told in truth.told for record in told.records}
    assert {position: name for name, position in held.retried.items()}.items() <= places.items()
    assert len(held.events) > kills
    assert len(held.decisions) > kills // 4


def _check_erased(place: Place, truth: Truth, held: Acknowledged) -> None:
    """An erasure that was answered is whole, and one that was begun is whole or has not begun."""
    entities = {told.entity for told in truth.told}
    assert not {f"account:{account}" for account in held.erased} & entities
    assert not held.erased & {score["entity"] for score in truth.published()}
    assert not (place.data / "erasure.pending").exists()


def _check_files(place: Place, held: Acknowledged) -> None:
    """No file names who was erased; while the owner is open, it may seal and merge them."""
    for path in (place.log, place.archive, *place.state.glob("*/data.mdb")):
        files = [one for one in path.iterdir() if one.name != NAME] if path.is_dir() else [path]
        for file in files:
            data = file.read_bytes()
            assert [account for account in held.erased if f"account:{account}\0".encode() in data] == []
