"""Continuous verification: a share of decisions and published scores is recomputed while the owner serves.

The owner samples what comes, and of older decisions one at a time, at random; a process of its own, at the lowest
priority, recomputes from log and archive (`checking`), one at a time and never for more than its share of a core. Zero
tolerance: a difference is an error in the log, a metric, and a detail of ``/readyz``.
"""

from __future__ import annotations

import base64
import logging
import random
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamgauge.app.answers import iso
from streamgauge.app.checking import Job, Result
from streamgauge.decisions.record import encode
from streamgauge.decisions.replay import lost_to_erasure
from streamgauge.errors import StreamgaugeError
from streamgauge.events.roles import entities_of
from streamgauge.features.decode import SchemaBook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamgauge.app.owner import Owner
    from streamgauge.app.settings import VerificationSettings

logger = logging.getLogger(__name__)

_TICK_S: Final = 1.0
_AGAIN_S: Final = 1.0
_MOST_A_TICK: Final = 20
_AFTER_A_FAILURE_S: Final = 30.0
_SHOWN: Final = 5


class Sampler:
    """Which numbers of a growing sequence are looked at: a share of them, and at least so many a minute.

    Args:
        settings: The share, and the least.
        newest: The number after which the sequence is sampled.
        chance: Draws.
    """

    def __init__(self, settings: VerificationSettings, newest: int, chance: random.Random) -> None:
        self._settings = settings
        self._seen = newest
        self._chance = chance
        self._owed = 1.0

    def numbers(self, newest: int, elapsed_s: float) -> list[int]:
        """Return the numbers to look at of those that came since the last call, at most 20.

        Args:
            newest: The sequence's newest number.
            elapsed_s: Since the last call.
        """
        came, self._seen = newest - self._seen, max(newest, self._seen)
        self._owed = min(self._owed + elapsed_s * self._settings.least_per_minute / 60, 1.0)
        if came <= 0 or not self._settings.share:
            return []
        wanted = came * self._settings.share
        count = int(wanted) + (self._chance.random() < wanted % 1)
        if not count and self._owed >= 1:
            count = 1
        if count:
            self._owed = 0.0
        first = newest - came + 1
        return sorted(self._chance.sample(range(first, newest + 1), min(count, came, _MOST_A_TICK)))


class Patrol:
    """Which of all numbers so far is looked at again: one at random, so many times a minute.

    What is altered after it was sampled is found so, sooner or later; `streamgauge verify` looks at all.

    Args:
        settings: How often.
        chance: Draws.
    """

    def __init__(self, settings: VerificationSettings, chance: random.Random) -> None:
        self._settings = settings
        self._chance = chance
        self._owed = 0.0

    def numbers(self, newest: int, elapsed_s: float) -> list[int]:
        """Return the number to look at, if one is due.

        Args:
            newest: The sequence's newest number; its first is 1.
            elapsed_s: Since the last call.
        """
        self._owed = min(self._owed + elapsed_s * self._settings.least_per_minute / 60, 1.0)
        if self._owed < 1 or newest < 1 or not self._settings.share:
            return []
        self._owed = 0.0
        return [self._chance.randint(1, newest)]


