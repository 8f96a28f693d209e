"""The engine: events are appended durably by one thread, and applied, scored and published by another.

::

    submit ──▶ group commit ──▶ log ──▶ queue ──▶ apply, compute, score ──▶ store + outbox ──▶ subscribers, waiters
               (one fsync)                        (`Applier`, one batch)     (one commit)

Both take whatever waits, so batches grow with the load and a single event goes straight through. Nothing is
acknowledged before it is durable; what was appended and not yet applied when the process died is applied at start.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamgauge.errors import PositionNotReached
from streamgauge.events.record import NewRecord, Record
from streamgauge.log.group_commit import GroupCommit
from streamgauge.log.port import Quarantined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamgauge.app.applying import Applied, Applier
    from streamgauge.app.metrics import Metrics
    from streamgauge.app.publishing import Publisher
    from streamgauge.clock import Clock
    from streamgauge.log.port import Log

logger = logging.getLogger(__name__)

_CATCH_UP = 5_000
_RETRY_S = 0.5


@dataclass(slots=True)
class Submission:
    """Records that came together.

    Attributes:
        records: The validated events.
        applied: Completes with one result a record once all are applied.
    """

    records: Sequence[NewRecord]
    applied: Future[list[Applied]] = field(default_factory=Future)


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
        """Apply what the log holds beyond the store's watermark, then start both threads.

        Args:
            log: The event log.
            applier: The applier over the open store.
            publisher: Told of everything applied.
            clock: Gives the log its moments.
            metrics: Told of what is appended.
            batch: The most submissions one commit takes.
        """
        self.applier = applier
        self.publisher = publisher
        self._log = log
        self._clock = clock
        self._metrics = metrics
        self._batch = batch
        self._failure: BaseException | None = None
        self._closing = threading.Event()
        self._catch_up()
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
        """Append and apply everything that waits, then stop both threads."""
        self._commits.close()
        self._closing.set()
        self._queue.put(None)
        self._thread.join()

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

    def _catch_up(self) -> None:
        """Apply what was appended before the process died; its scores are published again under the same ids."""
        while records := self._log.read_after(self.applier.watermark, _CATCH_UP):
            self.publisher.publish(self.applier.apply(records))
        self.publisher.advance(self._log.last_position(), self._log.last_accepted_at())

    def _run(self) -> None:
        while True:
            first = self._queue.get()
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

    def _take(self, first: _Appended | _Job) -> None:
        if isinstance(first, _Job):
            self._do(first)
            return
        group, job = [first], None
        while len(group) < self._batch:
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
        self._apply(group)
        if job is not None:
            self._do(job)

    def _apply(self, group: Sequence[_Appended]) -> None:
        records = [result for entry in group for result in entry.results if isinstance(result, Record)]
        try:
            applied = self.applier.prepare(self.applier.expand(records))
            self._write()
        except BaseException as error:
            for entry in group:
                _fail(entry.submission.applied, error)
            raise
        self.publisher.publish(applied)
        by_position = {one.record.position: one for one in applied}
        for entry in group:
            mine = [by_position[result.position] for result in entry.results if isinstance(result, Record)]
            if entry.submission.applied.set_running_or_notify_cancel():  # a caller may have gone away
                entry.submission.applied.set_result(mine)

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


def _fail(waiting: Future[object] | Future[list[Applied]], error: BaseException) -> None:
    if not waiting.cancelled():
        waiting.set_exception(error)
