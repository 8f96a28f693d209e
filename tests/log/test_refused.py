from __future__ import annotations

from streamgauge.errors import EventRejected
from streamgauge.events.validate import validate_many
from streamgauge.log.port import Quarantined
from streamgauge.log.refused import refused_event
from streamgauge.testing.streams import STREAMS


def refused(event: object) -> Quarantined:
    (answer,) = validate_many([event], STREAMS)
    assert isinstance(answer, EventRejected)
    return refused_event(event, answer, 5, STREAMS)


def test_a_refused_event_names_what_it_can() -> None:
    item = refused({"stream": "Movement", "id": "m-1", "account": "A-1", "amount": 1})
    assert (item.stream, item.entity, item.event_id, item.reason, item.at) == (
        "Movement",
        "account:A-1",
        "m-1",
        "missing_field",
        5,
    )
    assert item.body == '{"stream": "Movement", "id": "m-1", "account": "A-1", "amount": 1}'


def test_a_refused_event_of_any_shape_is_kept() -> None:
    events: tuple[object, ...] = (
        None,
        [],
        "x",
        b"{",
        {"stream": 5},
        {"stream": "Movement", "id": [], "account": 7},
        {"stream": "Other", "id": "1"},
    )
    for event in events:
        item = refused(event)
        assert (item.entity, item.event_id) == ("", "")
        assert item.detail
