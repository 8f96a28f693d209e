from __future__ import annotations

from typing import TYPE_CHECKING

from streamgauge.app.metrics import Metrics

if TYPE_CHECKING:
    from streamgauge.app.owner import Owner


def value(owner: Owner, sample: str, **labels: str) -> float:
    return owner.metrics.registry.get_sample_value(f"streamgauge_{sample}", labels) or 0.0


def test_what_is_accepted_refused_applied_and_decided_is_counted(owner: Owner) -> None:
    movement = {
        "stream": "Movement",
        "account": "acc-00007",
        "booked_at": "2026-01-01T08:00:00Z",
        "amount": "1.00",
        "kind": "card",
    }
    before = value(owner, "events_accepted_total", stream="Movement")
    owner.ingest(
        [{**movement, "id": "k-1"}, {**movement, "id": "k-2"}, {"stream": "Movment"}, {"stream": "Movement"}],
        applied=True,
    )
    assert value(owner, "events_accepted_total", stream="Movement") == before + 2
    assert value(owner, "events_quarantined_total", stream="other", reason="unknown_stream") == 1
    assert value(owner, "events_quarantined_total", stream="Movement", reason="missing_field") == 1
    assert value(owner, "append_seconds_count") >= 1
    assert value(owner, "apply_batch_events_sum") >= 2
    assert value(owner, "freshness_seconds_count") >= 1
    assert value(owner, "log_position") == value(owner, "applied_position") == owner.publisher.position
    assert value(owner, "engine_up") == 1
    application = {"stream": "Application", "id": "k-3", "account": "acc-00007", "asked_at": "2026-01-01T08:00:00Z"}
    outcome = owner.decide("k", {**application, "amount": "500.00", "term_months": 6}).outcome
    assert value(owner, "decisions_total", outcome=outcome) == 1
    assert value(owner, "decision_seconds_count") == 1
    assert value(owner, "record_seconds_count") >= 1
    assert value(owner, "thread_cpu_seconds_total", thread="decisions") > 0


def test_an_event_that_is_too_late_is_counted_as_refused(owner: Owner) -> None:
    late = {
        "stream": "Movement",
        "id": "k-9",
        "account": "acc-00007",
        "booked_at": "2024-01-01T08:00:00Z",
        "amount": "1.00",
        "kind": "card",
    }
    owner.ingest([late], applied=True)
    assert value(owner, "events_quarantined_total", stream="Movement", reason="too_late") == 1


def test_no_sender_can_make_the_registry_grow() -> None:
    metrics = Metrics(["Movement"])
    metrics.answered("/v1/events", "POST", 200, 0.01)
    assert metrics.exposition().count(b"streamgauge_http_requests_total{") == 1
