"""Records as Parquet's columns, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from streamgauge.events.batch import NUMBERS, RecordBatch
from streamgauge.events.cells import Bytes, Cells, Ints, starts_of

if TYPE_CHECKING:
    from streamgauge.events.batch import Words

SMALL: Final = {"op": pa.uint8(), "imported": pa.bool_(), "schema": pa.int32(), "revision": pa.int64()}
SCHEMA: Final = pa.schema(
    [
        pa.field("entity", pa.string(), nullable=False),
        pa.field("event_id", pa.string(), nullable=False),
        *(pa.field(name, SMALL.get(name, pa.int64()), nullable=False) for name in NUMBERS),
        pa.field("units", pa.binary(), nullable=False),
        pa.field("texts", pa.binary(), nullable=False),
        pa.field("row_check", pa.uint64(), nullable=False),
    ]
)
"""One row a record; `units` and `texts` are `Record`'s, a digest two little-endian words."""

DELTAS: Final = ("position", "event_time", "accepted_at", "known_at", "sequence")
PLAIN: Final = ("digest_low", "digest_high", "row_check", "units", "event_id", "texts")
DICTIONARIES: Final = ["entity", "schema", "revision"]


def table_of(batch: RecordBatch) -> Any:  # noqa: ANN401 - pyarrow ships no types
    """Return a batch as an Arrow table."""
    keys = Cells.of([key.encode() for key in batch.entities]).take(batch.owner).packed()
    columns = [_strings(keys, pa.string()), _strings(batch.event_id.packed(), pa.string())]
    for name, numbers in zip(NUMBERS, batch.numbers, strict=True):
        column = pa.array(np.ascontiguousarray(numbers))
        columns.append(column.cast(SMALL[name]) if name in SMALL else column)
    columns += [_strings(batch.units.packed(), pa.binary()), _strings(batch.texts.packed(), pa.binary())]
    columns.append(pa.array(batch.checks()))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def batch_of(table: Any) -> tuple[RecordBatch, Words]:  # noqa: ANN401
    """Return an Arrow table, sorted by entity, as a batch, and the checksums that were written with its rows."""
    table = table.combine_chunks()
    names, offsets = _entities(table.column("entity"))
    numbers = np.empty((len(NUMBERS), table.num_rows), np.int64)
    for index, name in enumerate(NUMBERS):
        numbers[index] = numbers_of(table.column(name))
    batch = RecordBatch(
        names,
        offsets,
        numbers,
        *(_cells(_whole(table.column(name))) for name in ("event_id", "units", "texts")),
    )
    return batch, _numbers(_whole(table.column("row_check")))


def numbers_of(column: Any) -> Ints:  # noqa: ANN401
    """Return a column of integers or truth values as int64."""
    found: Ints = _numbers(_whole(column)).astype(np.int64)
    return found


def runs_of(column: Any) -> list[str]:  # noqa: ANN401
    """Return the entities of a sorted column, each once."""
    return _entities(column)[0]


def _entities(column: Any) -> tuple[list[str], Ints]:  # noqa: ANN401
    """Return the entities of a sorted column, and where the rows of each begin."""
    whole = _whole(column)
    coded = whole if isinstance(whole, pa.DictionaryArray) else whole.dictionary_encode()
    codes = _numbers(coded.indices)
    first = np.flatnonzero(np.append(True, codes[1:] != codes[:-1])) if len(codes) else np.empty(0, np.int64)
    names: list[str] = coded.dictionary.take(pa.array(codes[first])).to_pylist() if len(codes) else []
    return names, np.append(first, len(codes)).astype(np.int64)


def _numbers(array: Any) -> Any:  # noqa: ANN401
    """Return an Arrow array of numbers or truth values, none of them null, as NumPy's.

    Arrow's own ``to_numpy`` imports pandas where it is installed, which a start would wait for.
    """
    return np.from_dlpack(array.cast(pa.uint8()) if pa.types.is_boolean(array.type) else array)


def _whole(column: Any) -> Any:  # noqa: ANN401
    """Return a column as one array."""
    if column.num_chunks == 1:
        return column.chunk(0)
    found = column.combine_chunks()
    return found if not isinstance(found, pa.ChunkedArray) else pa.array([], column.type)


def _strings(cells: Cells, kind: Any) -> Any:  # noqa: ANN401
    """Return packed cells as an Arrow array."""
    ends = np.append(cells.start, len(cells.data)).astype(np.int32)
    return pa.Array.from_buffers(kind, len(cells), [None, pa.py_buffer(ends), pa.py_buffer(cells.data)])


def _cells(array: Any) -> Cells:  # noqa: ANN401
    """Return an Arrow array of texts or bytes as cells."""
    _, ends, data = array.buffers()
    width = np.int64 if pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type) else np.int32
    offsets = np.frombuffer(ends, width)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    held: Bytes = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    return Cells(held, offsets[:-1], np.diff(offsets)) if len(array) else Cells(held, *2 * (starts_of(offsets[:0]),))
