"""Verification names what changed: data, model, policy, code or ledger; and finds nothing where nothing did."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

import msgspec
import pytest

from streamgauge.adapters.sqlite.log_rows import row_of
from streamgauge.app.answers import VerifyAnswer
from streamgauge.app.owner import Owner
from streamgauge.app.service import quiet
from streamgauge.app.settings import Place
from tests.faults.conftest import DECISIONS
from tests.faults.lender import APPLICATION_RISK, Sender


def changed(report: VerifyAnswer) -> set[tuple[str, ...]]:
    """Return what is named as changed."""
    return {tuple(one.changed) for one in report.differences}


def test_a_thousand_decisions_verify_without_a_difference(lender: Place) -> None:
    sender = Sender(21, prefix="t")
    with Owner.open(lender) as owner:
        for number in range(1_000):
            owner.decide(f"t-{number}", sender.application(datetime.now(UTC)))
            if number % 5 == 0:
                owner.ingest([sender.event(datetime.now(UTC))])
        report = owner.verify(quiet)
    assert (report.checked, report.match, report.chain) == (1_000 + DECISIONS, 1_000 + DECISIONS, "intact")


def test_an_edited_event_is_named_as_data(lender: Place) -> None:
    with Owner.open(lender) as owner:
        decided = owner.decision("d-7")
        record = owner.log.get(decided.positions["account"])
        assert record is not None
    units = int.from_bytes(record.units, "little") + 100
    edited = msgspec.structs.replace(record, units=units.to_bytes(len(record.units), "little"))
    with closing(sqlite3.connect(lender.log)) as file:  # with the right checksum, as an insider would
        file.execute("UPDATE records SET body = ? WHERE position = ?", (row_of(edited)[3], record.position))
        file.commit()
    with Owner.open(lender) as owner:
        report = owner.verify(quiet)
    assert ("data",) in changed(report)
    assert "d-7" in {one.decision_id for one in report.differences}


def test_an_altered_artefact_is_named_as_model(lender: Place) -> None:
    with Owner.open(lender) as owner:
        part = lender.models / APPLICATION_RISK / "1" / "artefact" / "ensemble.msgpack"
        data = bytearray(part.read_bytes())
        data[-9] ^= 4
        part.write_bytes(data)
        report = owner.verify(quiet)
    assert changed(report) == {("model",)}
    assert report.mismatch == DECISIONS
    assert "ensemble.msgpack" in report.differences[0].detail


def test_an_edited_policy_is_named_as_policy(lender: Place) -> None:
    with Owner.open(lender) as owner:
        policy = lender.models / APPLICATION_RISK / "policies" / "1.json"
        policy.write_text(policy.read_text("utf-8").replace('"refer_below": 0.6', '"refer_below": 0.7'), "utf-8")
        report = owner.verify(quiet)
    assert changed(report) == {("policy",)}


def test_another_kernel_is_named_as_code(lender: Place) -> None:
    with Owner.open(lender) as owner:
        entry = owner.ledger.get("d-3")
        assert entry is not None
        foreign = msgspec.structs.replace(entry.require(), decision_id="foreign", program_sha256="0" * 64)
        owner.ledger.append([foreign])
        report = owner.verify(quiet)
    assert [(one.decision_id, one.changed) for one in report.differences] == [("foreign", ["code"])]


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE bodies SET body = CAST(body || x'00' AS BLOB) WHERE seq = 5", "edited"),
        ("DELETE FROM chain WHERE seq = 9", "9"),
        ("DELETE FROM bodies WHERE seq = 11", "11"),
        ("DELETE FROM chain WHERE seq > 30", "truncated"),
    ],
)
def test_an_edited_deleted_or_cut_ledger_is_located(
    lender: Place, statement: str, broken: str, copied: Callable[[str], Place]
) -> None:
    with closing(sqlite3.connect(lender.ledger)) as file:
        file.execute(statement)
        file.commit()
    with Owner.open(lender) as owner:
        report = owner.verify(quiet)
        named = {part for one in report.differences for part in one.changed}
    assert report.chain != "intact"
    assert broken in report.chain
    assert named <= {"ledger"}
    with Owner.open(copied("untouched")) as owner:
        assert owner.verify(quiet).chain == "intact"
