"""Who answers a command: the running owner through its socket, else this process, which becomes the owner."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from streamgauge.app.remote import RemoteService, answers_at
from streamgauge.errors import OwnerBusy

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamgauge.app.auditor import Auditor
    from streamgauge.app.service import Service
    from streamgauge.app.settings import Place

T = TypeVar("T")

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

    def become_owner() -> Service:
        from streamgauge.app.owner import Owner

        return Owner.open(place, progress=progress)

    return _running_or(place, become_owner, patience_s)


def connect_auditor(place: Place, *, patience_s: float = _PATIENCE_S) -> RemoteService | Auditor:
    """Return who verifies a project directory: its running owner, else one that opens no more than it must.

    Args:
        place: The project directory.
        patience_s: How long to wait for an owner that is starting or ending.

    Raises:
        OwnerBusy: Another process owns the directory and does not answer.
    """
    from streamgauge.app.auditor import Auditor

    return _running_or(place, lambda: Auditor(place), patience_s)


def _running_or(place: Place, become: Callable[[], T], patience_s: float) -> RemoteService | T:
    until = time.monotonic() + patience_s
    while True:
        running = running_owner(place)
        if running is not None:
            return running
        try:
            return become()
        except OwnerBusy:
            if time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)
