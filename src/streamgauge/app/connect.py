"""Who answers a command: the running owner through its socket, else this process, which becomes the owner."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from streamgauge.app.remote import RemoteService, answers_at
from streamgauge.errors import OwnerBusy

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamgauge.app.service import Service
    from streamgauge.app.settings import Place

_PATIENCE_S: Final = 15.0
_PAUSE_S: Final = 0.05


def running_owner(place: Place) -> RemoteService | None:
    """Return the owner of a project directory that answers on its socket, or None."""
    return RemoteService(place) if answers_at(place.socket) else None


def connect(
    place: Place, progress: Callable[[str, int, int], None] | None = None, *, patience_s: float = _PATIENCE_S
) -> Service:
    """Return who answers for a project directory.

    Args:
        place: The project directory.
        progress: Told what takes long while this process becomes the owner.
        patience_s: How long to wait for an owner that is starting or ending.

    Raises:
        OwnerBusy: Another process owns the directory and does not answer.
    """
    until = time.monotonic() + patience_s
    while True:
        running = running_owner(place)
        if running is not None:
            return running
        from streamgauge.app.owner import Owner

        try:
            return Owner.open(place, progress=progress)
        except OwnerBusy:
            if time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)
