"""Everything of an entity is removed from every file, whatever kills the owner meanwhile; chains still verify."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from streamgauge.app.erasing import TaskFile
from streamgauge.app.owner import Owner
from streamgauge.app.service import quiet
from streamgauge.app.settings import Place, find_place
from streamgauge.clock import FixedClock
from streamgauge.errors import DecisionErased, SettingsError, UnknownName

if TYPE_CHECKING:
    from pathlib import Path

    from tests.app.conftest import Lender

HOUR = 3_600_000_000
WHO = "zz-person-4711"
NOW = 1_767_225_600_000_000
ROLES = """
import streamgauge as sg


class Payment(sg.Event):
    id: sg.EventId
    card: sg.Entity
    merchant: sg.Entity
    at: sg.EventTime
    amount: sg.Money

"""


def held(root: Path, text: str = WHO) -> list[str]:
    """Return the files that hold a text's bytes."""
    return [str(path) for path in sorted(root.rglob("*")) if path.is_file() and text.encode() in path.read_bytes()]


def movement(number: int, **more: Any) -> dict[str, Any]:
    event = {"stream": "Movement", "id": f"e-{number}", "account": WHO, "amount": "12.50", "kind": "salary"}
    return {**event, "booked_at": f"2026-01-01T0{number % 8}:00:00Z", **more}


APPLICATION = {
    "stream": "Application", "id": "e-a", "account": WHO, "asked_at": "2026-01-01T08:00:00Z", "amount": "900.00",
    "term_months": 6,
}  # fmt: skip


def fill(owner: Owner) -> None:
    """Leave traces of a person everywhere."""
    loan = {"stream": "Loan", "id": "e-l", "account": WHO, "paid_at": "2025-12-30T08:00:00Z", "application": "x"}
    owner.ingest([loan, *(movement(number) for number in range(20))], applied=True)
    owner.ingest([movement(1, amount="99.00")], applied=True)
    owner.ingest([movement(30, ammount="1"), {"stream": "Movment", "account": WHO}, {"account": WHO}])
    owner.decide("d-erase", APPLICATION)
    owner.score(WHO)


def start(lender: Lender, place: Place) -> Owner:
    return Owner.open(place, clock=FixedClock(lender.end_us + 9 * HOUR))


def test_nothing_of_an_erased_entity_is_left_on_the_disk(lender: Lender, tmp_path: Path) -> None:
    place = lender.copy(tmp_path / "lender")
    with start(lender, place) as owner:
        fill(owner)
        owner.decide("d-other", {**APPLICATION, "account": "acc-00007"})
        assert len(held(place.data)) >= 3, "the test can fail"
        scores = [body for _, body in owner.scores_after(0, 10_000)]
        assert any(WHO.encode() in body for body in scores)
        before = owner.score("acc-00007")
        done = owner.erase(WHO, by="me")
        assert (done.by, done.decisions) == ("me", 1)
        assert done.counts["records"] == 23
        assert done.counts["quarantined"] == 4
        assert done.counts["scores"] >= 20
        left = [body for _, body in owner.scores_after(0, 10_000)]
        assert left == [body for body in scores if WHO.encode() not in body]
        assert held(place.data) == []
        with pytest.raises(UnknownName):
            owner.score(WHO)
        with pytest.raises(DecisionErased):
            owner.decision("d-erase")
        report = owner.verify(quiet)
        assert (report.mismatch, report.erased, report.chain) == (0, 1, "intact")
        assert report.match == report.checked >= 1
        assert owner.score("acc-00007").pd == before.pd
        assert [(one.by, one.counts["records"]) for one in owner.erasures()] == [("me", 23)]
        again = owner.ingest([movement(1)], applied=True)
        assert (again.accepted, again.duplicates) == (1, 0), "what comes later is new"
        assert again.position > before.position
        assert owner.features(WHO, model="account-risk").position == again.position
    with start(lender, place) as owner:
        assert owner.log.check() > 0


@pytest.mark.parametrize(
    "refused",
    [
        {"stream": "Movement", "acount": WHO, "id": "q"},
        {"stream": "Movement", "account": None, "note": WHO},
        {"stream": "Movement", "account": [WHO]},
        {"stream": "Unknown", "who": WHO},
        WHO,
    ],
)
def test_a_refused_event_that_does_not_say_whose_it_is_goes_where_it_names_the_entity(
    lender: Lender, tmp_path: Path, refused: Any
) -> None:
    place = lender.copy(tmp_path / "lender")
    with start(lender, place) as owner:
        owner.ingest([refused])
        assert held(place.data)
        assert owner.erase(WHO, role="account").counts["quarantined"] == 1
        assert held(place.data) == []


def test_refused_events_of_others_stay(lender: Lender, tmp_path: Path) -> None:
    with start(lender, lender.copy(tmp_path / "lender")) as owner:
        before = [one.number for one in owner.quarantined()]
        others: list[Any] = [
            {"stream": "Unknown", "who": f"{WHO}1"},
            {"stream": "Movement", "account": f"x{WHO}"},
            {"stream": "Movement", "account": "other", "id": WHO},
            f"no event, but {WHO}a and a{WHO}",
        ]
        owner.ingest(others)
        assert owner.erase(WHO, role="account").counts["quarantined"] == 0
        assert len(owner.quarantined()) == len(before) + len(others)


