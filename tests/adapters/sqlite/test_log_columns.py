import zlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from streamgauge.adapters.sqlite.log_columns import batch_of
from streamgauge.adapters.sqlite.log_rows import row_of
from streamgauge.errors import LogDamaged
from streamgauge.events.record import Record
from streamgauge.testing.records import record
from tests.features.logs import filled_log

EDGES = (0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**31, 2**32, 2**62, -1, -32, -33, -128, -129, -40_000, -(2**40))


def rows_of(records: list[Record]) -> list[tuple[int, bytes, bytes]]:
    return [(position, entity.encode(), body) for position, entity, _, body in map(row_of, records)]


def test_rows_decode_to_what_was_written(tmp_path: Path) -> None:
    log = filled_log(tmp_path)
    held = dict(log.read_by_entity())
    assert list(held) == log.entities()
    assert all(records == log.read_entity(entity) for entity, records in held.items())
    log.close()


def test_numbers_and_lengths_of_every_width_decode() -> None:
    records = [
        record("é" * (width % 300 or 1), at, sequence=width, units=[1] * (abs(width) % 70), position=n + 1)
        for n, (at, width) in enumerate(product(EDGES, (3, 31, 32, 255, 256, 70_000, -5)))
    ]
    assert batch_of(rows_of(records)).records({1: "Movement"}) == records


def test_every_changed_byte_is_found() -> None:
    rows = rows_of([record("m-1", 10**15, units=[5, 6], position=3), record("m-2", 10**15, position=4)])
    position, entity, body = rows[1]
    for place in range(len(body)):
        changed = bytearray(body)
        changed[place] ^= 16
        with pytest.raises(LogDamaged, match="position 4 "):
            batch_of([rows[0], (position, entity, bytes(changed))])
    for wrong in ((position, b"account:B", body), (position, entity, b""), (position, entity, body[:-1])):
        with pytest.raises(LogDamaged):
            batch_of([wrong])
    with pytest.raises(LogDamaged):
        batch_of([(position + 1, entity, body)])


def test_the_checksum_is_zlibs() -> None:
    body = row_of(record("m-1", 5, position=2**40 + 7))[3]
    check = zlib.crc32(body[:-4], zlib.crc32(b"account:A", (2**40 + 7) & 0xFFFFFFFF))
    assert int(np.frombuffer(body[-4:], "<u4")[0]) == check
    assert len(batch_of([(2**40 + 7, b"account:A", body)])) == 1
