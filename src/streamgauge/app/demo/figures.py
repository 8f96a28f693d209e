"""What the demo counts while it runs, and the summary it ends with."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.app.answers import DecisionAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence

_MINUTE_S: Final = 60.0
_RECENT_S: Final = 5.0


class Percentiles(msgspec.Struct, frozen=True):
    """Milliseconds; None where nothing was measured."""

    p50: float | None
    p99: float | None

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Percentiles:
        """Return the nearest ranks of some durations.

        >>> Percentiles.of([0.001, 0.002, 0.003])
        Percentiles(p50=2.0, p99=3.0)
        """
        ordered = sorted(seconds)
        if not ordered:
            return cls(None, None)
        ranks = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99)]
        return cls(*(round(rank * 1000, 3) for rank in ranks))


class Verified(msgspec.Struct, frozen=True):
    """What the verification found."""

    checked: int
    match: int
    mismatch: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The demo's one result.

    Attributes:
        events: How many live events were accepted.
        events_per_second: Of the time they were streamed.
        freshness_ms: From an event's acceptance to its score's arrival here, on one machine's clock.
        scores: How many live scores arrived.
        decisions: How many applications were decided.
        decision_ms: From a decision's request to its answer.
        auc: By model, on rows it was not fitted on.
        verify: What the verification of all decisions found.
        seconds_to_first_score: From the demo's start to the first live score.
        phases: Seconds of each phase before the stream.
        imported: How many events of history were imported.
        quarantined: How many live events were refused or contradict an earlier one.
        duplicates: How many were sent twice, and counted once.
    """

    events: int
    events_per_second: float
    freshness_ms: Percentiles
    scores: int
    decisions: int
    decision_ms: Percentiles
    auc: dict[str, float]
    verify: Verified
    seconds_to_first_score: float | None
    phases: dict[str, float]
    imported: int
    quarantined: int
    duplicates: int


class LiveScore(msgspec.Struct, frozen=True):
    """What the demo reads of a published score."""

    entity: str
    model: str
    pd: float


class Mover(msgspec.Struct, frozen=True):
    """An entity whose PD moved within the last minute."""

    entity: str
    before: float
    now: float


class Figures:
    """Counters of the live part; written by the traffic's threads, read by the screen."""

    def __init__(self, clock: float) -> None:
        """Begin; `clock` is the demo's own start, by `time.monotonic`."""
        self.begun = clock
        self.streaming_since = 0.0
        self.first_score_s: float | None = None
        self.events = 0
        self.scores = 0
        self.quarantined = 0
        self.duplicates = 0
        self.behind = 0.0
        self.freshness: list[float] = []
        self.decision_s: list[float] = []
        self.latest: deque[DecisionAnswer] = deque(maxlen=8)
        self.decisions = 0
        self._recent: deque[tuple[float, int]] = deque()
        self._paths: dict[str, deque[tuple[float, float]]] = {}
        self._lock = threading.Lock()

    def sent(self, accepted: int, quarantined: int, duplicates: int) -> None:
        """Count what became of a batch of events."""
        now = time.monotonic()
        with self._lock:
            self.events += accepted
            self.quarantined += quarantined
            self.duplicates += duplicates
            self._recent.append((now, accepted))
            while self._recent and self._recent[0][0] < now - _RECENT_S:
                self._recent.popleft()

    def scored(self, score: LiveScore, freshness_s: float) -> None:
        """Count a score that arrived."""
        now = time.monotonic()
        if self.first_score_s is None:
            self.first_score_s = now - self.begun
        with self._lock:
            self.scores += 1
            self.freshness.append(freshness_s)
            path = self._paths.setdefault(f"{score.model} {score.entity}", deque())
            path.append((now, score.pd))

    def decided(self, answer: DecisionAnswer, seconds: float) -> None:
        """Count a decision."""
        with self._lock:
            self.decision_s.append(seconds)
            self.latest.appendleft(answer)
            self.decisions += not answer.repeated

    def rate(self) -> float:
        """Return the events a second of the last few seconds."""
        with self._lock:
            if len(self._recent) < 2:  # noqa: PLR2004 - a rate needs two moments
                return 0.0
            span = self._recent[-1][0] - self._recent[0][0]
            return sum(count for _, count in list(self._recent)[1:]) / span if span else 0.0

    def percentiles(self, *, recent: int | None = None) -> tuple[Percentiles, Percentiles]:
        """Return freshness and decision time, of all or of the newest measurements."""
        with self._lock:
            fresh = self.freshness if recent is None else self.freshness[-recent:]
            decided = self.decision_s if recent is None else self.decision_s[-recent:]
            return Percentiles.of(fresh), Percentiles.of(decided)

    def movers(self, most: int, model: str) -> list[Mover]:
        """Return the entities whose PD moved most within the last minute."""
        edge = time.monotonic() - _MINUTE_S
        found: list[Mover] = []
        with self._lock:
            for key, path in self._paths.items():
                while len(path) > 1 and path[1][0] <= edge:
                    path.popleft()
                name, _, entity = key.partition(" ")
                if name == model and len(path) > 1:
                    found.append(Mover(entity, path[0][1], path[-1][1]))
        return sorted(found, key=lambda one: -abs(one.now - one.before))[:most]