def test_training_rows_kept_beside_models_go_too(lender: Lender, tmp_path: Path) -> None:
    with start(lender, lender.copy(tmp_path / "lender")) as owner:
        [model] = [one for one in owner.registry.models() if one == "account-risk"]
        champion = owner.registry.champion(model)
        assert champion is not None
        rows = owner.registry.rows(champion)
        key = rows["entity"][0]
        done = owner.erase(key.partition(":")[2])
        assert done.counts["rows"] >= len(rows.filter(rows["entity"] == key)) > 0
        assert key not in owner.registry.rows(champion)["entity"].to_list()
        owner.registry.load(champion)


STEPS = ("the log", "states and scores", "the quarantine", "protected attributes and rows of models", "decisions")


@pytest.mark.parametrize("at", STEPS)
def test_an_erasure_that_was_cut_short_is_finished_at_the_next_start(lender: Lender, tmp_path: Path, at: str) -> None:
    place = lender.copy(tmp_path / "lender")

    def dies(what: str, _done: int, _total: int) -> None:
        if what == f"erasing {at}":
            raise KeyboardInterrupt

    with start(lender, place) as owner:
        fill(owner)
        with pytest.raises(KeyboardInterrupt):
            owner.erase(WHO, by="me", progress=dies)
    assert held(place.data)
    with start(lender, place) as owner:
        assert held(place.data) == []
        assert not (place.data / "erasure.pending").exists()
        [audit] = owner.erasures()
        assert audit.decisions == 1
        assert audit.counts["records"] == 23
        report = owner.verify(quiet)
        assert (report.mismatch, report.chain) == (0, "intact")


def test_an_erasure_that_died_while_it_removed_its_mark_is_done(tmp_path: Path) -> None:
    path = tmp_path / "erasure.pending"
    path.write_bytes(bytes(120))
    assert TaskFile(path).read() is None
    assert not path.exists()
    for unreadable in (b"", bytes(20) + b"{"):
        path.write_bytes(unreadable)
        with pytest.raises(SettingsError, match="Delete the file"):
            TaskFile(path).read()


def test_a_role_must_be_told_where_an_id_has_several(tmp_path: Path) -> None:
    place = shop(tmp_path)
    with Owner.open(place, clock=FixedClock(NOW)) as owner:
        owner.ingest([payment(1, card="X"), payment(2, card="C", merchant="X")], applied=True)
        with pytest.raises(UnknownName, match="card and as merchant"):
            owner.erase("X")
        with pytest.raises(UnknownName, match="cart"):
            owner.erase("X", role="cart")
        with pytest.raises(UnknownName, match="no event"):
            owner.erase("nobody")
        assert owner.erase("nobody", role="card").counts["records"] == 0


def test_an_erased_card_goes_under_every_role_and_the_merchants_counts_change(tmp_path: Path) -> None:
    place = shop(tmp_path)
    with Owner.open(place, clock=FixedClock(NOW)) as owner:
        owner.ingest([payment(1, card=WHO), payment(2, card="C-2"), payment(3, card=WHO, merchant="M-2")], applied=True)
        assert len(owner.log.read_entity("merchant:M-1")) == 2
        done = owner.erase(WHO)
        assert done.counts["records"] == 6, "its own, the merchants', the pairs'"
        assert [one.event_id for one in owner.log.read_entity("merchant:M-1")] == ["p-2"]
        assert owner.log.read_entity("merchant:M-2") == []
        assert owner.log.thinned("merchant:M-1") == 2
        assert held(place.data) == []
        assert [key for key in owner.log.entities() if "card" in key] == ["card:C-2", "card|merchant:C-2|M-1"]
        owner.ingest([payment(4, card="C-2")], applied=True)
    with Owner.open(place, clock=FixedClock(NOW)) as owner:
        assert owner.log.check() == 6
        assert owner.log.last_position() == 12


def shop(root: Path) -> Place:
    (root / "streamgauge.toml").write_text('[project]\nfile = "shop.py"\n')
    (root / "shop.py").write_text(ROLES)
    return find_place(root)


def payment(number: int, card: str, merchant: str = "M-1") -> dict[str, Any]:
    event = {"stream": "Payment", "id": f"p-{number}", "card": card, "merchant": merchant, "amount": "5.00"}
    return {**event, "at": "2026-01-01T00:00:00Z"}


def test_records_that_wait_while_they_are_erased_are_passed_over(lender: Lender, tmp_path: Path) -> None:
    with start(lender, lender.copy(tmp_path / "lender")) as owner:
        owner.ingest([movement(1)], applied=True)
        [record] = owner.log.read_entity(f"account:{WHO}")
        owner.erase(WHO)
        done = owner.engine.on_engine(lambda: owner.engine.applier.apply([record]))
        done.result()
        with pytest.raises(UnknownName):
            owner.score(WHO)
