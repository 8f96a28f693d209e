"""Sealing: old records move into the archive beside everything else the owner does."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from streamgauge.errors import LogDamaged

if TYPE_CHECKING:
    from streamgauge.app.settings import LogSettings
    from streamgauge.log.port import Log

logger = logging.getLogger(__name__)

_EVERY_S: Final = 2.0
_AFTER_A_FAILURE_S: Final = 60.0
_NICENESS: Final = 10


class Sealer:
    """A thread that seals what waits, every few seconds, behind what answers requests.

    Args:
        log: The owner's log.
        settings: How much stays in the tail, and how much moves at a time.
    """

    def __init__(self, log: Log, settings: LogSettings) -> None:
        """Start the thread."""
        self._log = log
        self._settings = settings
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sealing", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; what it has begun is taken up by the next owner."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with suppress(OSError):  # a thread's own niceness is Linux's
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        pause = 0.0
        while not self._ended.wait(pause):
            pause = _EVERY_S
            try:
                self._log.seal(self._settings.tail, self._settings.seal, self._ended.is_set)
            except OSError as error:
                logger.warning("The event log's archive could not be written, and the tail grows: %s", error)
                pause = _AFTER_A_FAILURE_S
            except LogDamaged as error:
                logger.error("%s Until then nothing more is sealed.", error)  # noqa: TRY400 - it says all there is
                return
