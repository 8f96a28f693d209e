"""Wakes everyone who follows the stream of scores, once a batch however many they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamgauge.app.publishing import Publisher


class ScoreNews:
    """Between whatever thread applies and publishes, and the event loop, on which scores are streamed."""

    def __init__(self, publisher: Publisher) -> None:
        """Follow nothing yet."""
        self._publisher = publisher
        self._followers: set[asyncio.Event] = set()
        self._stop_listening: Callable[[], None] | None = None
        self._waking = False
        self.stopping = False

    def join(self) -> asyncio.Event:
        """Return an event that is set after every batch; call it on the event loop."""
        if self._stop_listening is None:
            loop = asyncio.get_running_loop()
            self._stop_listening = self._publisher.listen(lambda: self._published(loop))
        news = asyncio.Event()
        self._followers.add(news)
        return news

    def leave(self, news: asyncio.Event) -> None:
        """Stop waking a follower."""
        self._followers.discard(news)
        if not self._followers and self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None

    def stop(self) -> None:
        """End every stream; call it on the event loop."""
        self.stopping = True
        self._wake()

    def _published(self, loop: asyncio.AbstractEventLoop) -> None:
        # Of two batches that come before the loop turns, one waking is enough: followers read all there is.
        if not self._waking and not loop.is_closed():
            self._waking = True
            loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._waking = False
        for news in self._followers:
            news.set()
