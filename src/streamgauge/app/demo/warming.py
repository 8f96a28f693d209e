"""Compiling ahead: what training and serving compile, on a handful of events, while the demo waits for data."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamgauge.app import wiring
from streamgauge.app.settings import Place, Settings

if TYPE_CHECKING:
    from streamgauge.definitions.specs import ProjectSpec

_BORROWERS: Final = 8
_DAYS: Final = 120


def warm_up(project: ProjectSpec) -> None:
    """Load the learning libraries, and compile the kernels of a project's features.

    Args:
        project: A project with the streams that `streamgauge.testing.portfolio` simulates.
    """
    import sklearn.ensemble  # noqa: F401 - loaded for later

    from streamgauge.events.frames import validate_frame
    from streamgauge.models import train  # noqa: F401 - the same
    from streamgauge.models.dataset import build_dataset
    from streamgauge.testing.portfolio import small_history

    with (
        tempfile.TemporaryDirectory(prefix="streamgauge-warm-") as folder,
        closing(wiring.open_log(Place(Path(folder), Settings()))) as log,
    ):
        for stream, frame in small_history(_BORROWERS, _DAYS).items():
            log.register_schema(project.streams[stream])
            records = validate_frame(frame, project.streams[stream], known_at="known_at").records
            log.append(records, wiring.SystemClock().now_us())
        for model in project.models.values():
            build_dataset(project, model, log, workers=1)
