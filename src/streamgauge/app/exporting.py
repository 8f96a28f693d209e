"""Records as a table: what ``streamgauge export`` writes, and what ``streamgauge sql`` reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamgauge.definitions.schema import NULL
from streamgauge.errors import SettingsError
from streamgauge.events.content import decode_texts
from streamgauge.events.render import OP_NAMES
from streamgauge.features.decode import SchemaBook
from streamgauge.features.sql.terms import columns_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from streamgauge.app.service import Progress
    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.record import Record
    from streamgauge.log.port import Log

_BATCH: Final = 65_536


def export_stream(log: Log, stream: StreamSpec, out: Path, progress: Progress) -> int:
    """Write every record of a stream into a Parquet file, in order of position; return how many.

    A file of that name is replaced once the new one is complete.

    Raises:
        SettingsError: The file's name does not end in .parquet, or its folder does not exist.
        DefinitionError: Older records cannot be read in the stream's present form.
        OSError: The disk refused.
    """
    import pyarrow.parquet as pq

    if out.suffix != ".parquet":
        raise SettingsError(f'Records are exported as Parquet: end "{out.name}" in .parquet.')
    if not out.parent.is_dir():
        raise SettingsError(f"{out} cannot be written: the folder {out.parent} does not exist. Create it first.")
    book = SchemaBook(log.schema)
    fresh = out.with_name(f".{out.name}.new")
    last, position, written = log.last_position(), 0, 0
    try:
        with pq.ParquetWriter(fresh, record_table([], stream, book).schema, compression="zstd") as writer:
            while records := log.read_after(position, _BATCH):
                position = records[-1].position
                found = [record for record in records if record.stream == stream.name and record.position <= last]
                writer.write_table(record_table(found, stream, book))
                written += len(found)
                progress("exporting", min(position, last), last)
                if position >= last:
                    break
        fresh.replace(out)
    finally:
        fresh.unlink(missing_ok=True)
    return written


def record_table(records: Sequence[Record], stream: StreamSpec, book: SchemaBook) -> pa.Table:
    """Return records of one stream as a table: the record's columns, then its payload in the stream's present form.

    Payload columns are int64 units, null for null; a text field also has its text, in ``NAME_text``.
    """
    import numpy as np
    import pyarrow as pa

    columns: dict[str, pa.Array] = {
        "position": pa.array([one.position for one in records], pa.int64()),
        "stream": pa.array([one.stream for one in records], pa.string()),
        "entity": pa.array([one.entity for one in records], pa.string()),
        "event_id": pa.array([one.event_id for one in records], pa.string()),
        "event_time": pa.array([one.event_time for one in records], pa.int64()),
        "sequence": pa.array([one.sequence for one in records], pa.int64()),
        "revision": pa.array([one.revision for one in records], pa.int64()),
        "op": pa.array([OP_NAMES[one.op] for one in records], pa.string()),
        "schema": pa.array([one.schema for one in records], pa.int64()),
        "lateness": pa.array([book.lateness_us(one) for one in records], pa.int64()),
        "accepted_at": pa.array([one.accepted_at for one in records], pa.int64()),
        "known_at": pa.array([one.known_at for one in records], pa.int64()),
        "imported": pa.array([one.imported for one in records], pa.bool_()),
        "digest": pa.array([one.digest.hex() for one in records], pa.string()),
    }
    names = columns_of(stream)
    if records and stream.fields:
        units = book.matrix([one.units for one in records], [one.schema for one in records], stream)
    else:
        units = np.empty((0, len(stream.fields)), np.int64)
    for place, field in enumerate(stream.fields):
        values = units[:, place]
        columns[names[field.name]] = pa.array(values, pa.int64(), mask=values == NULL)
    for field in stream.fields:
        if field.is_text:
            texts = [_text(one, book.spec(one.schema), field.name) for one in records]
            columns[f"{names[field.name]}_text"] = pa.array(texts, pa.string())
    return pa.table(columns)


def _text(record: Record, written: StreamSpec, name: str) -> str | None:
    fields = [field.name for field in written.fields if field.is_text]
    texts = decode_texts(record.texts)
    return dict(zip(fields, texts, strict=False)).get(name)
