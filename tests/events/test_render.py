from __future__ import annotations

from decimal import Decimal

from streamgauge.events.render import render
from streamgauge.events.validate import validate_one
from streamgauge.testing.streams import EVERYTHING, STREAMS

EVENT = {"stream": "Everything", "id": "1", "account": "a:b", "at": "2024-05-01T00:00:00"}


def test_a_record_renders_to_its_canonical_event() -> None:
    event = EVENT | {
        "money": 1,
        "ratio": "0.12345",
        "flag": 0,
        "level": "mid",
        "country": "CH",
        "target": "m-1",
        "sequence": 4,
    }
    assert render(validate_one(event, STREAMS), EVERYTHING) == {
        "stream": "Everything",
        "id": "1",
        "account": "a:b",
        "at": "2024-04-30T22:00:00Z",
        "money": Decimal("1.00"),
        "ratio": Decimal("0.1234"),
        "whole": 0,
        "flag": False,
        "level": "mid",
        "country": "CH",
        "key": None,
        "target": "m-1",
        "sequence": 4,
    }


def test_a_delete_renders_without_a_payload() -> None:
    assert render(validate_one({**EVENT, "revision": 2, "op": "delete"}, STREAMS), EVERYTHING) == {
        "stream": "Everything",
        "id": "1",
        "account": "a:b",
        "at": "2024-04-30T22:00:00Z",
        "revision": 2,
        "op": "delete",
    }
