"""Damages copies of a project directory and opens each in a process of its own; prints what became of it.

Run as ``python -m tests.faults.damage ROOT TARGET COUNT SEED``: one JSON list of [what was done, outcome] pairs. The
target is a pattern of files; behind a ``#``, ``table`` or ``index`` picks the pages of a SQLite file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from streamgauge.app.connect import become_owner
from streamgauge.app.settings import find_place
from streamgauge.errors import StreamgaugeError
from tests.faults.lender import Sender
from tests.faults.truth import Truth

if TYPE_CHECKING:
    from streamgauge.app.owner import Owner

_LONGEST_S = 120
_PAGE = 4_096
_KINDS = {"table": (5, 13), "index": (2, 10)}


def main(root: Path, target: str, count: int, seed: int) -> None:
    """Damage a file so many times, differently each time."""
    found = []
    whole = opened(_copied(root, f"whole-{seed}"), "")
    pattern, _, pages = target.partition("#")
    for number in range(count):
        copy = _copied(root, f"damaged-{seed}-{number}")
        draw = Random(seed * 1_000 + number)  # noqa: S311 - a test's draw
        path = draw.choice(sorted((copy / ".streamgauge").glob(pattern)))
        done = f"{path.name}: {damage(path, draw, _KINDS.get(pages))}"
        outcome = opened(copy, whole)
        if outcome == f"signal {int(signal.SIGSEGV)}" or outcome == f"signal {int(signal.SIGBUS)}":
            # LMDB trusts its pages. The next start finds out before it does.
            outcome = opened(copy, whole)
        found.append((done, outcome))
        shutil.rmtree(copy)
    sys.stdout.write(json.dumps(found))


def _copied(root: Path, name: str) -> Path:
    return Path(shutil.copytree(root, root.parent / name))


def damage(path: Path, draw: Random, kinds: tuple[int, ...] | None = None) -> str:
    """Flip a bit, blank a stretch or cut the file short, in SQLite pages of some kinds if given; return which."""
    data = bytearray(path.read_bytes())
    place = draw.randrange(len(data))
    if kinds is not None:
        page = draw.choice([at for at in range(_PAGE, len(data), _PAGE) if data[at] in kinds])
        place = page + draw.randrange(_PAGE)
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


def hide_a_record(log: Path) -> None:
    """Change one key in the index of a log's file, and leave the record as it is."""
    with closing(sqlite3.connect(log)) as file:
        pages = file.execute("SELECT pageno FROM dbstat WHERE name = 'records_by_slice' AND pagetype = 'leaf'")
        [page, *_] = [number for (number,) in pages]
    data = bytearray(log.read_bytes())
    data[data.rindex(b"account:A-", (page - 1) * _PAGE, page * _PAGE)] ^= 1
    log.write_bytes(data)


def opened(root: Path, whole: str) -> str:
    """Open, check, write, and check again in a forked process; return the outcome.

    Args:
        root: The project directory.
        whole: The outcome without damage; where a damaged one was opened without a word, it must be the same.
    """
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
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"differs: {text}, not {whole}" if text.startswith("fine") and whole and text != whole else text


def _outcome(root: Path) -> str:
    try:
        with become_owner(find_place(root)) as owner:
            truth = Truth(owner)
            truth.check_features()
            held = _held(owner)
            sender = Sender(99, prefix="z")
            for _ in range(5):
                owner.ingest([sender.event(datetime.now(UTC)) for _ in range(8)], applied=True)
            truth = Truth(owner)
            truth.check_features()
            report = owner.verify(lambda *_: None)
            if report.chain != "intact" or report.mismatch:
                return f"verify: {report.chain}, {report.mismatch} mismatches"
            return f"fine, {truth.last} records, {report.match} decisions, {held}"
    except StreamgaugeError as error:
        return f"{type(error).__name__}: {error}"
    except BaseException as error:  # noqa: BLE001 - the outcome is what the test judges
        return f"not named: {type(error).__name__}: {error}"


def _held(owner: Owner) -> str:
    """Return hashes of everything in the log and in the quarantine, read in every way there is."""
    log = owner.log
    records = log.read_after(0, 10**9)
    held = {
        "log": records,
        "entities": [log.read_entity(entity) for entity in log.entities()],
        "found": [log.find(record.stream, record.entity, record.event_id) for record in records],
        "quarantine": log.quarantined(last=10**6),
    }
    return ", ".join(f"{name} {hashlib.sha256(repr(items).encode()).hexdigest()[:8]}" for name, items in held.items())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
