"""P6: `kill -9` at full work, start again, and the first correct score, with states of many accounts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

from benchmarks.drawn import DAY_US, MODEL, make_drawn_lender, movements
from benchmarks.lender import STREAMGAUGE
from benchmarks.measure import ROOT, Report, Row, Spread, ratios
from streamgauge.app.owner import Owner
from streamgauge.app.reading import Question
from streamgauge.app.settings import Place, find_place
from streamgauge.events.values import parse_time

GOAL = "at most 3 s with states of 1M accounts"
_EACH = 3
_AT_ONCE = 3_000_000


class Differs(AssertionError):
    """The first score is not the one that the log gives."""


def run(*, quick: bool) -> Report:
    """Build, kill, start and measure."""
    accounts, repetitions = (2_000, 1) if quick else (1_000_000, 3)
    with tempfile.TemporaryDirectory() as folder:
        place = make_drawn_lender(Path(folder) / "lender")
        build(place, accounts)
        again: list[float] = []
        for _ in range(repetitions):
            kill_at_work(place, accounts)
            again.append(start(place, accounts))
        kill_at_work(place, accounts)
        shutil.rmtree(place.state)
        zero = start(place, accounts)
    return Report(
        id="P6",
        title="Restart after kill -9",
        size={"accounts": accounts, "records": accounts * _EACH},
        goal=GOAL,
        checks=[f"{repetitions + 1} first scores are those that the log's records give"],
        rows=[
            Row("Streamgauge, from start to the first score", Spread.of(again), "s"),
            Row("replay from zero: every state built from the log", Spread.of([zero]), "s", ratios([zero], [again[0]])),
        ],
        notes=["From the start of `streamgauge run`: imports, the log, the states, the model, one score over HTTP."],
    )


def build(place: Place, accounts: int) -> None:
    """Import a history that gives every account a state."""
    now = time.time_ns() // 1_000
    with Owner.open(place) as owner:
        for start in range(0, accounts * _EACH, _AT_ONCE):
            count = min(_AT_ONCE, accounts * _EACH - start)
            frame = movements(count, accounts, now - 120 * DAY_US, now - DAY_US, seed=start, prefix=f"h{start}-")
            owner.import_frame(frame, "Movement", known_after_us=3_600_000_000)


def kill_at_work(place: Place, accounts: int) -> None:
    """Let a process ingest for a while, then kill it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.p6_restart", str(place.root), str(accounts)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.stdout is None or process.stdout.readline() != "at work\n":
        raise RuntimeError("The process that was to be killed ended by itself.")
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def start(place: Place, accounts: int) -> float:
    """Start the server, ask it for one score, check that, and return the seconds it took."""
    account = accounts // 2
    began = time.perf_counter()
    process = subprocess.Popen(
        [STREAMGAUGE, "run", "-C", str(place.root), "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process.stdout as said:  # type: ignore[union-attr]
        url = json.loads(said.readline())["url"]
        with urlopen(f"{url}/v1/entities/acc-{account}/score?model={MODEL}") as answer:  # noqa: S310 - http
            first = json.load(answer)
        took = time.perf_counter() - began
        process.terminate()
    process.wait()
    with Owner.open(place) as owner:
        model = owner.live.models[MODEL]
        question = Question(f"account:acc-{account}", parse_time(first["as_of"]), first["position"])
        row = owner.reader.read(question, model.bound).row
        expected = float(model.scorer.score_many(model.inputs(row.reshape(1, -1))).pd[0])
    if expected != first["pd"]:
        raise Differs(f"The first score is {first['pd']}, the log gives {expected}.")
    return took


def _work(root: Path, accounts: int) -> None:
    with Owner.open(find_place(root)) as owner:
        for number in range(10**6):
            now = time.time_ns() // 1_000
            frame = movements(20_000, accounts, now - 1_000_000, now, seed=now % 2**32, prefix=f"k{now}-")
            owner.ingest_frame(frame, "Movement")
            if number == 1:
                print("at work", flush=True)


if __name__ == "__main__":
    _work(Path(sys.argv[1]), int(sys.argv[2]))
