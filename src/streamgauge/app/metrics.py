"""What is measured while serving, in a registry of its own."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter as tally  # noqa: N813 - Prometheus has a Counter too
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from streamgauge.events.record import Record
from streamgauge.log.port import Quarantined

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from streamgauge.app.engine import Engine
    from streamgauge.app.publishing import Publisher
    from streamgauge.clock import Clock
    from streamgauge.log.port import Log

_FINE: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
_OTHER: Final = "other"


class _OpenQuarantine(Collector):
    """What lies open in the quarantine, asked for at every scrape."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauge by reason."""
        help_text = "Refused events that no retry has resolved."
        gauge = GaugeMetricFamily("streamgauge_quarantine_open", help_text, labels=("reason",))
        for reason, events in self._log.quarantine_counts().items():
            gauge.add_metric((reason,), events)
        yield gauge


class _ThreadTime(Collector):
    """What each thread has computed, asked for at every scrape."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counter by the thread's name."""
        counter = CounterMetricFamily("streamgauge_thread_cpu_seconds", "CPU time by thread.", labels=("thread",))
        spent: dict[str, float] = {}
        for thread in threading.enumerate():
            with suppress(OSError):  # it has just ended
                if thread.ident is not None:
                    name = thread.name.rpartition("_")[0] or thread.name  # those of a pool count together
                    seconds = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
                    spent[name] = spent.get(name, 0.0) + seconds
        for name, seconds in spent.items():
            counter.add_metric((name,), seconds)
        yield counter


