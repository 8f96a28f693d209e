"""Calls and problems as they are documented; the tests execute every one, on the lender of the credit template."""

from __future__ import annotations

from typing import Any, Final

from streamgauge.app.api.bodies import NDJSON
from streamgauge.app.api.operations import Example

_SHA256: Final = "5a1c0f3e9d7b2846c1e0a9f8d7c6b5a4938271605f4e3d2c1b0a99887766aa55"
_MOVEMENT: Final[dict[str, Any]] = {
    "stream": "Movement",
    "id": "m-2026-0001",
    "account": "acc-00007",
    "booked_at": "2026-01-01T08:15:00Z",
    "amount": "-42.50",
    "balance": "1310.20",
    "kind": "card",
    "counterparty": "grocer-12",
}
_SALARY: Final[dict[str, Any]] = {
    "stream": "Movement",
    "id": "m-2026-0002",
    "account": "acc-00007",
    "booked_at": "2026-01-01T08:20:00Z",
    "amount": "2150.00",
    "kind": "salary",
}
_APPLICATION: Final[dict[str, Any]] = {
    "stream": "Application",
    "id": "a-2026-0001",
    "account": "acc-00007",
    "asked_at": "2026-01-01T08:30:00Z",
    "amount": "1500.00",
    "term_months": 12,
}
_CORRECTION: Final = {**_MOVEMENT, "amount": "-45.20", "revision": 1}
_WRONG: Final = {**_SALARY, "id": "m-2026-0003", "ammount": "1.00"}
_REFUSED: Final = {
    "index": 1,
    "reason": "unknown_field",
    "detail": 'Movement has no field "ammount". Did you mean "amount"?',
    "quarantine": 1,
}
_NOW: Final = {
    "as_of": "2026-01-01T09:00:00.000000Z",
    "position": 215910,
    "known_at": "2026-01-01T09:00:00.000000Z",
    "lag": 0.0,
}
_THEN: Final = {**_NOW, "as_of": "2025-12-01T00:00:00.000000Z", "lag": -2710800.0}
_SCORE: Final = {
    **_NOW,
    "entity": "acc-00007",
    "model": "account-risk",
    "version": 1,
    "pd": 0.020569669,
    "points": 598.5899240106681,
    "margin": -4.0720526662739855,
}
_FEATURES: Final = {
    **_NOW,
    "entity": "acc-00007",
    "model": "account-risk",
    "features": {
        "CashFlow.inflow_sum_30d": 4445.69,
        "CashFlow.late_count_last_3": 0.0,
        "CashFlow.since_overdrawn": None,
    },
}
_DECISION: Final = {
    "decision_id": "d-2026-0001",
    "outcome": "refer",
    "stage": "score",
    "pd": 0.040705535,
    "points": 578.2964131475376,
    "grade": "D",
    "reasons": [
        {
            "code": "R08",
            "text": "Instalments were paid late",
            "contribution": 0.4435443288949735,
            "features": ["CashFlow.late_count_last_3"],
        }
    ],
    "rules": [],
    "model": {"name": "application-risk", "version": "1", "sha256": _SHA256},
    "policy": {"name": "application-risk", "version": "1", "sha256": _SHA256},
    "entity": "acc-00007",
    "event_id": "a-2026-0001",
    "as_of": "2026-01-01T09:00:00.000000Z",
    "positions": {"account": 215910},
    "decided_at": "2026-01-01T09:00:00.000000Z",
    "digest": _SHA256,
    "seq": 1,
    "repeated": False,
}
_MODEL: Final = {
    "name": "account-risk",
    "version": 1,
    "champion": True,
    "sha256": _SHA256,
    "program": _SHA256,
    "label": "arrears_90d",
    "known": "declared",
    "trained_to": "2026-01-01T00:00:00.000000Z",
    "metrics": {"auc": 0.78},
    "policy": None,
}
_QUARANTINED: Final = {
    "number": 1,
    "stream": "Movement",
    "entity": "acc-00007",
    "event_id": "m-2026-0003",
    "reason": "unknown_field",
    "detail": 'Movement has no field "ammount". Did you mean "amount"?',
    "at": "2026-01-01T09:00:00.000000Z",
    "field": "ammount",
    "position": None,
    "state": "open",
    "retriable": True,
    "retries": 0,
    "resolved": None,
    "resolved_at": None,
    "source": "event",
    "whole": True,
    "body": '{"stream":"Movement","id":"m-2026-0003","ammount":"1.00"}',
}
_KEPT: Final = {**_QUARANTINED, "retries": 1}
_ERASURE: Final = {
    "by": "data protection",
    "at": "2026-01-01T09:00:00.000000Z",
    "decisions": 2,
    "counts": {"records": 214, "scores": 3, "quarantined": 1, "protected": 0, "rows": 9},
}
_HEALTH: Final = {
    "ready": True,
    "failure": None,
    "position": 215910,
    "log_position": 215910,
    "waiting": 0,
    "pending_entities": 0,
    "models": {"account-risk": 1, "application-risk": 1},
    "verification": {"checked": 118, "mismatches": 0, "found": []},
}
_STREAM: Final = (
    'id: 215910\nevent: score\ndata: {"id":"5fd1a2b0c9e84d7713aa60f2","entity":"acc-00007","model":"account-risk",'
    '"version":1,"event_id":"m-2026-0001","stream":"Movement","position":215910,'
    '"as_of":"2026-01-01T09:00:00.000000Z","accepted_at":"2026-01-01T09:00:00.000000Z","pd":0.020569669,'
    '"points":598.5899240106681}\n\n'
)


