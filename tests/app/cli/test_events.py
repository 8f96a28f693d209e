"""``streamgauge import``, ``ingest`` and ``quarantine``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from streamgauge.testing.portfolio import small_history
from tests.app.cli.conftest import answer, command, refusal


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("events") / "new"
    command("init", root)
    return root


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for stream, frame in small_history(borrowers=8, days=40).items():
        frame.write_parquet(folder / f"{stream}.parquet")
    return folder


def loan(number: int, **more: Any) -> dict[str, Any]:
    event = {"id": f"n-{number}", "account": "acc-new", "paid_at": datetime.now(UTC) - timedelta(minutes=1)}
    return {**event, "application": "a-1", **more}


def test_an_import_declares_its_arrival_by_a_column(root: Path, files: Path) -> None:
    imported = answer(
        "import", files / "Movement.parquet", "--stream", "Movement", "--known-at", "known_at", "-C", root
    )
    assert imported["accepted"] == len(pl.read_parquet(files / "Movement.parquet"))
    assert imported["entities"] == 8
    assert imported["quarantined"] == 0


def test_an_import_declares_its_arrival_by_a_duration(root: Path, files: Path) -> None:
    plain = pl.read_parquet(files / "Application.parquet").drop("known_at")
    plain.write_csv(files / "Application.csv")
    imported = answer("import", files / "Application.csv", "--stream", "Application", "--known-after", "2h", "-C", root)
    assert imported["accepted"] == len(plain)


def test_an_import_without_an_arrival_is_refused_with_why(root: Path, files: Path) -> None:
    message = refusal("import", files / "Loan.parquet", "--stream", "Loan", "-C", root)
    assert "known" in message
    both = ("--known-at", "known_at", "--known-after", "2h")
    assert "exclude each other" in refusal(
        "import", files / "Loan.parquet", "--stream", "Loan", *both, "-C", root, code=2
    )


def test_an_unknown_stream_is_refused_with_the_close_one(root: Path, files: Path) -> None:
    message = refusal("import", files / "Loan.parquet", "--stream", "Laon", "--known-at", "known_at", "-C", root)
    assert 'Did you mean "Loan"?' in message


def test_a_file_that_is_not_there_is_a_usage_error(root: Path) -> None:
    assert "missing.csv" in refusal("ingest", "missing.csv", "--stream", "Loan", "-C", root, code=2)


def test_events_known_now_are_ingested_and_repeats_counted(root: Path, tmp_path: Path) -> None:
    pl.DataFrame([loan(1), loan(2)]).write_parquet(tmp_path / "loans.parquet")
    first = answer("ingest", tmp_path / "loans.parquet", "--stream", "Loan", "-C", root)
    assert (first["accepted"], first["duplicates"]) == (2, 0)
    again = command("ingest", tmp_path / "loans.parquet", "--stream", "Loan", "-C", root)
    assert "2 known already" in again.stdout


def test_refused_rows_are_shown_and_found_in_the_quarantine(root: Path, tmp_path: Path) -> None:
    late = datetime.now(UTC) - timedelta(days=90)
    pl.DataFrame([loan(3), loan(4, paid_at=late)]).write_parquet(tmp_path / "loans.parquet")
    shown = command("ingest", tmp_path / "loans.parquet", "--stream", "Loan", "-C", root)
    assert shown.exit_code == 0
    assert "1 quarantined" in shown.stdout
    assert "– too_late" in " ".join(shown.stdout.split()), "the log does not know the row"
    [newest, *_] = answer("quarantine", "list", "--last", "1", "-C", root)
    assert (newest["reason"], newest["event_id"]) == ("too_late", "n-4")
    one = answer("quarantine", "show", newest["number"], "-C", root)
    assert one["detail"] == newest["detail"]
    assert "n-4" in command("quarantine", "list", "-C", root).stdout
    assert "too_late" in command("quarantine", "show", newest["number"], "-C", root).stdout


def test_a_file_of_which_nothing_is_accepted_fails(root: Path, tmp_path: Path) -> None:
    late = datetime.now(UTC) - timedelta(days=90)
    pl.DataFrame([loan(5, paid_at=late)]).write_parquet(tmp_path / "loans.parquet")
    assert "no event was accepted" in refusal("ingest", tmp_path / "loans.parquet", "--stream", "Loan", "-C", root)


def test_an_unknown_number_of_the_quarantine_is_refused(root: Path) -> None:
    assert "999999" in refusal("quarantine", "show", 999_999, "-C", root)
