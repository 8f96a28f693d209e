"""Decision records for tests."""

from __future__ import annotations

from typing import Any

import msgspec

from streamgauge.decisions.record import (
    DecisionRecord,
    ModelVersion,
    PolicyVersion,
    Reason,
    Vector,
    digest_request,
)

_NAMES = ("CashFlow.inflow_sum_30d", "CashFlow.days_negative_30d", "Application.amount")


def build_decision(decision_id: str, entity: str = "acc-1", **changes: Any) -> DecisionRecord:  # noqa: ANN401 - any field
    """Build a complete decision about the account `entity`, with any field changed.

    >>> build_decision("d-1", outcome="decline").outcome
    'decline'
    """
    request = {"stream": "Application", "event_id": decision_id, "account": entity, "amount": "1200.50"}
    record = DecisionRecord(
        decision_id=decision_id,
        stream="Application",
        event_id=decision_id,
        entities={"account": entity},
        as_of=1_767_225_600_000_000,
        positions={"account": 17},
        known_at=1_767_225_600_000_000,
        request=request,
        request_digest=digest_request(request),
        feature_names=_NAMES,
        features=Vector.of([1830.25, None, 1200.5]),
        model_input=Vector.of([1830.25, None, 1200.5]),
        margin=-2.75,
        pd=0.060086650,
        points=566.5,
        grade="C",
        outcome="refer",
        reasons=(
            Reason(code="R07", text="Amount high for the income", contribution=0.41, features=("Application.amount",)),
        ),
        stage="score",
        rules=(),
        model=ModelVersion(name="ApplicationRisk", version="3", sha256="ab" * 32),
        program_sha256="cd" * 32,
        calibrator_sha256="ef" * 32,
        policy=PolicyVersion(name="Lending", version="2", sha256="12" * 32),
        code_version="0.1.0",
        lag_us=2_400,
        wall_time_us=1_767_225_600_002_400,
    )
    return msgspec.structs.replace(record, **changes)
