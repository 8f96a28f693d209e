from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from streamgauge.events.body import body_of


def test_a_body_is_short_whatever_the_event_is() -> None:
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    circular: dict[str, Any] = {}
    circular["self"] = circular
    for event in (
        nested,
        circular,
        10**5000,
        {"a": "x" * 10**7},
        {(1, 2): 3},
        b"\xff" * 10**6,
        "\ud800",
        None,
        object(),
    ):
        assert len(body_of(event)) <= 262_145


def test_a_row_of_a_frame_is_written_as_json() -> None:
    assert (
        body_of({"at": datetime(2024, 5, 1, tzinfo=UTC), "n": None}) == '{"at": "2024-05-01 00:00:00+00:00", "n": null}'
    )
