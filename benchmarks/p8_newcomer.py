"""P8: from a clone to the first live score, with everything installed on the way."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.lender import STREAMGAUGE
from benchmarks.measure import ROOT, Report, Row, Spread

GOAL = "one command, at most 90 s on 2 cores, installation included"
_STREAMED = "5s"


class Differs(AssertionError):
    """The demo ended without what it is timed for."""


def run(*, quick: bool) -> Report:
    """Measure, then check what the demo reports of itself. The quick form leaves the installation out."""
    with tempfile.TemporaryDirectory() as folder:
        installed, summary, commands = _here() if quick else _cloned(Path(folder) / "clone")
    checks = check(summary)
    first = float(summary["seconds_to_first_score"])
    rows = [
        Row("from clone to the first live score", Spread.of([installed + first]), "s"),
        Row("of that: clone and installation", Spread.of([installed]), "s"),
    ]
    if quick:
        rows = [Row("from `streamgauge demo` to the first live score, installed", Spread.of([first]), "s")]
    rows += [
        Row(f"of that: {name.replace('_', ' ')}", Spread.of([float(took)]), "s")
        for name, took in summary["phases"].items()
        if not name.startswith("verify")  # comes after the stream
    ]
    return Report(
        id="P8",
        title="A newcomer's first live score",
        size={"imported events": summary["imported"], "commands": commands},
        goal=GOAL,
        checks=checks,
        rows=rows,
        notes=[
            (
                "One run. Packages come from the network or the installer's cache, as they do for a newcomer's second "
                "project; the first takes as long as its network. Phases overlap."
            ),
            (
                "Feast's quick start takes six commands to a first feature, and has neither model nor decision; it is "
                "not timed here."
            ),
        ],
    )


def check(summary: dict[str, Any]) -> list[str]:
    """Return what the demo found of itself.

    Raises:
        Differs: No live score came, or a decision did not verify.
    """
    verified = summary["verify"]
    if summary["seconds_to_first_score"] is None or not summary["events"]:
        raise Differs("The demo ended without a live score.")
    if verified["mismatch"] or verified["checked"] < summary["decisions"]:
        raise Differs(f"Decisions that do not verify: {verified}")
    return [f"all {verified['checked']:,} decisions of the demo recomputed from record and log, equal"]


def _here() -> tuple[float, dict[str, Any], str]:
    arguments = ["demo", "--for", _STREAMED, "--headless", "--json", "--borrowers", "1000", "--days", "500"]
    return 0.0, _json_of([str(STREAMGAUGE), *arguments], ROOT), "streamgauge demo"


def _cloned(clone: Path) -> tuple[float, dict[str, Any], str]:
    started = time.perf_counter()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    subprocess.run(["make", "venv"], cwd=clone, check=True, capture_output=True)
    installed = time.perf_counter() - started
    return installed, _json_of(["make", "demo", f"ARGS=--for {_STREAMED} --headless --json"], clone), "make demo"


def _json_of(arguments: Sequence[str], where: Path) -> dict[str, Any]:
    ended = subprocess.run(arguments, cwd=where, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise Differs(f"{' '.join(arguments)} failed: {ended.stderr.strip()[-2000:]}")
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer
