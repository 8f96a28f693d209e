"""Frames: a million events at once, from Polars or anything with the Arrow PyCapsule interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl

from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.texts import hash_text
from streamgauge.errors import EventRejected, ImportRefused, close_match
from streamgauge.events import columns
from streamgauge.events.content import encode_texts
from streamgauge.events.record import DELETE, INSERT, REPLACE, NewRecord
from streamgauge.events.record_columns import CHUNK, RecordColumns, TextColumn
from streamgauge.events.unknown import json_type
from streamgauge.events.validate import ENVELOPE, OPS, REVISION_LIMIT, StreamValidator, stream_validator
from streamgauge.events.values import parse_time, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FrameResult:
    """What became of a frame.

    Attributes:
        records: The accepted records, in the frame's order.
        rejected: The row (from 0) and the refusal of each other one.
    """

    records: Sequence[NewRecord]
    rejected: list[tuple[int, EventRejected]]


def as_frame(data: object) -> pl.DataFrame:
    """Return a Polars frame of a frame: Polars, or anything with the Arrow PyCapsule interface, pandas included.

    Raises:
        ImportRefused: It is none.
    """
    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        return pl.DataFrame(cast("Any", data))
    raise ImportRefused(f"{shown(data)} is no frame. Pass a Polars, pandas or Arrow table.".capitalize())


def validate_import(
    frame: pl.DataFrame, spec: StreamSpec, *, known_after_us: int | None = None, known_at: str | None = None
) -> FrameResult:
    """Return the records of imported history, whose arrival is declared.

    Raises:
        ImportRefused: Neither arrival is declared, or both are, or the frame's columns are not the stream's.
    """
    refuse_undeclared(known_after_us, known_at)
    return validate_frame(frame, spec, known_after_us=known_after_us, known_at=known_at)


def refuse_undeclared(known_after_us: int | None, known_at: str | None) -> None:
    """Refuse an import that does not say, in one way, when its records became known.

    Raises:
        ImportRefused: It does not.
    """
    if known_after_us is None and known_at is None:
        raise ImportRefused(
            "History without its arrival gives false training rows: "
            "a model would learn from what nobody knew yet at the time. "
            'Say how long after its event time each record became known (known_after="2h"), '
            "or name the column that holds the moment (known_at)."
        )
    if known_after_us is not None and known_at is not None:
        raise ImportRefused("Both known_after and known_at are given. Give the one that is true.")
    if known_after_us is not None and known_after_us < 0:
        raise ImportRefused(
            f"known_after is {known_after_us} µs: a record cannot become known before its event. Give 0 or more."
        )


def validate_frame(
    frame: pl.DataFrame, spec: StreamSpec, *, known_after_us: int | None = None, known_at: str | None = None
) -> FrameResult:
    """Return the records of a frame and the rows that are refused; live records unless an arrival is declared.

    Args:
        frame: One event a row: the stream's fields by name, and ``sequence revision op stream`` where there are. Money
            and numbers may be integers, floats, decimals or text; ids may be integers; NaN is null; null is absent.
        spec: The stream.
        known_after_us: How long after its event time each record became known, µs.
        known_at: The column that holds when each record became known.

    Raises:
        ImportRefused: A column is missing, unknown, or of a type that can hold none of its values.

    >>> from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
    >>> paid = StreamSpec("Paid", "id", "client", "at", (FieldSpec("amount", FieldKind.MONEY, 2),), 10**12, 10**9)
    >>> frame = pl.DataFrame(
    ...     {"id": [1, 2], "client": ["C-7", ""], "at": ["2024-05-01T00:00:00Z"] * 2, "amount": [9.9, 1.0]}
    ... )
    >>> result = validate_frame(frame, paid, known_after_us=0)
    >>> len(result.records), result.records[0].entity, [(row, str(error)) for row, error in result.rejected]
    (1, 'client:C-7', [(1, 'Paid.client is empty. Give every event an id.')])
    """
    unknown = _check_columns(frame, spec, known_at)
    frame = _normalised(_without_ignored(frame, spec, unknown), spec, known_at)
    # What is kept beside the fields is put together row by row.
    sure = np.full(len(frame), not (unknown and spec.unknown == "keep"), np.bool_)
    event_time = _moments(frame, spec, spec.event_time, sure)
    for name in (spec.event_id, *spec.roles):
        sure &= columns.sure_ids(frame[name]).to_numpy()
    arrival = event_time + known_after_us if known_after_us is not None else None
    if known_at is not None:
        arrival = _moments(frame, spec, known_at, sure)
    units, texts = _payload(frame, spec, sure)
    sequence, revision = _envelope(frame, spec, sure)
    single, rejected = _alone(frame, stream_validator(spec), np.flatnonzero(~sure), known_after_us, known_at)
    sure[list(single)] = True
    records = RecordColumns(
        stream=spec.name,
        rows=np.flatnonzero(sure),
        entity=(f"{spec.entity}:" + frame[spec.entity]),
        event_id=frame[spec.event_id],
        event_time=event_time,
        sequence=sequence,
        revision=revision,
        units=units,
        texts=texts,
        known_at=arrival,
        single=single,
    )
    return FrameResult(records, rejected)


def _check_columns(frame: pl.DataFrame, spec: StreamSpec, known_at: str | None) -> list[str]:
    """Refuse a frame whose columns are not the stream's; return those that it need not know."""
    required = [spec.event_id, *spec.roles, spec.event_time]
    optional = [*ENVELOPE]
    for field in (one for one in spec.fields if one.name not in spec.roles):
        (required if field.required and "op" not in frame.columns else optional).append(field.name)
    if known_at is not None:
        required.append(known_at)
    for name in required:
        if name not in frame.columns:
            raise ImportRefused(
                f'There is no column "{name}", which {spec.name} needs. {close_match(name, frame.columns)}'
            )
    known = {*required, *optional}
    unknown = [name for name in frame.columns if name not in known]
    if spec.unknown == "refuse":
        for name in unknown:
            raise ImportRefused(
                f'{spec.name} has no field for the column "{name}". {close_match(name, known)} '
                'Rename, drop or declare it, or declare the stream with unknown="ignore" or "keep".'
            )
    return unknown


