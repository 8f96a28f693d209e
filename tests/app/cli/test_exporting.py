"""``streamgauge export`` and ``streamgauge sql``."""

from __future__ import annotations

import struct
from pathlib import Path

import duckdb
import polars as pl
import pytest

from streamgauge.definitions.loader import load_project
from streamgauge.testing.portfolio import small_history
from tests.app.cli.conftest import answer, command, refusal

AS_OF = "2026-01-01T00:00:00Z"
EVERY = 6
"""Every sixth feature is compared."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exporting")
    root = folder / "new"
    command("init", root)
    for stream, frame in small_history(borrowers=8, days=200).items():
        frame.write_parquet(folder / f"{stream}.parquet")
        answer("import", folder / f"{stream}.parquet", "--stream", stream, "--known-at", "known_at", "-C", root)
    return root


def test_records_are_exported_with_their_texts_and_when_they_became_known(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "Movement.parquet"
    told = answer("export", "--stream", "Movement", "--out", out, "-C", root)
    frame = pl.read_parquet(out)
    assert told["records"] == len(frame) > 0
    assert frame["position"].is_sorted()
    assert frame["known_at"].le(frame["accepted_at"]).all()
    assert frame["amount"].dtype == pl.Int64
    assert frame["counterparty_text"].is_not_null().any()
    assert f"{len(frame):,} records of Movement" in command("export", "-s", "Movement", "-o", out, "-C", root).stdout


def test_a_query_over_exported_records_gives_the_bits_that_are_served(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = load_project(next(root.glob("*.py")))
    for stream in project.streams:
        answer("export", "--stream", stream, "--out", tmp_path / f"{stream}.parquet", "-C", root)
    monkeypatch.chdir(tmp_path)
    entities = pl.read_parquet("Movement.parquet")["entity"].unique().sort().to_list()
    assert len(entities) == 8
    served = {key: answer("features", key.partition(":")[2], "--as-of", AS_OF, "-C", root) for key in entities}
    for name in list(project.features)[::EVERY]:
        query = command("sql", name, "--as-of", AS_OF, "-C", root).stdout
        assert AS_OF in query
        with duckdb.connect(config={"threads": 1}) as base:
            rows = base.execute(query).fetchall()
            found = dict(rows)
            assert len(rows) == len(found), "one row an entity"
        told = {key: held["features"][name] for key, held in served.items()}
        assert {key: bits(found.get(key)) for key in entities} == {key: bits(value) for key, value in told.items()}


def test_a_query_is_of_one_entity_if_asked(root: Path) -> None:
    query = command("sql", "CashFlow.inflow_cv", "--entity", "acc-00001", "-C", root).stdout
    assert "WHERE entity = 'account:acc-00001'" in query


def test_an_unknown_feature_or_stream_is_refused_with_the_close_one(root: Path, tmp_path: Path) -> None:
    assert 'Did you mean "CashFlow.inflow_cv"?' in refusal("sql", "CashFlow.inflow_vc", "-C", root)
    out = tmp_path / "x.parquet"
    assert 'Did you mean "Movement"?' in refusal("export", "--stream", "Movment", "--out", out, "-C", root)


def test_an_export_goes_into_an_existing_folder_as_parquet(root: Path, tmp_path: Path) -> None:
    assert ".parquet" in refusal("export", "-s", "Loan", "-o", tmp_path / "x.csv", "-C", root)
    assert "does not exist" in refusal("export", "-s", "Loan", "-o", tmp_path / "no" / "x.parquet", "-C", root)


def bits(value: float | None) -> bytes | None:
    return None if value is None else struct.pack("<d", value)
