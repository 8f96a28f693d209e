"""A read never claims a position whose events it has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from streamgauge.app.answers import iso
from streamgauge.app.reading import Question, Reader

if TYPE_CHECKING:
    from streamgauge.app.owner import Owner
    from streamgauge.clock import FixedClock
    from streamgauge.features.store import StateStore


class Overtaken:
    """A store on which another event of the entity is applied just after its state was read."""

    def __init__(self, owner: Owner, event: dict[str, Any]) -> None:
        self.owner = owner
        self.event = event
        self.position = 0

    def watermark(self) -> int:
        return self.owner.engine.applier.store.watermark()

    def get(self, entity: str) -> bytes | None:
        found = self.owner.engine.applier.store.get(entity)
        self.position = self.owner.ingest([self.event], applied=True).position
        return found


def test_an_event_applied_while_a_state_is_read_is_not_claimed(owner: Owner, clock: FixedClock) -> None:
    moment = iso(clock.now_us())
    event = {"stream": "Movement", "account": "acc-00001", "booked_at": moment, "amount": "5.00", "kind": "card"}
    first = owner.ingest([{**event, "id": "before"}], applied=True)
    store = Overtaken(owner, {**event, "id": "meanwhile"})
    model = owner.live.models["account-risk"]
    reader = Reader(
        owner.log, cast("StateStore", store), owner.live, owner.reader._book, owner.publisher, clock, frozenset()
    )
    reading = reader.read(Question("account:acc-00001"), model.bound)
    assert reading.position == first.position < store.position
    replayed = reader.read(Question("account:acc-00001", reading.as_of, reading.position), model.bound)
    assert replayed.row.tobytes() == reading.row.tobytes()
