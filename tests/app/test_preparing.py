"""States can be built while their models are being trained; serving them then needs no building."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from streamgauge.app.owner import Owner
from streamgauge.app.service import quiet
from streamgauge.clock import FixedClock
from streamgauge.errors import StreamgaugeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.app.conftest import Lender

ENTITY = "acc-00007"


def told(what: list[str]) -> Callable[[str, int, int], None]:
    return lambda name, _done, _total: what.append(name)


def test_prepared_states_are_served_without_building_and_give_the_same_features(lender: Lender, tmp_path: Path) -> None:
    place = lender.copy(tmp_path / "lender")
    clock = FixedClock(lender.end_us)
    with Owner.open(place, clock=clock) as owner:
        expected = owner.features(ENTITY, model="account-risk")
    trained = tmp_path / "trained"
    place.models.rename(trained)
    with Owner.open(place, clock=clock) as owner:
        with pytest.raises(StreamgaugeError):
            owner.features(ENTITY, model="account-risk")
        built: list[str] = []
        owner.prepare(list(owner.project.models), told(built))
        assert "rebuilding states" in built
        shutil.rmtree(place.models, ignore_errors=True)
        trained.rename(place.models)
        reloaded: list[str] = []
        owner.reload(told(reloaded))
        assert "rebuilding states" not in reloaded
        assert owner.features(ENTITY, model="account-risk") == expected


def test_models_that_are_served_need_no_preparing(lender: Lender, tmp_path: Path) -> None:
    place = lender.copy(tmp_path / "lender")
    with Owner.open(place, clock=FixedClock(lender.end_us)) as owner:
        stores = sorted(place.state.iterdir())
        owner.prepare(list(owner.project.models), quiet)
        assert sorted(place.state.iterdir()) == stores
