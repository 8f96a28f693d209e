"""P2 and P6 on a small lender: what is timed is checked first."""

import time
from pathlib import Path

import pytest

from benchmarks import p6_restart
from benchmarks.drawn import DAY_US, make_drawn_lender, movements
from benchmarks.p2_stream import Differs, ingest
from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_drawn_lender(tmp_path_factory.mktemp("bench") / "lender", trees=5)


def test_every_event_leads_to_a_score(place: Place) -> None:
    now = time.time_ns() // 1_000
    with Owner.open(place) as owner:
        frame = movements(500, 20, now - 1_000_000, now, seed=1, prefix="a", hot=0.25)
        assert ingest(owner, frame) > 0
        assert len(owner.scores_after(0, 1_000)) == 500
        late = movements(5, 5, now - 400 * DAY_US, now - 300 * DAY_US, seed=2, prefix="b")
        with pytest.raises(Differs, match="5 of 5"):
            ingest(owner, late)


def test_the_first_score_after_a_kill_is_the_one_that_the_log_gives(tmp_path: Path) -> None:
    place = make_drawn_lender(tmp_path / "lender", trees=5)
    p6_restart.build(place, 200)
    p6_restart.kill_at_work(place, 200)
    assert p6_restart.start(place, 200) > 0
