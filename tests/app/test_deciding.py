"""A decision is about the event that was sent, as the log has it, or there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from streamgauge.app.answers import iso
from streamgauge.app.service import quiet
from streamgauge.errors import EventRejected
from streamgauge.testing.portfolio import simulate_history

if TYPE_CHECKING:
    from streamgauge.app.owner import Owner
    from streamgauge.clock import FixedClock


@pytest.fixture(scope="module")
def old() -> dict[str, Any]:
    """An application of the imported history, long past the stream's lateness."""
    row = simulate_history(borrowers=1_000)["Application"].sort("asked_at").row(10, named=True)
    moment = row.pop("asked_at").isoformat()
    del row["known_at"]
    return {"stream": "Application", "asked_at": moment, **row, "amount": str(row["amount"])}


def application(event_id: str, clock: FixedClock) -> dict[str, Any]:
    moment = iso(clock.now_us())
    known = {"stream": "Application", "id": event_id, "account": "acc-00001", "asked_at": moment}
    return {**known, "amount": "900.00", "term_months": 6}


def test_an_imported_event_is_decided_where_the_log_has_it(owner: Owner, old: dict[str, Any]) -> None:
    answer = owner.decide("old", old)
    [record] = [one for one in owner.log.read_entity(f"account:{old['account']}") if one.event_id == old["id"]]
    assert answer.positions == {"account": record.position}


@pytest.mark.parametrize(
    ("change", "reason"), [({"amount": "99999.00"}, "too_late"), ({"asked_at": "2024-06-01T00:00:00Z"}, "too_late")]
)
def test_a_known_id_under_other_content_is_not_decided(
    owner: Owner, old: dict[str, Any], change: dict[str, str], reason: str
) -> None:
    with pytest.raises(EventRejected) as caught:
        owner.decide(f"old-{change}", {**old, **change})
    assert caught.value.reason == reason
    assert owner.verify(quiet).mismatch == 0


def test_a_correction_is_decided_again_at_its_own_position(owner: Owner, clock: FixedClock) -> None:
    first = application("corrected", clock)
    second = {**first, "amount": "1900.00", "revision": 1, "op": "replace"}
    positions = [owner.decide(f"c-{i}", event).positions["account"] for i, event in enumerate((first, second) * 2)]
    assert positions == [positions[0], positions[1]] * 2
    assert positions[0] < positions[1]
    assert owner.verify(quiet).mismatch == 0


def test_an_event_whose_delete_came_first_is_not_decided(owner: Owner, clock: FixedClock) -> None:
    gone = application("gone", clock)
    delete = {name: gone[name] for name in ("stream", "id", "account", "asked_at")}
    assert owner.ingest([{**delete, "revision": 1, "op": "delete"}], applied=True).accepted == 1
    with pytest.raises(EventRejected) as caught:
        owner.decide("gone", gone)
    assert caught.value.reason == "deleted"


def test_an_account_nobody_knows_is_referred_for_missing_data_and_replays(owner: Owner, clock: FixedClock) -> None:
    answer = owner.decide("stranger", {**application("stranger", clock), "account": "acc-of-a-stranger"})
    assert answer.outcome == "refer"
    assert answer.rules == ["K01"]
    assert answer.reasons[0].code == "K01M"
    assert answer.reasons[0].text == "Account history is shorter than 90 days: not enough data"
    assert owner.verify(quiet).mismatch == 0
