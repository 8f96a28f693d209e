"""A lender that was busy for a while, made once and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place, find_place
from tests.faults.lender import Sender, make_project

DECISIONS = 40


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faults") / "lender"
    with Owner.open(make_project(root)) as owner:
        sender = Sender(3)
        for _ in range(60):
            owner.ingest([sender.event(datetime.now(UTC)) for _ in range(8)], applied=True)
        for number in range(DECISIONS):
            owner.decide(f"d-{number}", sender.application(datetime.now(UTC)))
    return root


@pytest.fixture
def lender(busy: Path, tmp_path: Path) -> Place:
    """A copy of the busy lender."""
    return find_place(shutil.copytree(busy, tmp_path / "lender"))


@pytest.fixture
def copied(busy: Path, tmp_path: Path) -> Callable[[str], Place]:
    """Return what makes further copies."""
    return lambda name: find_place(shutil.copytree(busy, tmp_path / name))