def _accepted(events: int, position: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - members of the answer
    return {"accepted": events, "quarantined": 0, "position": position, "refused": [], **more}


_INTERVAL: Final = {"value": 0.97, "low": 0.91, "high": 1.04}
_MEN: Final[dict[str, Any]] = {
    "group": "m",
    "entities": 400,
    "rows": 612,
    "bad_rate": 0.061,
    "mean_pd": 0.058,
    "approved": 0.71,
    "auc": {"value": 0.508, "low": 0.466, "high": 0.549},
    "impact_ratio": None,
    "mean_difference": None,
    "opportunity_gap": None,
    "adverse": False,
}
_WOMEN: Final = {
    **_MEN,
    "group": "f",
    "approved": 0.69,
    "impact_ratio": _INTERVAL,
    "mean_difference": {"value": 0.03, "low": -0.08, "high": 0.14},
    "opportunity_gap": {"value": -0.02, "low": -0.08, "high": 0.04},
}
_FAIRNESS: Final[dict[str, Any]] = {
    "model": "application-risk",
    "version": 1,
    "model_sha256": _SHA256,
    "approve_below": 0.08,
    "rows": 1224,
    "entities": 800,
    "attributes": [
        {
            "attribute": "Person.sex",
            "known": 800,
            "unknown": 0,
            "auc": {"value": 0.508, "low": 0.466, "high": 0.549},
            "reference": "m",
            "groups": [{**_MEN}, {**_WOMEN}],
        }
    ],
}

EXAMPLES: Final[dict[str, tuple[Example, ...]]] = {
    "post_events": (
        Example("one", "One movement", {}, _MOVEMENT, _accepted(1, 215905)),
        Example(
            "applied",
            "An array, answered when every score has it",
            {"wait": "applied"},
            [_MOVEMENT, _SALARY],
            _accepted(2, 215907, duplicates=1, conflicts=0),
        ),
        Example("correction", "A correction of an earlier movement", {}, _CORRECTION, _accepted(1, 215908)),
        Example(
            "partly",
            "Two events, one of them bad",
            {},
            {"events": [_SALARY, _WRONG]},
            {"accepted": 1, "quarantined": 1, "position": 215909, "refused": [_REFUSED]},
        ),
        Example(
            "lines",
            "One event a line",
            {},
            '{"stream":"Movement","id":"m-2026-0004","account":"acc-00008","booked_at":"2026-01-01T08:40:00Z",'
            '"amount":"-9.90","kind":"card"}\n',
            _accepted(1, 215910),
            NDJSON,
        ),
    ),
    "get_score": (
        Example("now", "As of now", {"entity": "acc-00007", "model": "account-risk"}, None, _SCORE),
        Example(
            "then",
            "As of a moment in the past",
            {"entity": "acc-00007", "as_of": "2025-12-01T00:00:00Z"},
            None,
            {**_SCORE, **_THEN},
        ),
        Example(
            "own_writes",
            "With a write of one's own in it",
            {"entity": "acc-00007", "min_position": 215904},
            None,
            _SCORE,
        ),
    ),
    "get_features": (
        Example("now", "As of now", {"entity": "acc-00007", "model": "account-risk"}, None, _FEATURES),
        Example(
            "position",
            "As they were known at a position",
            {"entity": "acc-00007", "model": "account-risk", "position": 215904},
            None,
            {**_FEATURES, **_THEN, "position": 215904},
        ),
    ),
    "post_decision": (
        Example(
            "application",
            "An application is decided",
            {},
            {"decision_id": "d-2026-0001", "event": _APPLICATION},
            _DECISION,
        ),
    ),
    "get_decision": (
        Example("decision", "A decision", {"decision_id": "d-2026-0001"}, None, _DECISION),
        Example(
            "record",
            "Its whole record",
            {"decision_id": "d-2026-0001", "full": True},
            None,
            {**_DECISION, "request": _APPLICATION, "features": {"CashFlow.inflow_sum_30d": 4445.69}},
        ),
    ),
    "stream_scores": (
        Example(
            "resumed",
            "Scores of one model, from a number on",
            {"model": "account-risk", "after": 215904},
            None,
            _STREAM,
        ),
    ),
    "get_fairness": (Example("groups", "Women and men", {"model": "application-risk"}, None, _FAIRNESS),),
    "get_models": (Example("models", "What is registered", {}, None, [_MODEL]),),
    "get_quarantine": (
        Example("newest", "The newest ten", {"last": 10}, None, [_QUARANTINED]),
        Example(
            "open",
            "What was refused for an unknown field and is open",
            {"reason": "unknown_field", "stream": "Movement", "state": "open"},
            None,
            [_QUARANTINED],
        ),
    ),
    "post_quarantine_retry": (
        Example(
            "numbers",
            "One refused event",
            {},
            {"numbers": [1]},
            {"tried": 1, "resolved": 0, "kept": 1, "skipped": 0, "items": [_KEPT]},
        ),
        Example(
            "reason",
            "All that were refused for a reason",
            {},
            {"reason": "unknown_field"},
            {"tried": 1, "resolved": 0, "kept": 1, "skipped": 0, "items": [_KEPT]},
        ),
    ),
    "get_quarantined": (Example("first", "The first refused event", {"number": 1}, None, _QUARANTINED),),
    "post_erasure": (
        Example("entity", "One account", {}, {"entity": "acc-00123"}, _ERASURE),
        Example("role", "An id of a role", {}, {"entity": "acc-00124", "role": "account"}, _ERASURE),
    ),
    "get_erasures": (Example("erasures", "All so far", {}, None, [_ERASURE]),),
    "get_schema": (
        Example(
            "schema",
            "What is declared, and what came in otherwise",
            {},
            None,
            {
                "streams": [
                    {
                        "stream": "Movement",
                        "unknown": "refuse",
                        "fields": {"amount": "money", "kind": "category"},
                        "forms": 1,
                    }
                ],
                "changes": [],
                "drift": [
                    {
                        "stream": "Movement",
                        "field": "ammount",
                        "kind": "new_field",
                        "outcome": "quarantined",
                        "events": 1,
                        "first_seen": "2026-01-01T09:00:00.000000Z",
                        "last_seen": "2026-01-01T09:00:00.000000Z",
                        "example": "string",
                    }
                ],
                "error": None,
            },
        ),
    ),
    "get_health": (Example("alive", "The process lives", {}, None, {"status": "ok"}),),
    "get_readiness": (Example("ready", "Events are applied", {}, None, _HEALTH),),
    "get_metrics": (
        Example(
            "metrics", "What is measured", {}, None, 'streamgauge_events_accepted_total{stream="Movement"} 215910.0\n'
        ),
    ),
}
"""By operation, in an order in which they can be executed."""

DETAILS: Final = {
    "malformed-body": "The body cannot be read as JSON: JSON is malformed: trailing comma in array (byte 3).",
    "unauthorized": "The request has no API key. Send one as: Authorization: Bearer sg_… "
    "(make one with: streamgauge keys create).",
    "missing-scope": 'The key "read only" opens read; this needs another scope. '
    "Make one with: streamgauge keys create NAME --scope SCOPE.",
    "unknown-name": 'The log holds no event of account "acc-7". Check the id, or ingest its events.',
    "needs-event": 'Model "application-risk" scores events of Application: without its event it has no score. '
    "Send the event to /v1/decisions.",
    "inactive": 'Entity "acc-00007" is not in the population of "account-risk" as of 2024-01-01T00:00:00.000000Z: '
    "the model's `active` condition is not true of it, so it has no score.",
    "decision-conflict": 'Decision id "d-2026-0001" was used for event "a-2026-0001" with other content. '
    "Use a new decision id.",
    "decision-erased": 'Decision "d-2026-0001" was erased on purpose; its place in the chain is left.',
    "body-too-large": "The body is larger than 33554432 bytes ([api] max_body_bytes). Send it in parts.",
    "too-many-events": "The body holds 10001 events. Send at most 10000 in one call.",
    "unsupported-media-type": 'The content type is "text/csv". Send application/json or application/x-ndjson '
    '(curl: -H "content-type: application/json").',
    "invalid-parameter": 'There is no parameter "modle" here. Did you mean "model"?',
    "invalid-body": 'Unknown member "evnt". Did you mean "event"?',
    "events-rejected": 'The event was not accepted: Movement has no field "ammount". Did you mean "amount"?',
    "event-rejected": 'Application has no "amount". Send it, or give the field a default.',
    "nothing-decides": "No served model with a registered policy decides events of Movement. "
    "Train one whose `observe` is Movement and that has a Policy.",
    "position-not-reached": "Position 215999 was not applied within 2 s; the newest applied position is 215910. "
    "Ask again.",
    "ledger-unavailable": "The decision ledger is locked by another program. Send the same call again.",
    "storage-unavailable": "The disk refused: No space left on device. Nothing was accepted.",
    "not-ready": "Events are not applied now. What was acknowledged is safe; see the server's log, or restart it.",
    "internal": "The request failed for a reason that nobody foresaw; the server's log has it.",
}
"""How a problem reads, by its code."""
