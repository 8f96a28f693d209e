"""What a worker reads beside the owner, here after it: the same answers, or none."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest

from streamgauge.app import wiring
from streamgauge.app.answers import iso
from streamgauge.app.live import LiveSet
from streamgauge.app.owner import Owner
from streamgauge.app.served import ServedFile
from streamgauge.app.workers.reads import Elsewhere, ServedStates
from streamgauge.clock import FixedClock
from streamgauge.errors import Inactive, UnknownName
from tests.app.conftest import HOUR_US, Lender

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamgauge.app.settings import Place

ACCOUNTS = [f"acc-{number:05d}" for number in range(5, 65)]
MODEL = "account-risk"


class Left:
    """What an owner answered, and left behind."""

    def __init__(self, place: Place, clock: FixedClock) -> None:
        self.place = place
        self.clock = clock
        self.features: dict[str, bytes] = {}
        self.scores: dict[str, bytes] = {}
        with Owner.open(place, clock=clock) as owner:
            event = {"stream": "Movement", "id": "m-1", "account": ACCOUNTS[0], "amount": "3.00", "kind": "sales"}
            answer = owner.ingest([{**event, "booked_at": iso(clock.now_us())}], applied=True)
            assert answer.quarantined == 0, answer
            self.position = answer.position
            active = [entity for entity in ACCOUNTS if _has_score(owner, entity)]
            self.features = {one: msgspec.json.encode(owner.features(one, model=MODEL)) for one in ACCOUNTS}
            self.scores = {one: msgspec.json.encode(owner.score(one)) for one in active}
            self.live = owner.live


def _has_score(owner: Owner, entity: str) -> bool:
    try:
        owner.score(entity)
    except Inactive:
        return False
    return True


@pytest.fixture(scope="module")
def left(lender: Lender, tmp_path_factory: pytest.TempPathFactory) -> Left:
    place = lender.copy(tmp_path_factory.mktemp("reads") / "lender")
    return Left(place, FixedClock(lender.end_us + 9 * HOUR_US))


@pytest.fixture
def states(left: Left) -> Iterator[ServedStates]:
    ServedFile(left.place.served).write(left.live)
    with closing(ServedStates(left.place, left.clock)) as states:
        yield states


def test_answers_are_those_of_the_owner_byte_for_byte(left: Left, states: ServedStates) -> None:
    for entity, answer in left.features.items():
        assert msgspec.json.encode(states.features(entity, MODEL, left.position)) == answer
    assert len(left.scores) > 10
    for entity, answer in left.scores.items():
        assert msgspec.json.encode(states.score(entity, None, 0)) == answer


def test_what_is_not_applied_yet_is_left_to_the_owner(left: Left, states: ServedStates) -> None:
    with pytest.raises(Elsewhere):
        states.features(ACCOUNTS[0], MODEL, left.position + 1)
    with pytest.raises(Elsewhere):
        states.features(ACCOUNTS[0], None, 0)
    with pytest.raises(Elsewhere):
        states.features("nobody", MODEL, 0)
    with pytest.raises(UnknownName):
        states.features(ACCOUNTS[0], "no-model", 0)


@pytest.mark.parametrize("mark", ["import_mark", "erasure_mark"])
def test_during_an_import_or_an_erasure_the_owner_answers(left: Left, states: ServedStates, mark: str) -> None:
    path: Path = getattr(left.place, mark)
    path.touch()
    try:
        with pytest.raises(Elsewhere):
            states.features(ACCOUNTS[0], MODEL, 0)
    finally:
        path.unlink()
    assert states.features(ACCOUNTS[0], MODEL, 0).position >= left.position


def test_once_something_else_may_be_served_the_owner_answers(left: Left, states: ServedStates) -> None:
    assert states.is_served()
    ServedFile(left.place.served).write(left.live)
    assert not states.is_served()
    with pytest.raises(Elsewhere):
        states.features(ACCOUNTS[0], MODEL, 0)
    ServedFile(left.place.served).withdraw()
    with pytest.raises(Elsewhere):
        states.score(ACCOUNTS[0], None, 0)


def test_nothing_is_opened_where_other_models_are_served(left: Left) -> None:
    with pytest.raises(Elsewhere):
        ServedStates(left.place, left.clock)
    ServedFile(left.place.served).write(LiveSet([]))
    with pytest.raises(Elsewhere):
        ServedStates(left.place, left.clock)


def test_a_log_that_is_only_read_refuses_to_be_written(left: Left) -> None:
    with closing(wiring.open_log(left.place, reads_only=True)) as log:
        last = log.last_position()
        with pytest.raises(OSError, match="readonly"):
            log.register_schema(log.schemas()[0])
        assert log.last_position() == last
