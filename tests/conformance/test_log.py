from collections.abc import Callable
from pathlib import Path

import pytest

from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.log.port import Log
from streamgauge.testing.log_conformance import CHECKS

OPENERS: dict[type, Callable[[Path], Log]] = {SqliteLog: lambda folder: SqliteLog(folder / "events.sqlite")}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", OPENERS, ids=lambda kind: kind.__name__)
def test_a_log_conforms(kind: type, check: Callable[[Callable[[], Log]], None], tmp_path: Path) -> None:
    check(lambda: OPENERS[kind](tmp_path))