class Distribution(Collector):
    """A histogram that takes many observations at once: one an event would cost more than applying it."""

    def __init__(self, name: str, help_text: str, bounds: Sequence[float]) -> None:
        """Begin with nothing observed.

        Args:
            name: The metric's name.
            help_text: What it means.
            bounds: The upper bounds of the buckets, ascending, without infinity.
        """
        self._name = name
        self._help = help_text
        self._bounds = np.array(bounds)
        self._counts = np.zeros(len(bounds) + 1, np.int64)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe_many(self, values: NDArray[np.float64]) -> None:
        """Observe values, float64[n]."""
        counts = np.bincount(np.searchsorted(self._bounds, values), minlength=len(self._counts))
        with self._lock:
            self._counts += counts
            self._sum += float(values.sum())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the histogram."""
        with self._lock:
            totals, total = np.cumsum(self._counts).tolist(), self._sum
        names = [str(floatToGoString(bound)) for bound in (*self._bounds.tolist(), math.inf)]  # type: ignore[no-untyped-call]
        yield HistogramMetricFamily(self._name, self._help, list(zip(names, totals, strict=True)), total)


class Metrics:
    """Counters, gauges and histograms of one owner; every method may be called from any thread.

    Labels take known names only: a stream that the project does not have counts as ``other``, so that no sender can
    make the registry grow.
    """

    def __init__(self, streams: Collection[str]) -> None:
        """Register everything.

        Args:
            streams: The project's streams.
        """
        self.registry = CollectorRegistry()
        self._streams = frozenset(streams)
        self._accepted = self._counter("events_accepted", "Events that are durably in the log.", "stream")
        self._quarantined = self._counter("events_quarantined", "Events that were refused.", "stream", "reason")
        self._retried = self._counter("quarantine_retries", "Refused events that were tried again.", "result")
        self._drift = self._counter("schema_drift", "Fields that are not as declared.", "stream", "kind", "outcome")
        self._verified = self._counter("verification", "What was recomputed while serving.", "kind", "result")
        self._append = self._histogram("append_seconds", "Time from a submission to its durable commit.", _FINE)
        self._batch = self._histogram("apply_batch_events", "Events applied in one commit.", _SIZES)
        self._freshness = Distribution(
            "streamgauge_freshness_seconds", "Time from an event's acceptance to its scores being readable.", _FINE
        )
        self.registry.register(self._freshness)
        self._outcomes: dict[str, Counter] = {}
        self._decisions = self._counter("decisions", "Decisions recorded.", "outcome")
        self._record = self._histogram("record_seconds", "Time to record a group of decisions durably.", _FINE)
        self._decision = self._histogram("decision_seconds", "Time from a request to its durable decision.", _FINE)
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._requests = self._counter("http_requests", "Requests answered.", "route", "method", "status")
        self._request = Histogram(
            "streamgauge_http_request_seconds",
            "Time to answer a request.",
            ("route",),
            buckets=_FINE,
            registry=self.registry,
        )

    def appended(self, results: Sequence[Record | Quarantined], seconds: float) -> None:
        """Observe a durable append, and count what it accepted and refused."""
        self._append.observe(seconds)
        for stream, events in tally(one.stream for one in results if isinstance(one, Record)).items():
            self._accepted.labels(self._known(stream)).inc(events)
        self.refused([one for one in results if not isinstance(one, Record)])

    def refused(self, refused: Sequence[Quarantined]) -> None:
        """Count refused events."""
        for (stream, reason), events in tally((self._known(one.stream), one.reason) for one in refused).items():
            self._quarantined.labels(stream, reason).inc(events)

    def retried(self, resolved: int, kept: int) -> None:
        """Count refused events that were tried again."""
        self._retried.labels("resolved").inc(resolved)
        self._retried.labels("kept").inc(kept)

    def verified(self, kind: str, result: str) -> None:
        """Count a decision or score that was recomputed."""
        self._verified.labels(kind, result).inc()

    def drifted(self, stream: str, kind: str, outcome: str, events: int) -> None:
        """Count events with a field that is not as declared."""
        self._drift.labels(self._known(stream), kind, outcome).inc(events)

    def applied(self, events: int, freshness_us: NDArray[np.int64] | None = None) -> None:
        """Observe a batch that was applied, and how old its scored events were by then, µs."""
        self._batch.observe(events)
        if freshness_us is not None:
            self._freshness.observe_many(freshness_us / 1_000_000)

    def decided(self, outcome: str, seconds: float) -> None:
        """Observe a recorded decision."""
        found = self._outcomes.get(outcome)
        if found is None:
            found = self._outcomes[outcome] = self._decisions.labels(outcome)
        found.inc()
        self._decision.observe(seconds)

    def recorded(self, seconds: float) -> None:
        """Observe a durable commit of decisions."""
        self._record.observe(seconds)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Observe an answered request; the route is the template, not the path."""
        found = self._answered.get((route, method, status))
        if found is None:
            found = (self._requests.labels(route, method, str(status)), self._request.labels(route))
            self._answered[route, method, status] = found
        found[0].inc()
        found[1].observe(seconds)

    def watch(self, log: Log, engine: Engine, publisher: Publisher, clock: Clock) -> None:
        """Expose positions, lag and queue, asked for at every scrape."""
        self._gauge("log_position", "The newest position in the log.", log.last_position)
        self._gauge("applied_position", "The newest position in every score.", lambda: publisher.position)
        self._gauge(
            "lag_seconds",
            "Time since the newest applied event was accepted.",
            lambda: (clock.now_us() - publisher.known_at) / 1_000_000,
        )
        self._gauge("waiting_submissions", "Submissions that wait to be appended or applied.", lambda: engine.waiting)
        self.registry.register(_OpenQuarantine(log))
        self.registry.register(_ThreadTime())
        self._gauge("engine_up", "1 while events are applied.", lambda: engine.failure is None)

    def watch_workers(self, connected: Callable[[], int]) -> None:
        """Expose how many API workers are connected."""
        self._gauge("api_workers", "API workers that are connected to the owner.", connected)

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format.

        >>> metrics = Metrics(["Movement"])
        >>> metrics.refused([Quarantined("Mvoement", "", "", "unknown_stream", "", "{}", 0)])
        >>> b'quarantined_total{reason="unknown_stream",stream="other"} 1.0' in metrics.exposition()
        True
        """
        return generate_latest(self.registry)

    def _known(self, stream: str) -> str:
        return stream if stream in self._streams else _OTHER

    def _gauge(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        Gauge(f"streamgauge_{name}", help_text, registry=self.registry).set_function(value)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"streamgauge_{name}", help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"streamgauge_{name}", help_text, buckets=buckets, registry=self.registry)
