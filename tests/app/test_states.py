"""States that a start after a crash finds behind the log are read together, and are those that the log gives."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest

from streamgauge.app.answers import iso
from streamgauge.app.owner import Owner
from streamgauge.app.settings import find_place
from streamgauge.clock import FixedClock
from streamgauge.features.decode import SchemaBook
from streamgauge.features.state import EntityState
from tests.app.conftest import HOUR_US, Lender

if TYPE_CHECKING:
    from pathlib import Path

    from streamgauge.app.settings import Place

ACCOUNTS = [f"acc-{number:05d}" for number in range(5, 65)]
SLOW = "[engine]\ncheckpoint_seconds = 3600\ncheckpoint_records = 1000000\n"


@pytest.fixture
def crashed(lender: Lender, tmp_path: Path) -> Place:
    """A directory as a crash leaves it: of most accounts of the newest events, the stored state lacks them."""
    place = lender.copy(tmp_path / "lender")
    settings = place.root / "streamgauge.toml"
    settings.write_text(settings.read_text() + SLOW)
    place, now = find_place(place.root), lender.end_us + 9 * HOUR_US
    with Owner.open(place, clock=FixedClock(now)) as owner:
        for turn in range(2):
            events = [
                {"stream": "Movement", "id": f"m-{turn}-{name}", "account": name, "amount": "3.00", "kind": "sales"}
                | {"booked_at": iso(now - turn * HOUR_US)}
                for name in ACCOUNTS
            ]
            assert owner.ingest(events, applied=True).quarantined == 0
        shutil.copytree(place.root, tmp_path / "crashed")
    return find_place(tmp_path / "crashed")


def test_states_behind_the_log_are_read_together(
    crashed: Place, lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = lender.end_us + 10 * HOUR_US
    with Owner.open(crashed, clock=FixedClock(now)) as owner:
        states = owner.engine.applier.states
        behind = sorted(states.behind)
        assert len(behind) >= len(ACCOUNTS) // 2
        with monkeypatch.context() as patch:
            patch.setattr(owner.log, "read_entity", lambda *_: pytest.fail("An account was read by itself."))
            owner.engine.settle()
        assert not states.dirty
        bound = owner.live.models["account-risk"].bound
        book, store = SchemaBook(owner.log.schema), owner.engine.applier.store
        for entity in behind:
            layout = owner.live.layouts.of_entity(entity)
            told = EntityState.rebuild(layout, owner.log.read_entity(entity), book)
            stored = store.get(entity)
            assert stored is not None
            state = EntityState.decode(layout, stored)
            assert state.last_position == told.last_position
            assert state.compute(bound, now).tobytes() == told.compute(bound, now).tobytes()


def test_after_an_import_no_state_is_taken_to_lack_records(lender: Lender, tmp_path: Path) -> None:
    place = lender.copy(tmp_path / "lender")
    now = lender.end_us + 9 * HOUR_US
    at = datetime.fromtimestamp(now / 1_000_000 - 86_400, UTC)
    history = pl.DataFrame(
        {"id": [f"h-{name}" for name in ACCOUNTS], "account": ACCOUNTS, "amount": ["3.00"] * len(ACCOUNTS)}
    ).with_columns(kind=pl.lit("sales"), booked_at=pl.lit(at))
    with Owner.open(place, clock=FixedClock(now)) as owner:
        answer = owner.import_frame(history, "Movement", known_after_us=0)
        assert (answer.accepted, answer.quarantined) == (len(ACCOUNTS), 0)
        shutil.copytree(place.root, tmp_path / "crashed")
        store = owner.engine.applier.store
        assert store.watermark() == owner.engine.applier.applied
    with Owner.open(find_place(tmp_path / "crashed"), clock=FixedClock(now)) as owner:
        assert not owner.engine.applier.states.dirty


def test_a_stored_state_takes_at_most_32_bytes_an_event(lender: Lender, tmp_path: Path) -> None:
    with Owner.open(lender.copy(tmp_path / "lender"), clock=FixedClock(lender.end_us)) as owner:
        store, log = owner.engine.applier.store, owner.log
        entities = list(store.entities())
        held = sum(len(state) for state in store.get_many(entities) if state is not None)
        events = sum(len(log.read_entity(entity)) for entity in entities)
    assert len(entities) > 900
    assert events > 100 * len(entities)
    assert held <= 32 * events
