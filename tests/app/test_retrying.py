"""Refused events are tried again under today's declarations, and none is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from streamgauge.app.owner import Owner
from streamgauge.clock import FixedClock
from streamgauge.errors import SettingsError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.app.conftest import Lender

HOUR = 3_600_000_000


@pytest.fixture
def fresh(lender: Lender, tmp_path: Path) -> Iterator[Owner]:
    """An owner whose quarantine is empty."""
    with Owner.open(lender.copy(tmp_path / "lender"), clock=FixedClock(lender.end_us + 9 * HOUR)) as owner:
        yield owner


def movement(number: int, **more: Any) -> dict[str, Any]:
    event = {"stream": "Movement", "id": f"q-{number}", "account": "acc-00007", "amount": "12.50", "kind": "salary"}
    return {**event, "booked_at": "2026-01-01T08:00:00Z", **more}


def numbers_of(owner: Owner, *events: dict[str, Any]) -> list[int]:
    answer = owner.ingest(events, applied=True)
    assert answer.quarantined == len(events)
    return [one.quarantine for one in answer.refused]


def declare(owner: Owner, **changes: Any) -> None:
    """Declare Movement differently from now on."""
    spec = replace(owner.project.streams["Movement"], **changes)
    owner._log.register_schema(spec)
    owner.intake.declare({**owner.project.streams, "Movement": spec})


def test_a_refused_event_is_accepted_once_it_is_valid(fresh: Owner) -> None:
    [number] = numbers_of(fresh, movement(1, booked_at="2025-11-01T08:00:00Z"))
    before = fresh.score("acc-00007")
    kept = fresh.retry([number])
    assert (kept.tried, kept.resolved, kept.kept) == (1, 0, 1)
    assert (kept.items[0].reason, kept.items[0].retries, kept.items[0].state) == ("too_late", 1, "open")
    assert fresh.score("acc-00007").position == before.position, "a failed retry leaves no record"
    assert len(fresh.quarantined()) == 1, "and no second item"
    declare(fresh, lateness_us=365 * 24 * HOUR)
    done = fresh.retry([number])
    assert (done.resolved, done.kept) == (1, 0)
    [item] = fresh.quarantined(resolved=True)
    record = fresh.log.find("Movement", "account:acc-00007", "q-1")
    assert record is not None
    assert (item.number, item.resolved, item.state) == (number, record.position, "resolved")
    assert fresh.score("acc-00007").position == record.position
    again = fresh.retry([number])
    assert (again.tried, again.skipped) == (0, 1), "what is resolved stays so"


def test_a_failed_retry_takes_the_newer_reason(fresh: Owner) -> None:
    [number] = numbers_of(fresh, movement(2, ammount="1.00", booked_at="2020-01-01T08:00:00Z"))
    assert fresh.quarantined(number=number)[0].reason == "unknown_field"
    body = json.loads(fresh.quarantined(number=number)[0].body)
    assert body["ammount"] == "1.00"
    spec = fresh.project.streams["Movement"]
    extra = replace(spec.fields[0], name="ammount", required=False)
    declare(fresh, fields=(*spec.fields, extra))
    assert fresh.retry([number]).kept == 1
    [item] = fresh.quarantined(number=number)
    assert (item.reason, item.retries) == ("too_late", 1)
    assert json.loads(item.body) == body, "the body stays as it came"


def test_a_choice_is_by_reason_and_stream_and_all_without_one(fresh: Owner) -> None:
    numbers_of(fresh, movement(3, ammount="1"), movement(4, amount="many"), {"stream": "Mvoement"})
    assert fresh.retry(reason="unknown_field").tried == 1
    assert fresh.retry(stream="Movement").tried == 2
    assert fresh.retry().tried == 3
    with pytest.raises(UnknownName, match="unknown_field"):
        fresh.retry(reason="unknwon_field")
    with pytest.raises(UnknownName, match="999"):
        fresh.retry([999])
    with pytest.raises(SettingsError):
        fresh.retry([1], reason="unknown_field")


def test_what_is_in_the_log_or_was_cut_short_is_passed_over(fresh: Owner) -> None:
    fresh.ingest([movement(5)], applied=True)
    fresh.ingest([movement(5, amount="13.00")], applied=True)
    [contradiction] = fresh.quarantined(reason="conflict")
    [cut] = numbers_of(fresh, movement(6, note="x" * 300_000))
    [item] = fresh.quarantined(number=cut)
    assert (item.whole, item.retriable, contradiction.retriable) == (False, False, False)
    answer = fresh.retry([contradiction.number, cut])
    assert (answer.tried, answer.skipped) == (0, 2)


def test_a_retry_that_contradicts_the_log_is_no_second_item(fresh: Owner) -> None:
    [number] = numbers_of(fresh, movement(7, ammount="1"))
    fresh.ingest([movement(7, amount="99.00")], applied=True)
    spec = fresh.project.streams["Movement"]
    declare(fresh, fields=(*spec.fields, replace(spec.fields[0], name="ammount", required=False)))
    assert fresh.retry([number]).kept == 1
    [item] = fresh.quarantined()
    assert (item.number, item.reason) == (number, "conflict")
    assert item.position is not None


def test_rows_of_an_import_come_in_with_the_arrival_they_declared(fresh: Owner) -> None:
    at = datetime(2025, 10, 1, 8, tzinfo=UTC)
    row = {"id": 8, "account": "acc-00007", "booked_at": at, "amount": "5.005", "kind": "salary"}
    known = {**row, "id": 9, "known_at": at + timedelta(hours=1)}
    assert fresh.import_frame(pl.DataFrame([row]), "Movement", known_after_us=2 * HOUR).quarantined == 1
    assert fresh.import_frame(pl.DataFrame([known]), "Movement", known_at="known_at").quarantined == 1
    assert [one.source for one in fresh.quarantined()] == ["file", "file"]
    assert {one.entity for one in fresh.quarantined()} == {"acc-00007"}
    spec = fresh.project.streams["Movement"]
    fields = [replace(field, rounds=field.name == "amount") for field in spec.fields]
    declare(fresh, fields=tuple(fields))
    assert fresh.retry().resolved == 2
    found = [fresh.log.find("Movement", "account:acc-00007", number) for number in ("8", "9")]
    assert [one is not None and (one.known_at - one.event_time, one.imported) for one in found] == [
        (2 * HOUR, True),
        (HOUR, True),
    ]
    assert not fresh.engine.applier.pending, "the entity is rebuilt"


def test_what_is_open_is_measured_by_reason(fresh: Owner) -> None:
    numbers_of(fresh, movement(10, ammount="1"), movement(11, ammount="1"))
    fresh.retry()
    text = fresh.metrics.exposition().decode()
    assert 'streamgauge_quarantine_open{reason="unknown_field"} 2.0' in text
    assert 'streamgauge_quarantine_retries_total{result="kept"} 2.0' in text
