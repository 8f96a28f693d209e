"""P7: how long a command takes to start, against the command lines of MLflow and Feast."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.lender import STREAMGAUGE, make_lender
from benchmarks.measure import PEERS, Report, Row, Spread, interleave, ratios, seconds

GOAL = "`streamgauge --help` at most 0.3 s, `streamgauge score X` at most 1.0 s"
MODEL = "account-risk"
HELP, SCORE = "`streamgauge --help`", "`streamgauge score X`"


class Differs(AssertionError):
    """A command did not do what it is timed for."""


def run(*, quick: bool) -> Report:
    """Check, then measure."""
    borrowers, repetitions = (300, 3) if quick else (1_000, 7)
    with tempfile.TemporaryDirectory() as folder:
        project = make_lender(Path(folder) / "lender", borrowers, 730, models=(MODEL,))
        ours, peers = commands_of(project, active_account(project)), peers_of()
        checks = check(ours | peers)
        times = interleave(repetitions, {name: _timed(arguments) for name, arguments in (ours | peers).items()})
    rows = [
        Row(name, Spread.of(found), "s", None if name in ours else ratios(found, times[HELP]))
        for name, found in times.items()
    ]
    return Report(
        id="P7",
        title="Start-up of the command line",
        size={"accounts": borrowers, "repetitions": repetitions},
        goal=GOAL,
        checks=checks,
        rows=rows,
        notes=[
            (
                "Each time is that of the whole process, with its byte code and kernels compiled. The peers' ratios "
                f"are to {HELP}."
            ),
            *missing_peers(),
        ],
    )


def commands_of(project: Path, account: str) -> dict[str, list[str]]:
    """Return our commands by name."""
    score = [str(STREAMGAUGE), "score", account, "--model", MODEL, "--json", "-C", str(project)]
    return {HELP: [str(STREAMGAUGE), "--help"], SCORE: score}


def peers_of() -> dict[str, list[str]]:
    """Return the peers' commands that are installed; MLflow's slim package stands in where the whole one is not."""
    peers = {f"`{name} --help`": [str(PEERS / name), "--help"] for name in ("mlflow", "feast")}
    found = {name: arguments for name, arguments in peers.items() if Path(arguments[0]).exists()}
    if "`mlflow --help`" not in found:
        found["`mlflow --help` (mlflow-skinny)"] = [str(Path(sys.executable).with_name("mlflow")), "--help"]
    return found


def missing_peers() -> list[str]:
    """Return what to say of peers that are not there."""
    missing = [name for name in ("mlflow", "feast") if not (PEERS / name).exists()]
    return [f"Not there: {' and '.join(missing)}, which `make bench-venv` installs."] if missing else []


def active_account(project: Path) -> str:
    """Return an account that the model scores."""
    out = project / "portfolio.csv"
    subprocess.run(
        [STREAMGAUGE, "portfolio", "--model", MODEL, "--out", out, "-C", project], check=True, capture_output=True
    )
    header, first = out.read_text().splitlines()[:2]
    return dict(zip(header.split(","), first.split(","), strict=False))["entity"]


def check(commands: Mapping[str, Sequence[str]]) -> list[str]:
    """Run each once, and return what was found.

    Raises:
        Differs: A command failed, or printed something else.
    """
    for name, arguments in commands.items():
        ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise Differs(f"{name} failed: {ended.stderr.strip()[-500:]}")
        if name == SCORE and not 0 < json.loads(ended.stdout)["pd"] < 1:
            raise Differs(f"{name} printed no score: {ended.stdout[:500]}")
        if name != SCORE and "Commands" not in ended.stdout:
            raise Differs(f"{name} listed no commands: {ended.stdout[:500]}")
    return [f"{', '.join(commands)} do what they say: a list of commands, or a score"]


def _timed(arguments: Sequence[str]) -> Callable[[], float]:
    return lambda: seconds(lambda: subprocess.run(arguments, capture_output=True, check=True))
