"""Who answers a command: the running owner through its socket, else this process, which becomes the owner."""

from __future__ import annotations

import time
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING, Final, TypeVar

from streamgauge.app.remote import RemoteService, answers_at
from streamgauge.app.wiring import Checks
from streamgauge.errors import OwnerBusy

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamgauge.app.auditor import Auditor
    from streamgauge.app.owner import Owner
    from streamgauge.app.service import Progress, Service
    from streamgauge.app.settings import Place

T = TypeVar("T")

_SERVING: Final = "streamgauge.app.api.serving"
_PATIENCE_S: Final = 15.0
_PAUSE_S: Final = 0.05


def running_owner(place: Place) -> RemoteService | None:
    """Return the owner of a project directory that answers on its socket, or None."""
    return RemoteService(place) if answers_at(place.socket) else None


def connect(place: Place, progress: Progress | None = None, *, patience_s: float = _PATIENCE_S) -> Service:
    """Return who answers for a project directory.

    Args:
        place: The project directory.
        progress: Told what takes long while this process becomes the owner.
        patience_s: How long to wait for an owner that is starting or ending.

    Raises:
        OwnerBusy: Another process owns the directory and does not answer.
    """
    return _running_or(place, lambda: become_owner(place, progress), patience_s)


def become_owner(place: Place, progress: Progress | None = None, *, serves: bool = False) -> Owner:
    """Own a project directory: log and ledger are checked while what an owner needs is imported.

    Args:
        place: The project directory.
        progress: Told what takes long.
        serves: Whether requests are answered before all is applied; what answers them is imported then, too.

    Raises:
        OwnerBusy: Another process owns it.
    """
    with closing(Checks(place)) as checks:
        if serves:
            import_module(_SERVING)
        from streamgauge.app.owner import Owner

        return Owner.open(place, progress=progress, early=serves, checks=checks)


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
