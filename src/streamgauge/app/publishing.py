"""What was applied is announced here: scores to subscribers, positions to those who wait for them."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamgauge.app.metrics import Metrics
    from streamgauge.app.outcome import Outcome

_RECENT = 5_000


class Publisher:
    """The newest applied position, scores as they are made, and freshness.

    Written by who applies, one at a time; read by any thread.

    Attributes:
        position: The newest applied position.
        known_at: The ``accepted_at`` of that record, µs.
    """

    def __init__(self, now_us: Callable[[], int], metrics: Metrics) -> None:
        """Start with nothing applied."""
        self.position = 0
        self.known_at = 0
        self.applied = 0
        self.freshness_us: deque[int] = deque(maxlen=_RECENT)
        self._now_us = now_us
        self._metrics = metrics
        self._lock = threading.Lock()
        self._waiting: list[tuple[int, int, Future[None]]] = []
        self._numbers = itertools.count()
        self._listeners: dict[int, Callable[[], None]] = {}

    def publish(self, outcome: Outcome) -> None:
        """Announce a batch, in order of position, after it was stored."""
        if not outcome.records:
            return
        ages = self._now_us() - outcome.accepted_at()
        self.freshness_us.extend(ages[-_RECENT:].tolist())
        self._metrics.applied(len(outcome), ages)
        self.applied += len(outcome)
        newest = outcome.records[-1]
        self.advance(newest.position, newest.accepted_at)

    def advance(self, position: int, known_at: int) -> None:
        """Move to a position, and wake those who wait for it."""
        due: list[Future[None]] = []
        with self._lock:
            if position > self.position:
                self.position, self.known_at = position, known_at
            while self._waiting and self._waiting[0][0] <= self.position:
                due.append(heapq.heappop(self._waiting)[2])
            listeners = list(self._listeners.values())
        for future in due:
            if future.set_running_or_notify_cancel():
                future.set_result(None)
        for listener in listeners:
            listener()

    def reached(self, position: int) -> Future[None]:
        """Return a future that completes when a position is applied."""
        future: Future[None] = Future()
        with self._lock:
            if position > self.position:
                heapq.heappush(self._waiting, (position, next(self._numbers), future))
                return future
        future.set_result(None)
        return future

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call a function, on the thread that applies, after every batch; return what ends that."""
        number = next(self._numbers)
        with self._lock:
            self._listeners[number] = listener

        def stop() -> None:
            with self._lock:
                self._listeners.pop(number, None)

        return stop
