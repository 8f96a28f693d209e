"""A changed declaration goes on where older records can be read, and is refused with its line where they cannot."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place, find_place
from streamgauge.clock import FixedClock
from streamgauge.errors import DefinitionError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.app.conftest import Lender

NOW = 1_767_225_600_000_000
HOUR = 3_600_000_000
PROJECT = """
import streamgauge as sg


class Paid(sg.Event{keywords}):
    id: sg.EventId
    client: sg.Entity
    at: sg.EventTime
    {amount}
    kind: sg.Category = sg.field(levels=[{levels}])
    {more}
"""
EVENT = {"stream": "Paid", "id": "1", "client": "C-7", "at": "2026-01-01T00:00:00Z", "amount": "1.00", "kind": "a"}
MONEY = "amount: sg.Money"


def declare(place: Place, amount: str = MONEY, levels: str = '"a", "b"', more: str = "", keywords: str = "") -> None:
    place.project_file.write_text(PROJECT.format(amount=amount, levels=levels, more=more, keywords=keywords))


def start(place: Place) -> Owner:
    return Owner.open(place, clock=FixedClock(NOW))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A project whose log holds one record."""
    (tmp_path / "streamgauge.toml").write_text('[project]\nfile = "paid.py"\n')
    (tmp_path / "paid.py").write_text("")
    place = find_place(tmp_path)
    declare(place)
    with start(place) as owner:
        assert owner.ingest([EVENT], applied=True).accepted == 1
    return place


SAFE = {
    "added field": {"more": "tip: sg.Money = sg.field(default=None)"},
    "dropped field": {"amount": ""},
    "widened levels": {"levels": '"a", "b", "c"'},
    "more decimals": {"amount": "amount: sg.Number = sg.field(decimals=4)"},
    "now optional": {"amount": "amount: sg.Money = sg.field(default=None)"},
    "changed range": {"amount": "amount: sg.Money = sg.field(low=0)"},
}
UNSAFE = {
    "fewer decimals": ({"amount": "amount: sg.Integer"}, 9),
    "changed kind": ({"amount": "amount: sg.Key"}, 9),
    "removed level": ({"levels": '"b"'}, 10),
}


@pytest.mark.parametrize("what", SAFE)
def test_a_safe_change_goes_on_and_is_told_once(place: Place, what: str, caplog: pytest.LogCaptureFixture) -> None:
    declare(place, **SAFE[what])
    with start(place) as owner:
        assert [one for one in owner.warnings if what in one]
        assert owner.schema().changes == []
    with start(place) as owner:
        assert owner.warnings == []
    assert what in caplog.text


@pytest.mark.parametrize("what", UNSAFE)
def test_an_unsafe_change_is_refused_with_its_line_and_next_step(place: Place, what: str) -> None:
    changed, line = UNSAFE[what]
    declare(place, **changed)
    with pytest.raises(DefinitionError, match=what) as refused:
        start(place)
    assert refused.value.line == line
    assert str(place.project_file) in str(refused.value)
    declare(place)
    with start(place) as owner:
        declare(place, **changed)
        assert [(one.what, one.safe) for one in owner.schema().changes if not one.safe] == [(what, False)]
        assert owner.ingest([{**EVENT, "id": "2"}]).accepted == 1, "what runs goes on"


def test_another_entity_is_refused(place: Place) -> None:
    text = place.project_file.read_text().replace("client: sg.Entity", "person: sg.Entity")
    place.project_file.write_text(text)
    with pytest.raises(DefinitionError, match="Restore client"):
        start(place)


def test_a_form_without_records_holds_nothing_back(place: Place) -> None:
    declare(place, more="tip: sg.Money = sg.field(default=None)")
    start(place).close()
    declare(place, more="tip: sg.Key = sg.field(default=None)")
    with start(place) as owner:
        assert owner.warnings


def test_served_models_go_on_with_the_stream_as_it_was(lender: Lender, tmp_path: Path) -> None:
    place = lender.copy(tmp_path / "lender")
    place.project_file.write_text(place.project_file.read_text().replace("amount: sg.Money", "amount: sg.Integer", 1))
    with Owner.open(place, clock=FixedClock(lender.end_us + 9 * HOUR)) as owner:
        assert [one for one in owner.warnings if "fewer decimals" in one and "declared before" in one]
        event = {"stream": "Movement", "id": "s-1", "account": "acc-00007", "amount": "12.50", "kind": "salary"}
        assert owner.ingest([{**event, "booked_at": "2026-01-01T08:00:00Z"}], applied=True).accepted == 1


def test_drift_is_counted_over_restarts_and_said_once(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    bad: list[dict[str, object]] = [
        {**EVENT, "ammount": 5},
        {**EVENT, "amount": [1]},
        {**EVENT, "amount": "2.555"},
        {**EVENT, "kind": "z"},
        {**EVENT, "at": "yesterday"},
    ]
    with start(place) as owner:
        owner.ingest([*bad, {**EVENT, "ammount": "6"}, {"stream": "Payed"}])
        owner.ingest([{name: value for name, value in EVENT.items() if name != "amount"}])
        assert caplog.text.count('"ammount"') == 1
        text = owner.metrics.exposition().decode()
        labels = 'kind="new_field",outcome="quarantined",stream="Paid"'
        assert f"streamgauge_schema_drift_total{{{labels}}} 2.0" in text
    with start(place) as owner:
        owner.ingest([{**EVENT, "ammount": None}])
        found = {(one.field, one.kind): (one.outcome, one.events, one.example) for one in owner.schema().drift}
    assert found == {
        ("ammount", "new_field"): ("quarantined", 3, "integer"),
        ("amount", "changed_type"): ("quarantined", 1, "array"),
        ("amount", "more_decimals"): ("quarantined", 1, "string"),
        ("kind", "new_level"): ("quarantined", 1, "string"),
        ("at", "changed_type"): ("quarantined", 1, "string"),
        ("amount", "missing_field"): ("quarantined", 1, "absent"),
    }
    assert "yesterday" not in (place.data / "drift.json").read_text(), "no value is kept"


@pytest.mark.parametrize("policy", ["ignore", "keep"])
def test_unknown_fields_that_are_accepted_are_drift_too(place: Place, policy: str) -> None:
    declare(place, keywords=f', unknown="{policy}"')
    with start(place) as owner:
        assert owner.ingest([{**EVENT, "id": "5", "tip": 1}, {**EVENT, "id": "6", "tip": 2}]).accepted == 2
        [drift] = owner.schema().drift
        assert (drift.field, drift.kind, drift.events, drift.example) == ("tip", "new_field", 2, "integer")
        assert drift.outcome == {"ignore": "ignored", "keep": "kept"}[policy]
        assert owner.schema().streams[0].unknown == policy
        assert owner.ingest([{**EVENT, "id": "5"}], applied=True).duplicates == 1, "it is no part of the content"
