"""A small lender with both models of the credit template trained, shared by the tests of the app."""

from __future__ import annotations

import fcntl
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import streamgauge
from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place, find_place
from streamgauge.clock import FixedClock
from streamgauge.models.train import train_model
from streamgauge.testing.portfolio import DEFAULT_END, simulate_history

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = Path(streamgauge.__file__).parent / "app/templates/credit"
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Lender:
    """A project directory that nobody owns: history imported, models trained.

    Attributes:
        root: The directory; copy it, never write into it.
        end: The end of its history.
    """

    root: Path
    end: datetime

    @property
    def end_us(self) -> int:
        return (self.end - datetime(1970, 1, 1, tzinfo=UTC)).days * 24 * HOUR_US

    def copy(self, root: Path) -> Place:
        """Return a project directory of one's own, at a path where there is nothing yet."""
        shutil.copytree(self.root, root)
        return find_place(root)


@pytest.fixture(scope="session")
def lender(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Lender:
    """1,000 borrowers over two years; trained once, however many processes test."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    root = shared / "lender"
    with (shared / "lender.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            train(shared / "lender.new")
            (shared / "lender.new").rename(root)
    return Lender(root, DEFAULT_END)


def train(root: Path) -> None:
    shutil.copytree(TEMPLATE, root, ignore=shutil.ignore_patterns("__pycache__"))
    project = root / "credit.py"
    project.write_text(project.read_text().replace("max_iter=300", "max_iter=30"))
    end = Lender(root, DEFAULT_END).end_us
    with Owner.open(find_place(root), clock=FixedClock(end)) as owner:
        for stream, frame in simulate_history(borrowers=1_000).items():
            assert not owner.import_frame(frame, stream, known_at="known_at").quarantined
        for model in owner.project.models:
            train_model(owner.project, model, owner.log, owner.registry)


@pytest.fixture(scope="module")
def clock(lender: Lender) -> FixedClock:
    """A clock at nine in the morning after the history."""
    return FixedClock(lender.end_us + 9 * HOUR_US)


@pytest.fixture(scope="module")
def owner(lender: Lender, clock: FixedClock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    """The owner of a copy of the lender, for one file of tests."""
    with Owner.open(lender.copy(tmp_path_factory.mktemp("owned") / "lender"), clock=clock) as owner:
        yield owner
