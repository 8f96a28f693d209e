"""Live traffic: events at a steady rate, applications to be decided, as a lender's systems would send them."""

from __future__ import annotations

import queue
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamgauge.app.answers import DecisionAnswer
from streamgauge.app.demo.client import Caller
from streamgauge.errors import StreamgaugeError

if TYPE_CHECKING:
    from streamgauge.app.demo.figures import Figures
    from streamgauge.testing.live import LiveStream

_TICK_S: Final = 0.02
_DECIDERS: Final = 2
_NO_EVENT: Final = (422,)


class Traffic:
    """Streams a simulated portfolio's events until it is stopped.

    A tick's events go in one call, its applications to callers of their own, so that a decision never waits for events.
    """

    def __init__(self, url: str, key: str, live: LiveStream, rate: int, figures: Figures) -> None:
        """Keep what is needed; `start` begins.

        Args:
            url: The API.
            key: A key that opens ingest and decide.
            live: Draws the events.
            rate: How many a second.
            figures: Told of everything.
        """
        self._url = url
        self._key = key
        self._live = live
        self._rate = rate
        self._figures = figures
        self._stopping = threading.Event()
        self._applications: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._failure: Exception | None = None
        self._threads = [threading.Thread(target=self._guarded, args=(self._stream,), name="events", daemon=True)]
        self._threads += [
            threading.Thread(target=self._guarded, args=(self._decide,), name=f"decisions-{number}", daemon=True)
            for number in range(_DECIDERS)
        ]

    @property
    def failure(self) -> Exception | None:
        """Why it stopped by itself, or None."""
        return self._failure

    def start(self) -> None:
        """Begin to stream."""
        self._figures.streaming_since = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop, and wait for what is under way."""
        self._stopping.set()
        self._threads[0].join()
        for _ in range(_DECIDERS):
            self._applications.put(None)
        for thread in self._threads[1:]:
            thread.join()

    def _guarded(self, run: Any) -> None:  # noqa: ANN401 - a bound method
        caller = Caller(self._url, self._key)
        try:
            run(caller)
        except Exception as error:  # noqa: BLE001 - the main thread shows it
            self._failure = self._failure or error
            self._stopping.set()
        finally:
            caller.close()

    def _stream(self, caller: Caller) -> None:
        begun = time.monotonic()
        due = 0
        while not self._stopping.is_set():
            elapsed = time.monotonic() - begun
            wanted = int(elapsed * self._rate) - due
            if wanted < 1:
                time.sleep(_TICK_S / 4)
                continue
            # After a stall, catch up in bites that the API takes in one call.
            events = self._live.batch(datetime.now(UTC), min(wanted, 1_000))
            due += len(events)
            self._send(caller, events)
            rest = _TICK_S - (time.monotonic() - begun - elapsed)
            if rest > 0:
                time.sleep(rest)

    def _send(self, caller: Caller, events: list[dict[str, Any]]) -> None:
        plain = []
        for event in events:
            if event["stream"] == "Application":
                self._applications.put(event)
            else:
                plain.append(event)
        if not plain:
            return
        answer = caller.post("/v1/events?wait=applied", plain, accept=_NO_EVENT)
        conflicts = answer.get("conflicts") or 0
        duplicates = answer.get("duplicates") or 0
        self._figures.sent(answer.get("accepted", 0), answer.get("quarantined", 0) + conflicts, duplicates)

    def _decide(self, caller: Caller) -> None:
        while (event := self._applications.get()) is not None:
            begun = time.monotonic()
            try:
                body = caller.post("/v1/decisions", {"decision_id": f"d-{event['id']}", "event": event})
            except StreamgaugeError:
                self._figures.sent(0, 1, 0)
                continue
            answer = msgspec.convert(body, DecisionAnswer)
            self._figures.decided(answer, time.monotonic() - begun)
            self._figures.sent(0 if answer.repeated else 1, 0, int(answer.repeated))
