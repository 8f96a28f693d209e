"""The demo from beginning to end: simulate, import, train, stream, decide, verify."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamgauge.app.demo.figures import Figures, Summary, Verified
from streamgauge.app.demo.preparing import Preparation
from streamgauge.app.demo.screen import Phases, Screen, show_summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamgauge.app.demo.preparing import Prepared
    from streamgauge.app.demo.traffic import Traffic

_LOOK_S: Final = 0.1
_WATCHED: Final = "account-risk"


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """How large and how long.

    Attributes:
        directory: Where the project is kept, or None for a temporary folder.
        borrowers: How many are simulated.
        days: Of history.
        rate: Live events a second.
        seconds: How long to stream, or None until Ctrl-C.
        seed: Of the simulation.
        draws: Whether the terminal shows the live picture.
        picture: Where the last picture is kept as an SVG, or None.
    """

    directory: Path | None = None
    borrowers: int = 5_000
    days: int = 730
    rate: int = 500
    seconds: float | None = None
    seed: int = 7
    draws: bool = True
    picture: Path | None = None


class Demo:
    """One run."""

    def __init__(self, settings: DemoSettings) -> None:
        """Keep the settings; `run` does the rest."""
        self._settings = settings
        self._begun = time.monotonic()

    def run(self) -> Summary:
        """Prepare, stream until the time is over or Ctrl-C, verify every decision, and return the summary.

        Raises:
            StreamgaugeError: A step failed.
        """
        settings = self._settings
        with ExitStack() as stack:
            stack.enter_context(_terminated_as_interrupted())
            directory = settings.directory
            if directory is None:
                directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamgauge-demo-")))
            phases = Phases(draws=settings.draws)
            preparation = Preparation(settings, directory, phases)
            stack.callback(preparation.stop)
            stack.callback(phases.close)
            prepared = preparation.run()
            phases.close()
            summary = self._stream(prepared, phases)
        if settings.draws:
            show_summary(summary)
        return summary

    def _stream(self, prepared: Prepared, phases: Phases) -> Summary:
        from streamgauge.app.demo.client import Caller, ScoreListener
        from streamgauge.app.demo.traffic import Traffic

        figures = Figures(self._begun)
        listener = ScoreListener(Caller(prepared.url, prepared.key), figures)
        traffic = Traffic(prepared.url, prepared.key, prepared.live, self._settings.rate, figures)
        screen = Screen(figures, prepared.auc, _WATCHED, draws=self._settings.draws)
        traffic.start()
        try:
            self._wait(traffic)
        except KeyboardInterrupt:
            pass
        finally:
            traffic.stop()
            streamed = time.monotonic() - figures.streaming_since
            screen.close()
        if self._settings.picture is not None:
            screen.save(self._settings.picture)
        if traffic.failure is not None:
            raise traffic.failure
        listener.stop()
        return self._summary(prepared, phases, figures, streamed)

    def _wait(self, traffic: Traffic) -> None:
        seconds = self._settings.seconds
        until = None if seconds is None else time.monotonic() + seconds
        while traffic.failure is None and (until is None or time.monotonic() < until):
            time.sleep(_LOOK_S)

    def _summary(self, prepared: Prepared, phases: Phases, figures: Figures, streamed: float) -> Summary:
        from streamgauge.app.remote import RemoteService
        from streamgauge.app.service import quiet

        with phases.phase("verify every decision"):
            verified = RemoteService(prepared.place).verify(quiet)
        fresh, decided = figures.percentiles()
        first = figures.first_score_s
        return Summary(
            events=figures.events,
            events_per_second=round(figures.events / streamed, 1),
            freshness_ms=fresh,
            scores=figures.scores,
            decisions=figures.decisions,
            decision_ms=decided,
            auc=prepared.auc,
            verify=Verified(verified.checked, verified.match, verified.mismatch),
            seconds_to_first_score=None if first is None else round(first, 2),
            phases=phases.seconds,
            imported=prepared.imported,
            quarantined=figures.quarantined,
            duplicates=figures.duplicates,
        )


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C, so that the demo's own processes end with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
