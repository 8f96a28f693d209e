"""Python's search for cycles, kept from making requests and batches wait.

Nearly everything that a process works on is freed as soon as nobody refers to it. Python looks for what refers to
itself too, and from time to time among all objects: with the states of many accounts in memory that takes a tenth of a
second and more, in which nothing is answered. So what has outlived one search is left out of the next ones, and all is
searched only when there is twice as much of it as after the last time, which bounds what cycles can hold.
"""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Mapping

COLLECT_AFTER: Final = (20_000, 20, 20)
"""After how many new objects Python looks for cycles, and how often for older ones; few requests leave any."""
LOOK_S: Final = 30.0
"""How often it is seen whether there is twice as much."""
LEAST: Final = 1_000_000
"""So many objects are never searched again on account of their number."""


class Collector:
    """Searches all objects when there are twice as many as the last time.

    Attributes:
        searches: How often all were searched.
    """

    def __init__(self) -> None:
        """Search once."""
        self.searches = 0
        self._left = 0
        self._search()

    def look(self) -> None:
        """Search if there is twice as much as after the last search."""
        if gc.get_freeze_count() > max(LEAST, 2 * self._left):
            self._search()

    def _search(self) -> None:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._left = gc.get_freeze_count()
        self.searches += 1


@contextlib.contextmanager
def calm_collector(loop: asyncio.AbstractEventLoop | None = None) -> Iterator[Collector]:
    """Leave what is loaded now, and what outlives a search later, out of every further search.

    Args:
        loop: Looks from time to time whether there is twice as much; without one, whoever calls looks.
    """
    collecting, collector = gc.get_threshold(), Collector()

    timers: list[asyncio.TimerHandle] = []

    def look_later() -> None:
        if loop is not None:
            timers[:] = [loop.call_later(LOOK_S, look)]

    def look() -> None:
        collector.look()
        look_later()

    look_later()
    gc.callbacks.append(_leave_out)
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield collector
    finally:
        for timer in timers:
            timer.cancel()
        gc.set_threshold(*collecting)
        gc.callbacks.remove(_leave_out)
        gc.unfreeze()


def _leave_out(phase: str, info: Mapping[str, int]) -> None:
    """Leave out what has outlived a search among more than the newest objects."""
    if phase == "stop" and info["generation"] > 0:
        gc.freeze()