def _without_ignored(frame: pl.DataFrame, spec: StreamSpec, unknown: list[str]) -> pl.DataFrame:
    """Return a frame without the columns that are ignored, which are noticed."""
    if spec.unknown != "ignore":
        return frame
    for name in unknown:
        values = frame[name].drop_nulls()
        if len(values):
            stream_validator(spec).unknown.notice(name, json_type(values[0]), len(values))
    return frame.drop(unknown)


def _normalised(frame: pl.DataFrame, spec: StreamSpec, known_at: str | None) -> pl.DataFrame:
    """Return the frame with one type for each kind of column, and all optional columns there."""
    frame = frame.with_columns(pl.col(pl.Null).cast(pl.String))
    kinds = {field.name: field for field in spec.fields}
    unknown = set(frame.columns) - {*ENVELOPE, spec.event_id, *spec.roles, spec.event_time, known_at, *kinds}
    done: list[pl.Series] = []
    for column in frame:
        if column.name in unknown:
            done.append(column)
        elif column.name in {spec.event_time, known_at}:
            done.append(columns.as_moment(column))
        elif column.name in {"sequence", "revision"}:
            done.append(columns.as_number(column))
        elif column.name in {spec.event_id, spec.entity, "stream", "op"} or _is_text(kinds[column.name]):
            done.append(columns.as_text(column))
        else:
            done.append(columns.as_number(column, flag=kinds[column.name].kind is FieldKind.FLAG))
    absent = [field.name for field in spec.fields if field.name not in frame.columns]
    return pl.DataFrame(done).with_columns(pl.lit(None, pl.String).alias(name) for name in absent)


def _is_text(field: FieldSpec) -> bool:
    """Return whether a field's values arrive as text."""
    return field.is_text or field.kind is FieldKind.CATEGORY


def _moments(frame: pl.DataFrame, spec: StreamSpec, name: str, sure: Bools) -> Ints:
    """Return a column's moments, 0 for rows that are not sure."""
    found = columns.moments(frame[name], spec.zone)
    sure &= found.is_not_null().to_numpy()
    return found.fill_null(0).to_numpy()


def _payload(frame: pl.DataFrame, spec: StreamSpec, sure: Bools) -> tuple[Ints, tuple[TextColumn, ...]]:
    """Return the units of all fields, shape (rows, fields), and their texts."""
    units = np.empty((len(frame), len(spec.fields)), np.int64)
    texts: list[TextColumn] = []
    for index, field in enumerate(spec.fields):
        column = frame[field.name]
        if field.is_text:
            plain = columns.sure_ids(column) if field.kind is FieldKind.REF else columns.sure_texts(column)
            text, found = _coded(column.set(~plain, None))
            texts.append(text)
        elif field.levels is not None:
            found = columns.level_codes(column, field.levels)
        else:
            found = columns.number_units(column, field)
        absent = column.is_null().to_numpy()
        sure &= found.is_not_null().to_numpy() | (absent & (not field.required))
        units[:, index] = found.fill_null(field.default).to_numpy()
    return units, tuple(texts)


