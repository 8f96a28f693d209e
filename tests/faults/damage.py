"""Damages copies of a project directory and opens each in a process of its own; prints what became of it.

Run as ``python -m tests.faults.damage ROOT TARGET COUNT SEED``: one JSON list of [what was done, outcome] pairs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from streamgauge.app.owner import Owner
from streamgauge.app.settings import find_place
from streamgauge.errors import StreamgaugeError
from tests.faults.lender import Sender
from tests.faults.truth import Truth

_LONGEST_S = 60


def main(root: Path, target: str, count: int, seed: int) -> None:
    """Damage a file so many times, differently each time."""
    found = []
    for number in range(count):
        copy = root.parent / f"damaged-{seed}-{number}"
        shutil.copytree(root, copy)
        [path] = (copy / ".streamgauge").glob(target)
        done = damage(path, Random(seed * 1_000 + number))  # noqa: S311 - a test's draw
        outcome = opened(copy)
        if outcome == f"signal {int(signal.SIGSEGV)}" or outcome == f"signal {int(signal.SIGBUS)}":
            # LMDB trusts its pages. The next start finds out before it does.
            outcome = opened(copy)
        found.append((done, outcome))
        shutil.rmtree(copy)
    sys.stdout.write(json.dumps(found))


def damage(path: Path, draw: Random) -> str:
    """Flip a bit, blank a stretch or cut the file short; return which."""
    data = bytearray(path.read_bytes())
    place = draw.randrange(len(data))
    kind = draw.choice(["bit", "bit", "bit", "blank", "cut"])
    if kind == "bit":
        data[place] ^= 1 << draw.randrange(8)
    elif kind == "blank":
        stretch = len(data[place : place + draw.choice([16, 512, 4_096])])
        data[place : place + stretch] = bytes(stretch)
    else:
        del data[place:]
    path.write_bytes(data)
    return f"{kind} at {place}"


def opened(root: Path) -> str:
    """Open, check, write, and check again in a forked process; return the outcome."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(_LONGEST_S)
        with os.fdopen(writer, "w", encoding="utf-8") as out, suppress(BaseException):
            out.write(_outcome(root))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else text


def _outcome(root: Path) -> str:
    try:
        with Owner.open(find_place(root)) as owner:
            Truth(owner).check_features()
            sender = Sender(99, prefix="z")
            for _ in range(5):
                owner.ingest([sender.event(datetime.now(UTC)) for _ in range(8)], applied=True)
            truth = Truth(owner)
            truth.check_features()
            report = owner.verify(lambda *_: None)
            if report.chain != "intact" or report.mismatch:
                return f"verify: {report.chain}, {report.mismatch} mismatches"
            return f"fine, {truth.last} records, {report.match} decisions"
    except StreamgaugeError as error:
        return f"{type(error).__name__}: {error}"
    except BaseException as error:  # noqa: BLE001 - the outcome is what the test judges
        return f"not named: {type(error).__name__}: {error}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
