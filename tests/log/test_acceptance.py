from __future__ import annotations

import pytest

from streamgauge.log.acceptance import duration, refusal
from streamgauge.testing.log_conformance import NOW, movement
from streamgauge.testing.streams import DAY_US, MOVEMENT


@pytest.mark.parametrize(
    ("span", "text"),
    [(0, "0µs"), (999_999, "999999µs"), (60_000_000, "1m 0s"), (30 * DAY_US, "30d 0h"), (DAY_US + 60_000_000, "1d 0h")],
)
def test_a_span_is_said_in_two_units(span: int, text: str) -> None:
    assert duration(span) == text


def test_the_test_uses_known_at_and_not_the_clock() -> None:
    record = movement("m-1", ago_us=60 * DAY_US)
    assert refusal(record, MOVEMENT, known_at=NOW - 31 * DAY_US, now_us=NOW) is None
    refused = refusal(record, MOVEMENT, known_at=NOW - 29 * DAY_US, now_us=NOW)
    assert refused is not None
    assert refused.reason == "too_late"
    assert "became known 31d 0h later; Movement accepts 30d 0h. Import history" in refused.detail


def test_an_event_of_tomorrow_names_the_senders_clock() -> None:
    refused = refusal(movement("m-1", ago_us=-DAY_US), MOVEMENT, known_at=NOW, now_us=NOW)
    assert refused is not None
    assert (refused.reason, refused.entity, refused.event_id) == ("too_early", "account:A-1", "m-1")
    assert "1d 0h earlier; Movement accepts 5m 0s. Correct the sender's clock" in refused.detail
