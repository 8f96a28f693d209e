"""Verification without an owner: what an owner could not even open is what is to be found."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from streamgauge.app import wiring
from streamgauge.app.lock import OwnerLock
from streamgauge.app.replies import verify_answer
from streamgauge.decisions.replay import Replay
from streamgauge.features.decode import SchemaBook

if TYPE_CHECKING:
    from streamgauge.app.answers import VerifyAnswer
    from streamgauge.app.service import Progress
    from streamgauge.app.settings import Place


class Auditor:
    """Reads a project directory that nobody owns; no model is loaded but to recompute its decisions."""

    def __init__(self, place: Place) -> None:
        """Take the lock, and open the log, the ledger and the registry.

        Args:
            place: The project directory.

        Raises:
            OwnerBusy: Another process owns it.
        """
        with ExitStack() as undo:
            undo.enter_context(OwnerLock(place.lock))
            self._log = undo.enter_context(closing(wiring.open_log(place)))
            self._ledger = undo.enter_context(closing(wiring.open_ledger(place)))
            self._registry = wiring.open_registry(place)
            self._opened = undo.pop_all()

    def verify(self, progress: Progress, *, last: int | None = None) -> VerifyAnswer:
        """See `streamgauge.app.service.Service.verify`."""
        replay = Replay(self._log, self._ledger, self._registry, SchemaBook(self._log.schema))
        return verify_answer(replay.run(last, lambda done, total: progress("replaying decisions", done, total)))

    def close(self) -> None:
        """Release the directory."""
        self._opened.close()
