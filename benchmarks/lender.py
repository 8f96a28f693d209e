"""A trained lender for the benchmarks that need one: the credit template over a simulated history."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import streamgauge as sg
from streamgauge.testing.portfolio import simulate_history

STREAMGAUGE = Path(sys.executable).with_name("streamgauge")
MODEL = "application-risk"


def make_lender(directory: Path, borrowers: int, days: int, *, models: tuple[str, ...] = (MODEL,)) -> Path:
    """Begin a project, import a simulated history that ends now, and train; return its directory.

    Args:
        directory: Where; emptied first.
        borrowers: How many are simulated.
        days: How many days of history.
        models: Which models are trained.
    """
    shutil.rmtree(directory, ignore_errors=True)
    command("init", str(directory), "--template", "credit")
    with sg.open(directory) as project:
        for stream, frame in simulate_history(borrowers, days, datetime.now(UTC)).items():
            answer = project.import_history(frame, stream, known_at="known_at")
            if answer.quarantined:
                raise ValueError(f"{answer.quarantined} of the simulated {stream} were refused: {answer.refused[:1]}")
        for model in models:
            project.train(model)
    return directory


def command(*arguments: str, cwd: Path | None = None) -> str:
    """Run a command of ours and return what it printed."""
    ended = subprocess.run([STREAMGAUGE, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"streamgauge {' '.join(arguments)} failed: {ended.stderr.strip()[-2000:]}")
    return ended.stdout