def _coded(column: pl.Series) -> tuple[TextColumn, pl.Series]:
    """Return the distinct texts of a column with each row's code, and the hashes as units."""
    distinct = column.drop_nulls().unique()
    codes = column.cast(pl.Enum(distinct)).to_physical().cast(pl.Int64)
    known = distinct.to_list()
    hashes = pl.Series([hash_text(text) for text in known], dtype=pl.Int64)
    encoded = [encode_texts([text])[1:] for text in known] + [encode_texts([None])[1:]]
    return TextColumn(encoded, codes.fill_null(len(known)).to_numpy()), hashes.gather(codes)


def _envelope(frame: pl.DataFrame, spec: StreamSpec, sure: Bools) -> tuple[Ints, Ints]:
    """Return sequences and revisions; deletes and whatever does not plainly fit are not sure."""
    if "stream" in frame.columns:
        sure &= (frame["stream"].fill_null(spec.name) == spec.name).to_numpy()
    whole: dict[str, Ints] = {}
    for name in ("sequence", "revision"):
        if name in frame.columns:
            found = frame[name].cast(pl.Int64, strict=False) if frame[name].dtype.is_integer() else _whole(frame[name])
            sure &= (found.is_not_null() | frame[name].is_null()).to_numpy()
            whole[name] = found.fill_null(0).to_numpy()
        else:
            whole[name] = np.zeros(len(frame), np.int64)
    revision = whole["revision"]
    sure &= (revision >= 0) & (revision <= REVISION_LIMIT) & (whole["sequence"] != np.iinfo(np.int64).min)
    if "op" in frame.columns:
        op = frame["op"].replace_strict(list(OPS), list(OPS.values()), default=DELETE, return_dtype=pl.Int64)
        expected = np.where(revision > 0, REPLACE, INSERT)
        sure &= (op.to_numpy() == expected) | frame["op"].is_null().to_numpy()
    return whole["sequence"], revision


def _whole(column: pl.Series) -> pl.Series:
    """Return the integers of a text or float column, null where it has none."""
    if column.dtype == pl.String:
        return column.set(~column.str.contains(r"^[+-]?[0-9]{1,18}$"), None).cast(pl.Int64, strict=False)
    found = column.cast(pl.Int64, strict=False)
    return found.set((found.cast(pl.Float64) != column.cast(pl.Float64)) | (found.abs() > 2**53), None)


def _alone(
    frame: pl.DataFrame, validator: StreamValidator, rows: Ints, known_after_us: int | None, known_at: str | None
) -> tuple[dict[int, NewRecord], list[tuple[int, EventRejected]]]:
    """Return the records of rows that are looked at one by one, and those that are refused."""
    single: dict[int, NewRecord] = {}
    rejected: list[tuple[int, EventRejected]] = []
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        for row, event in zip(chunk.tolist(), frame[chunk].iter_rows(named=True), strict=True):
            try:
                single[row] = validate_imported(event, validator, known_after_us, known_at)
            except EventRejected as refusal:
                rejected.append((row, refusal.with_traceback(None)))
    return single, rejected


def validate_imported(
    event: dict[str, object], validator: StreamValidator, known_after_us: int | None, known_at: str | None
) -> NewRecord:
    """Return the record of one row, with its declared arrival, if any.

    Raises:
        EventRejected: It cannot be accepted.
    """
    spec = validator.spec
    stream = event.get("stream")
    if stream is not None and stream != spec.name:
        raise EventRejected(
            f"stream is {shown(stream)} among events of {spec.name}. Load each stream by itself.",
            reason="unknown_stream",
            field="stream",
        )
    declared = None
    if known_at is not None:
        value = event.get(known_at)
        if value is None:
            raise EventRejected(
                f'{spec.name} has no "{known_at}". Say when the record became known.',
                reason="missing_field",
                field=known_at,
            )
        declared = parse_time(value, spec.zone, known_at)
        event = {name: value for name, value in event.items() if name != known_at}
    elif known_after_us is not None:
        moment = event.get(spec.event_time)
        declared = known_after_us + (0 if moment is None else parse_time(moment, spec.zone, spec.event_time))
    return validator.validate(event, declared)
