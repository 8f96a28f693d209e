"""Files of events: Parquet, CSV and JSON Lines, some rows at a time, so that memory does not grow with the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec
import polars as pl

from streamgauge.errors import EventRejected, ImportRefused
from streamgauge.events.arrival import LIVE, Arrival
from streamgauge.events.body import body_of
from streamgauge.events.frames import validate_frame, validate_imported
from streamgauge.events.validate import StreamValidator, stream_validator
from streamgauge.events.values import shown

if TYPE_CHECKING:
    from pathlib import Path

    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.record import NewRecord

ROWS_AT_ONCE: Final = 200_000
LINE_BYTES: Final = 1_048_576
"""The longest line of a JSON Lines file."""

PARQUET: Final = (".parquet", ".pq")
CSV: Final = (".csv",)
JSON_LINES: Final = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that is not accepted.

    Attributes:
        row: Its number, from 1: the row of data in a table, the line in a JSON Lines file.
        refusal: Why.
        body: The row as text, bounded.
        arrival: What its file declared of it.
    """

    row: int
    refusal: EventRejected
    body: str
    arrival: Arrival = LIVE


@dataclass(frozen=True, slots=True)
class FileBatch:
    """Some rows of a file.

    Attributes:
        rows: How many rows were read, accepted or not.
        records: The accepted ones, in the file's order.
        refused: The others.
    """

    rows: int
    records: Sequence[NewRecord]
    refused: list[RefusedRow]


def read_file(
    path: Path,
    spec: StreamSpec,
    *,
    known_after_us: int | None = None,
    known_at: str | None = None,
    rows_at_once: int = ROWS_AT_ONCE,
) -> Iterator[FileBatch]:
    """Yield a file's events as records of a stream, some rows at a time; live ones unless an arrival is declared.

    Args:
        path: A Parquet, CSV or JSON Lines file, told by its suffix. A CSV file is read as text: its decimals are exact.
        spec: The stream.
        known_after_us: How long after its event time each record became known, µs.
        known_at: The column that holds when each record became known.
        rows_at_once: How many rows make a batch, roughly.

    Raises:
        ImportRefused: The file cannot be read, or its columns are not the stream's.
    """
    if path.suffix.lower() in JSON_LINES:
        yield from _read_lines(path, spec, known_after_us, known_at, rows_at_once)
        return
    done = 0
    arrival = Arrival(known_after_us, known_at)
    for frame in read_frames(path, rows_at_once):
        result = validate_frame(frame, spec, known_after_us=known_after_us, known_at=known_at)
        rows = [row for row, _ in result.rejected]
        bodies = (body_of(event) for event in frame[rows].iter_rows(named=True))
        refused = [
            RefusedRow(done + row + 1, refusal, body, arrival)
            for (row, refusal), body in zip(result.rejected, bodies, strict=True)
        ]
        yield FileBatch(len(frame), result.records, refused)
        done += len(frame)


def read_frames(path: Path, rows_at_once: int = ROWS_AT_ONCE) -> Iterator[pl.DataFrame]:
    """Yield a Parquet or CSV file's rows in order, some at a time; all columns of a CSV file are text.

    Raises:
        ImportRefused: The file cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix not in PARQUET + CSV:
        known = ", ".join(PARQUET + CSV + JSON_LINES)
        raise ImportRefused(f"{path.name} has the suffix {shown(suffix)}. Known: {known}.")
    try:
        table = pl.scan_parquet(path) if suffix in PARQUET else pl.scan_csv(path, infer_schema=False)
        yield from table.collect_batches(chunk_size=rows_at_once, maintain_order=True)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).partition("\n")[0]
        raise ImportRefused(
            f"{path.name} cannot be read: {reason}. Check the file, or convert it to Parquet."
        ) from error


def _read_lines(
    path: Path, spec: StreamSpec, known_after_us: int | None, known_at: str | None, rows_at_once: int
) -> Iterator[FileBatch]:
    """Yield a JSON Lines file's events; a line is judged by itself, as one that is sent to the API."""
    validator = stream_validator(spec)
    records: list[NewRecord] = []
    refused: list[RefusedRow] = []
    rows = 0
    arrival = Arrival(known_after_us, known_at)
    try:
        with path.open("rb") as file:
            for row, line in _lines(file):
                rows += 1
                try:
                    records.append(_record(line, validator, known_after_us, known_at))
                except EventRejected as refusal:
                    refused.append(RefusedRow(row, refusal.with_traceback(None), body_of(line), arrival))
                if rows == rows_at_once:
                    yield FileBatch(rows, records, refused)
                    records, refused, rows = [], [], 0
    except OSError as error:
        raise ImportRefused(
            f"{path.name} cannot be read: {error.strerror}. Check the path and its permissions."
        ) from error
    if rows:
        yield FileBatch(rows, records, refused)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the number and bytes of each line that is not empty; of a line that is too long, one byte too many."""
    number = 0
    while line := file.readline(LINE_BYTES + 1):
        number += 1
        if len(line) > LINE_BYTES:
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(LINE_BYTES)
        if line.strip():
            yield number, line


def _record(line: bytes, validator: StreamValidator, known_after_us: int | None, known_at: str | None) -> NewRecord:
    """Return the record of one line.

    Raises:
        EventRejected: It cannot be accepted.
    """
    if len(line) > LINE_BYTES:
        raise EventRejected(f"The line is longer than {LINE_BYTES} bytes. Send one event a line.", reason="malformed")
    try:
        event = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventRejected(
            f"The line is no JSON: {str(error)[:200]}. Send one object a line.", reason="malformed"
        ) from None
    if not isinstance(event, dict):
        raise EventRejected(f"The line is {shown(event)}. Send one object a line.", reason="malformed")
    return validate_imported(event, validator, known_after_us, known_at)
