import polars as pl
import pytest

from streamgauge.definitions.schema import NULL
from streamgauge.errors import EventRejected, ImportRefused
from streamgauge.events.frames import validate_frame
from streamgauge.events.record import NewRecord
from streamgauge.events.render import render
from streamgauge.events.roles import entities_of, is_primary, role_ids
from streamgauge.events.validate import validate_one
from streamgauge.testing.streams import DISPUTE, MOVEMENT, PAYMENT, ROLE_STREAMS, STREAMS

EVENT = {"stream": "Payment", "id": "p", "card": "C", "merchant": "M", "at": "2024-05-01T00:00:00Z", "amount": "9.90"}


def paid(**fields: object) -> NewRecord:
    return validate_one({name: value for name, value in {**EVENT, **fields}.items() if value is not None}, ROLE_STREAMS)


def test_an_event_of_several_entities_is_its_primary_ones_record() -> None:
    record = paid()
    assert record.entity == "card:C"
    assert is_primary(record, PAYMENT)
    assert role_ids(record, PAYMENT) == {"card": "C", "merchant": "M"}
    assert list(entities_of(record, PAYMENT).values()) == ["card:C", "merchant:M", "card|merchant:C|M"]


def test_the_first_field_is_the_primary_role() -> None:
    event = {"stream": "Dispute", "id": "d", "card": "C", "merchant": "M", "at": EVENT["at"], "payment": "p"}
    record = validate_one(event, ROLE_STREAMS)
    assert record.entity == "merchant:M"
    assert list(entities_of(record, DISPUTE).values()) == ["merchant:M", "card:C", "card|merchant:C|M"]


def test_an_event_of_one_entity_has_no_other() -> None:
    event = {"stream": "Movement", "id": "m", "account": "A", "booked_at": EVENT["at"], "amount": 1, "kind": "card"}
    record = validate_one(event, STREAMS)
    assert entities_of(record, MOVEMENT) == {"account": "account:A"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"merchant": None}, "missing_field"),
        ({"merchant": ""}, "malformed"),
        ({"merchant": 7}, "wrong_type"),
        ({"merchant": "a\nb"}, "malformed"),
        ({"merchant": None, "op": "delete", "revision": 1}, "missing_field"),
    ],
)
def test_every_entity_must_be_an_id(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(EventRejected) as caught:
        paid(**fields)
    assert (caught.value.reason, caught.value.field) == (reason, "merchant")


def test_a_rendered_event_comes_back_the_same() -> None:
    for record in (paid(country="ES"), paid(op="delete", revision=3, amount=None)):
        told = render(record, PAYMENT)
        assert (told["card"], told["merchant"]) == ("C", "M")
        assert validate_one(told, ROLE_STREAMS) == record


def test_a_deleted_event_keeps_its_entities_alone() -> None:
    record = paid(op="delete", revision=1)
    units = memoryview(record.units).cast("q").tolist()
    assert units[2:] == [NULL, NULL]
    assert NULL not in units[:2]
    assert record.digest != paid(op="delete", revision=1, merchant="N").digest


def test_a_frame_gives_the_same_records_as_its_events() -> None:
    ids = [f"p{i}" for i in range(6)]
    rows = {
        "id": ids,
        "card": ["C1", "C2", "C1", "", "C|3", "C4"],
        "merchant": ["M1", "M|2", "M1", "M1", None, "x" * 300],
        "at": [EVENT["at"]] * 6,
        "amount": ["1.00", "2.5", "3", "4", "5", "6"],
        "op": [None, None, "delete", None, None, None],
        "revision": [0, 0, 1, 0, 0, 0],
    }
    result = validate_frame(pl.DataFrame(rows), PAYMENT)
    one_by_one = [paid(**dict(zip(rows, row, strict=True))) for row in list(zip(*rows.values(), strict=True))[:3]]
    assert list(result.records) == one_by_one
    assert [row for row, _ in result.rejected] == [3, 4, 5]


def test_a_frame_without_a_role_is_refused_by_name() -> None:
    frame = pl.DataFrame({"id": ["p"], "card": ["C"], "merchnt": ["M"], "at": [EVENT["at"]], "amount": [1]})
    with pytest.raises(ImportRefused, match=r'no column "merchant", which Payment needs. Did you mean "merchnt"'):
        validate_frame(frame, PAYMENT)
