from pathlib import Path

from streamgauge.adapters.lmdb.store import LmdbStateStore
from streamgauge.features.store import StateStore
from streamgauge.testing.store_conformance import StateStoreConformance


class TestLmdbStateStore(StateStoreConformance):
    def open_store(self, folder: Path, layout_digest: str) -> StateStore:
        return LmdbStateStore(folder, layout_digest)
