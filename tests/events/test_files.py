from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl
import pytest

from streamgauge.errors import ImportRefused
from streamgauge.events.files import FileBatch, read_file
from streamgauge.testing.streams import MOVEMENT

ROWS = [
    {"id": f"m-{i}", "account": "A-1", "booked_at": "2024-05-01T09:30:00Z", "amount": f"{i}.10", "kind": "card"}
    for i in range(50)
]


def written(path: Path, rows: list[dict[str, str]]) -> Path:
    if path.suffix == ".parquet":
        pl.DataFrame(rows).write_parquet(path)
    elif path.suffix == ".csv":
        pl.DataFrame(rows).write_csv(path)
    else:
        path.write_bytes(b"\n".join(msgspec.json.encode(row) for row in rows))
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_file_is_read_in_its_order_with_each_bad_row_named(tmp_path: Path, suffix: str) -> None:
    rows = [dict(row) for row in ROWS]
    rows[7]["amount"], rows[31]["kind"] = "1.234", "crad"
    batches = list(read_file(written(tmp_path / f"f{suffix}", rows), MOVEMENT, known_after_us=0, rows_at_once=20))
    assert sum(batch.rows for batch in batches) == 50
    assert [r.event_id for b in batches for r in b.records] == [f"m-{i}" for i in range(50) if i not in {7, 31}]
    refused = [row for batch in batches for row in batch.refused]
    assert [(row.row, row.refusal.reason) for row in refused] == [(8, "too_precise"), (32, "unknown_level")]
    assert '"1.234"' in refused[0].body
    assert {r.declared_known_at for b in batches for r in b.records} == {1714555800000000}


def test_every_kind_of_file_gives_the_same_records(tmp_path: Path) -> None:
    parquet, csv, lines = (
        [record for batch in read_file(written(tmp_path / name, ROWS), MOVEMENT) for record in batch.records]
        for name in ("f.parquet", "f.csv", "f.jsonl")
    )
    assert parquet == csv == lines


def test_decimals_of_a_csv_file_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("id,account,booked_at,amount,balance,kind\n1,A,2024-05-01T00:00:00Z,9007199254.99,,card\n")
    (batch,) = read_file(path, MOVEMENT)
    assert int.from_bytes(batch.records[0].units[:8], "little") == 900719925499


def lines_of(tmp_path: Path, content: bytes) -> FileBatch:
    (tmp_path / "f.ndjson").write_bytes(content)
    (batch,) = read_file(tmp_path / "f.ndjson", MOVEMENT)
    return batch


def test_every_bad_line_is_refused_by_its_number(tmp_path: Path) -> None:
    good = msgspec.json.encode(ROWS[0])
    bad = [
        b"{",
        b"\xff\xfe",
        b"[1]",
        b"null",
        b"[" * 100_000,
        b'{"id": "' + b"x" * 2_000_000 + b'"}',
        b'{"amount": 1e999}',
    ]
    batch = lines_of(tmp_path, b"\n\n".join([good, *bad, good]))
    assert [record.event_id for record in batch.records] == ["m-0", "m-0"]
    assert [(row.row, row.refusal.reason) for row in batch.refused][:-1] == [
        (i, "malformed") for i in (3, 5, 7, 9, 11, 13)
    ]
    assert batch.refused[-1].row == 15
    assert all(len(row.body) <= 262_145 and len(str(row.refusal)) < 400 for row in batch.refused)


def test_a_file_that_cannot_be_read_is_refused_whole(tmp_path: Path) -> None:
    (tmp_path / "f.parquet").write_bytes(b"no parquet")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2,3\n")
    (tmp_path / "bytes.csv").write_bytes(b"id,account\n\xff\xfe,1\n")
    for name in ("f.parquet", "ragged.csv", "bytes.csv", "absent.csv", "absent.jsonl"):
        with pytest.raises(ImportRefused):
            list(read_file(tmp_path / name, MOVEMENT))
    with pytest.raises(ImportRefused, match=r"\.xlsx.*Known: \.parquet"):
        list(read_file(tmp_path / "f.xlsx", MOVEMENT))


def test_a_column_that_the_stream_lacks_refuses_the_file(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match='Did you mean "amount"'):
        list(read_file(written(tmp_path / "f.csv", [{**row, "ammount": "1"} for row in ROWS]), MOVEMENT))
