from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from streamgauge.adapters.parquet.segments import ParquetSegments
from streamgauge.adapters.sqlite.archived_log import ArchivedLog
from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.events.record import NewRecord, Record
from streamgauge.log.archive import Archive
from streamgauge.log.port import Log, Quarantined
from streamgauge.testing.log_conformance import CHECKS
from streamgauge.testing.role_conformance import ROLE_CHECKS

KEPT, AT_ONCE, GROUP_ROWS = 2, 3, 2


class SealingLog(ArchivedLog):
    """Seals what it can after every batch, a few records at a time."""

    def append(self, records: Sequence[NewRecord], now_us: int) -> list[Record | Quarantined]:
        answers = super().append(records, now_us)
        self.seal(KEPT, max(AT_ONCE, len(answers) // 8))
        return answers


def sealing(folder: Path) -> Log:
    return SealingLog(folder / "events.sqlite", Archive(folder / "archive", lambda: ParquetSegments(GROUP_ROWS)))


OPENERS: dict[type, Callable[[Path], Log]] = {
    SqliteLog: lambda folder: SqliteLog(folder / "events.sqlite"),
    ArchivedLog: sealing,
}


@pytest.mark.parametrize("check", CHECKS + ROLE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", OPENERS, ids=lambda kind: kind.__name__)
def test_a_log_conforms(kind: type, check: Callable[[Callable[[], Log]], None], tmp_path: Path) -> None:
    check(lambda: OPENERS[kind](tmp_path))
