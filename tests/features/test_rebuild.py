from pathlib import Path

import numpy as np

from streamgauge.adapters.lmdb.store import LmdbStateStore
from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.errors import BeyondState
from streamgauge.features.decode import SchemaBook
from streamgauge.features.rebuild import damaged_entities, rebuild_store
from streamgauge.features.state import EntityState
from tests.features.logs import BOUND, LAYOUT, LAYOUTS, filled_log


def streamed(log: SqliteLog, entity: str) -> EntityState:
    book = SchemaBook(log.schema)
    records = log.read_entity(entity)
    state = EntityState(LAYOUT)
    for number, one in enumerate(records):
        try:
            state.apply(one, book)
        except BeyondState:
            state = EntityState.rebuild(LAYOUT, records[: number + 1], book)
    return state


def test_every_state_is_rebuilt_as_if_it_had_been_streamed(tmp_path: Path) -> None:
    log = filled_log(tmp_path)
    store = LmdbStateStore(tmp_path / "states", LAYOUTS.digest)
    store.put_batch({"account:gone": b"left over"}, watermark=1)
    done: list[tuple[int, int]] = []
    assert (
        rebuild_store(log, LAYOUTS, store, chunk_records=100, progress=lambda *step: done.append(step))
        == log.last_position()
    )
    assert done[-1] == (12, 12)
    assert len(done) > 2
    assert sorted(store.entities()) == log.entities()
    assert store.watermark() == log.last_position()
    for entity in log.entities():
        kept = store.get(entity)
        assert kept is not None
        state, expected = EntityState.decode(LAYOUT, kept), streamed(log, entity)
        t = expected.clock_floor
        assert (state.last_position, state.clock_floor) == (expected.last_position, t)
        assert state.compute(BOUND, t).tobytes() == expected.compute(BOUND, t).tobytes()
        assert np.isfinite(state.compute(BOUND, t)).all()
    store.close()
    log.close()


def test_named_entities_are_rebuilt_and_the_others_and_the_watermark_left(tmp_path: Path) -> None:
    log = filled_log(tmp_path)
    store = LmdbStateStore(tmp_path / "states", LAYOUTS.digest)
    store.put_batch({"account:01": b"old", "account:02": b"kept"}, watermark=7)
    rebuild_store(log, LAYOUTS, store, ["account:01"])
    assert store.get("account:02") == b"kept"
    assert store.watermark() == 7
    assert EntityState.decode(LAYOUT, store.get("account:01") or b"").last_position > 0
    rebuild_store(log, LAYOUTS, store, [])
    assert sorted(store.entities()) == ["account:01", "account:02"]
    store.close()
    log.close()


def test_damaged_states_are_named(tmp_path: Path) -> None:
    log = filled_log(tmp_path, entities=3)
    store = LmdbStateStore(tmp_path / "states", LAYOUTS.digest)
    rebuild_store(log, LAYOUTS, store)
    assert damaged_entities(store) == []
    data = bytearray(store.get("account:01") or b"")
    data[len(data) // 2] ^= 1
    store.put_batch({"account:01": bytes(data)})
    assert damaged_entities(store) == ["account:01"]
    store.close()
    log.close()
