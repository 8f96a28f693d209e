"""The engine: events are appended durably by one thread, and applied, scored and published by another.

::

    submit ──▶ group commit ──▶ log ──▶ queue ──▶ apply, compute, score ──▶ outbox ──▶ subscribers, waiters
               (one fsync)                        (`Applier`, one batch)  (one commit)        │
                                                                       a part of a checkpoint ◀┘

Both take whatever waits, so batches grow with the load and a single event goes straight through. Nothing is
acknowledged before it is durable; what was appended and not yet applied when the process died is applied at start.
States are written at checkpoints, after those who wait for a batch have been told.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from streamgauge.app.outcome import Part
from streamgauge.errors import PositionNotReached
from streamgauge.events.record import NewRecord, Record
from streamgauge.log.group_commit import GroupCommit
from streamgauge.log.port import Quarantined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamgauge.app.applying import Applier
    from streamgauge.app.metrics import Metrics
    from streamgauge.app.outcome import Outcome
    from streamgauge.app.publishing import Publisher
    from streamgauge.clock import Clock
    from streamgauge.log.port import Log

logger = logging.getLogger(__name__)

_CATCH_UP = 5_000
_RETRY_S = 0.5
_IDLE_S = 0.25
_PARTS = 500


@dataclass(slots=True)
class Submission:
    """Records that came together.

    Attributes:
        records: The validated events.
        applied: Completes with one result a record once all are applied.
    """

    records: Sequence[NewRecord]
    applied: Future[Part] = field(default_factory=Future)


@dataclass(slots=True)
class _Appended:
    submission: Submission
    results: list[Record | Quarantined]


@dataclass(slots=True)
class _Job:
    run: Callable[[], object]
    done: Future[object]


class Engine:
    """Appends, applies and publishes, each in order of position.

    Attributes:
        applier: What turns records into states and scores; only the applying thread may call it.
        publisher: Where scores and positions are announced.
    """

    def __init__(
        self, log: Log, applier: Applier, publisher: Publisher, clock: Clock, metrics: Metrics, *, batch: int
    ) -> None:
        """Start both threads; what the log holds beyond the store's applied position is applied first.

        Args:
            log: The event log.
            applier: The applier over the open store.
            publisher: Told of everything applied.
            clock: Gives the log its moments.
            metrics: Told of what is appended.
            batch: About how many records one batch takes at most.
        """
        self.applier = applier
        self.publisher = publisher
        self._log = log
        self._clock = clock
        self._metrics = metrics
        self._batch = batch
        self._failure: BaseException | None = None
        self._refused = False
        self._closing = threading.Event()
        self._until = log.last_position()
        self._caught_up: Future[None] = Future()
        reached = log.get(applier.applied)
        publisher.advance(applier.applied, 0 if reached is None else reached.accepted_at)
        self._queue: queue.SimpleQueue[_Appended | _Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()
        self._commits: GroupCommit[Submission, list[Record | Quarantined]] = GroupCommit(
            self._append, max_items=batch, name="append"
        )

    def submit(self, submission: Submission) -> Future[list[Record | Quarantined]]:
        """Append records durably; the future completes with what the log answered for each."""
        return self._commits.submit(submission)

    def on_engine(self, run: Callable[[], object]) -> Future[object]:
        """Run a function on the applying thread, between two batches."""
        job = _Job(run, Future())
        self._queue.put(job)
        return job.done

    def settle(self) -> tuple[int, frozenset[str]]:
        """Write the dirty states, and return the applied position, and whose stored states lack records up to it.

        While events keep coming, there are always some.
        """

        def part() -> tuple[int, int, frozenset[str]]:
            applier = self.applier
            written = applier.checkpoint(everything=True)
            return written, applier.applied, applier.states.behind | applier.pending

        applied, behind = 0, frozenset[str]()
        for _ in range(_PARTS):
            written, applied, behind = cast("tuple[int, int, frozenset[str]]", self.on_engine(part).result())
            if not written:
                break
        return applied, behind

    def summarize(self) -> None:
        """Make the summaries of the states in memory that were put off, between two batches."""

        def summarize() -> None:  # by then a reload may have put another applier in place
            self.applier.states.summarize()

        self.on_engine(summarize)

    @property
    def waiting(self) -> int:
        """How many submissions wait to be appended or applied, about."""
        return self._commits.waiting + self._queue.qsize()

    @property
    def failure(self) -> BaseException | None:
        """Why nothing is applied now, or None while the applying thread runs."""
        return self._failure

    def wait_for(self, position: int, timeout_s: float) -> None:
        """Wait until a position is applied.

        Raises:
            PositionNotReached: It was not, in time.
        """
        try:
            self.publisher.reached(position).result(timeout_s)
        except TimeoutError as error:
            raise PositionNotReached(
                f"Position {position} was not applied within {timeout_s} s; the newest applied position is "
                f"{self.publisher.position}. Ask again."
            ) from error

    def close(self) -> None:
        """Append and apply everything that waits, stop both threads, and write the states."""
        self._commits.close()
        self._closing.set()
        self._queue.put(None)
        self._thread.join()
        try:
            self.applier.close()
        except OSError as error:
            logger.warning("States could not be written: %s. The next start reads what they lack from the log.", error)

    def _append(self, submissions: Sequence[Submission]) -> list[list[Record | Quarantined]]:
        together = [record for submission in submissions for record in submission.records]
        started = time.perf_counter()
        try:
            results = self._log.append(together, self._clock.now_us())
        except BaseException as error:
            for submission in submissions:
                _fail(submission.applied, error)
            raise
        self._metrics.appended(results, time.perf_counter() - started)
        answers: list[list[Record | Quarantined]] = []
        start = 0
        for submission in submissions:
            part = results[start : start + len(submission.records)]
            start += len(submission.records)
            answers.append(part)
            self._queue.put(_Appended(submission, part))
        return answers

    def caught_up(self) -> None:
        """Wait until all is applied that was in the log at the start; reads meanwhile answer for what is.

        Raises:
            BaseException: What stopped it.
        """
        self._caught_up.result()

    def _catch_up(self) -> None:
        """Apply what was appended before the process died and not applied yet."""
        while (records := self._log.read_after(self.applier.applied, _CATCH_UP)) and (
            some := [record for record in records if record.position <= self._until]
        ):
            self.publisher.publish(self.applier.apply(some))
            self.applier.checkpoint()
        last = self._log.get(self._until)
        self.publisher.advance(self._until, 0 if last is None else last.accepted_at)

    def _run(self) -> None:
        try:
            self._catch_up()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for it
            self._failure = error
            self._caught_up.set_exception(error)
            self._refuse_the_rest(error)
            return
        self._caught_up.set_result(None)
        while True:
            first = self._next()
            if first is None:
                return
            try:
                self._take(first)
            except BaseException as error:
                # A state that cannot be written must not be served as if it were fresh: stop, and say so on /readyz.
                logger.exception("The engine stopped. Appended events are safe; restart to apply them.")
                self._failure = error
                self._refuse_the_rest(error)
                return

    def _next(self) -> _Appended | _Job | None:
        """Wait for what is next; while nothing comes, dirty states are written."""
        while self.applier.states.dirty:
            try:
                return self._queue.get(timeout=_IDLE_S)
            except queue.Empty:
                self._checkpoint()
        return self._queue.get()

    def _checkpoint(self) -> None:
        """Write some states; where the disk refuses, the log has what they lack, and the next batch tries again."""
        try:
            self.applier.checkpoint()
        except OSError as error:
            if not self._refused:
                logger.warning("States cannot be written: %s. Trying again.", error)
            self._refused = True
        else:
            self._refused = False

    def _take(self, first: _Appended | _Job) -> None:
        if isinstance(first, _Job):
            self._do(first)
            return
        group, job = [first], None
        records = len(first.results)
        while records < self._batch:
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                break
            if entry is None:
                self._queue.put(None)
                break
            if isinstance(entry, _Job):
                job = entry
                break
            group.append(entry)
            records += len(entry.results)
        self._apply(group)
        self._checkpoint()
        if job is not None:
            self._do(job)

    def _apply(self, group: Sequence[_Appended]) -> None:
        accepted = [[result for result in entry.results if isinstance(result, Record)] for entry in group]
        records = [record for some in accepted for record in some]
        every = self.applier.expand(records)
        try:
            outcome = self.applier.prepare(every)
            self._write()
        except BaseException as error:
            for entry in group:
                _fail(entry.submission.applied, error)
            raise
        self.publisher.publish(outcome)
        for entry, part in zip(group, _parts(outcome, accepted, len(records)), strict=True):
            if entry.submission.applied.set_running_or_notify_cancel():  # a caller may have gone away
                entry.submission.applied.set_result(part)

    def _write(self) -> None:
        """Store what was applied; while the disk refuses, wait and try again, for nothing may be passed over."""
        while True:
            try:
                self.applier.write()
            except OSError as error:
                if self._closing.is_set():
                    raise
                if self._failure is None:
                    logger.error("States cannot be written: %s. Appended events are safe; trying again.", error)  # noqa: TRY400 - it is said in a sentence
                self._failure = error
                self._closing.wait(_RETRY_S)
            else:
                self._failure = None
                return

    def _do(self, job: _Job) -> None:
        try:
            job.done.set_result(job.run())
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked for the job
            job.done.set_exception(error)

    def _refuse_the_rest(self, error: BaseException) -> None:
        while True:
            entry = self._queue.get()
            if entry is None:
                return
            _fail(entry.done if isinstance(entry, _Job) else entry.submission.applied, error)


def _parts(outcome: Outcome, accepted: Sequence[Sequence[Record]], records: int) -> list[Part]:
    """Return what became of each submission's records, which are the primary ones among those of the batch."""
    if records == len(outcome):
        numbers: Sequence[int] = range(records)
    else:
        place = {record.position: number for number, record in enumerate(outcome.records)}
        numbers = [place[record.position] for some in accepted for record in some]
    parts, start = [], 0
    for some in accepted:
        parts.append(Part(outcome, numbers[start : start + len(some)]))
        start += len(some)
    return parts


def _fail(waiting: Future[object] | Future[Part], error: BaseException) -> None:
    if not waiting.cancelled():
        waiting.set_exception(error)