class Verifier:
    """Samples what an owner decides and publishes, and has it recomputed.

    Attributes:
        checked: How many were recomputed.
        mismatches: How many differed.
        found: What the last of them were.
    """

    def __init__(self, owner: Owner, *, chance: random.Random | None = None) -> None:
        """Begin behind what is there already.

        Args:
            owner: What is verified.
            chance: Draws the samples.
        """
        self.checked = 0
        self.mismatches = 0
        self.found: list[str] = []
        self._owner = owner
        self._book = SchemaBook(owner.log.schema)
        self._settings = owner.place.settings.verification
        draws = chance or random.Random()  # noqa: S311 - a sample, no secret
        self._decisions = Sampler(self._settings, owner.ledger.head().seq, draws)
        self._patrol = Patrol(self._settings, draws)
        self._scores = Sampler(self._settings, owner.engine.applier.store.outbox_newest(), draws)
        self._store = owner.engine.applier.store
        self._ended = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name="verification", daemon=True)

    def start(self) -> None:
        """Begin to verify."""
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._ended.set()
        self._end_process()
        if self._thread.is_alive():
            self._thread.join()

    def state(self) -> dict[str, Any]:
        """Return what was found so far, for ``/readyz``."""
        return {"checked": self.checked, "mismatches": self.mismatches, "found": self.found}

    def sampled(self, elapsed_s: float) -> Iterator[Job]:
        """Yield what is to be recomputed of what came since the last call, and now and then an older decision."""
        ledger = self._owner.ledger
        newest = ledger.head().seq
        chosen = {*self._decisions.numbers(newest, elapsed_s), *self._patrol.numbers(newest, elapsed_s)}
        for seq in sorted(chosen):
            entry = ledger.at(seq)
            if entry is not None and entry.status == "broken":
                self.checked += 1
                self._owner.metrics.verified("decision", "mismatch")
                self._tell("decision", f"{entry.decision_id} (entry {seq})", "ledger: The stored record is altered.")
            elif entry is not None and entry.record is not None:
                yield Job("decision", seq, base64.b64encode(encode(entry.record)).decode())
        store = self._owner.engine.applier.store
        if store is not self._store:  # a reload has put another feed in its place
            self._store = store
            self._scores = Sampler(self._settings, store.outbox_newest(), random.Random())  # noqa: S311 - the same
        for number in self._scores.numbers(store.outbox_newest(), elapsed_s):
            for at, body in store.outbox_after(number - 1, 1):
                if at == number:
                    yield Job("score", number, body.decode())

    def judge(self, job: Job, result: Result) -> None:
        """Count a result, and tell of a difference."""
        outcome = "error" if result.error else "mismatch" if result.difference else "match"
        if outcome == "mismatch" and self._erased(job):
            outcome = "erased"
        self._owner.metrics.verified(job.kind, outcome)
        self.checked += outcome in {"match", "mismatch"}
        if outcome == "error":
            logger.warning("A %s could not be verified: %s", job.kind, result.error)
        elif outcome == "mismatch":
            self._tell(job.kind, self._name(job), result.difference)

    def _tell(self, kind: str, name: str, difference: str) -> None:
        self.mismatches += 1
        text = f"The {kind} {name} does not recompute: {difference}"
        self.found = [*self.found[1 - _SHOWN :], f"{iso(self._owner.clock.now_us())} {text}"]
        logger.error("%s Run: streamgauge verify.", text)

    def _name(self, job: Job) -> str:
        if job.kind == "decision":
            entry = self._owner.ledger.at(job.number)
            return f"{'' if entry is None else entry.decision_id} (entry {job.number})"
        score = msgspec.json.decode(job.body)
        return f"{score['id']} of {score['model']} {score['version']} at position {score['position']}"

    def _erased(self, job: Job) -> bool:
        """Return whether what was sampled was erased on purpose before it was recomputed, or saw what was."""
        if job.kind == "decision":
            entry = self._owner.ledger.at(job.number)
            return entry is None or entry.status == "erased"
        log, position = self._owner.log, msgspec.json.decode(job.body)["position"]
        record = log.get(position)
        if record is None:
            return position in log.erased()
        keys = entities_of(record, self._book.spec(record.schema)).values()
        return lost_to_erasure(log, ((key, position) for key in keys))

    def _run(self) -> None:
        last = time.monotonic()
        pause = _TICK_S
        while not self._ended.wait(pause):
            pause = _TICK_S
            now = time.monotonic()
            try:
                for job in list(self.sampled(now - last)):
                    if not self._ended.is_set():
                        self._check(job)
            except (StreamgaugeError, OSError, ValueError, msgspec.DecodeError) as error:
                if not self._ended.is_set():
                    logger.warning("Verification pauses: %s", error)
                self._end_process()
                pause = _AFTER_A_FAILURE_S
            last = now

    def _check(self, job: Job) -> None:
        result = self._asked(job)
        if result.difference and not self._ended.wait(_AGAIN_S):
            result = self._asked(job)  # a reader may have met a log that was being sealed or erased
        self.judge(job, result)

    def _asked(self, job: Job) -> Result:
        """Have the process recompute one job, and wait as long as its share of a core asks for."""
        if self._process is None or self._process.poll() is not None:
            words = [sys.executable, "-m", "streamgauge.app.checking", str(self._owner.place.root)]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)  # noqa: S603 - our own program
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise OSError("The verifying process has no pipes.")
        stdin.write(msgspec.json.encode(job).decode() + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise OSError("The verifying process ended; it is started again.")
        result = msgspec.json.decode(line, type=Result)
        self._ended.wait(result.cpu_s * (1 / self._settings.cpu - 1))
        return result

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
