"""A worker's side: one connection to the owner, many requests in flight, made again whenever it breaks."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamgauge.app.api.problems import Problem
from streamgauge.app.socket_path import SocketPath
from streamgauge.app.workers.frames import (
    PROTOCOL,
    Answer,
    Counted,
    FrameError,
    Frames,
    Hello,
    decode_from_owner,
    frame,
)
from streamgauge.events.validate import EventValidator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streamgauge.definitions.schema import StreamSpec

logger = logging.getLogger(__name__)

_PAUSE_S: Final = 0.1
_COUNTED_S: Final = 0.25


class Declared:
    """How events are validated, as the owner said last."""

    def __init__(self, hello: Hello) -> None:
        self.version = hello.version
        self.streams: dict[str, StreamSpec] = hello.streams
        # What is unknown in a lenient stream's events is noted by the owner, which therefore validates them itself.
        self.strict = frozenset(name for name, spec in hello.streams.items() if spec.unknown == "refuse")
        self.validator = EventValidator(hello.streams)


class OwnerLink(asyncio.Protocol):
    """The connection to the owner.

    Attributes:
        declared: How events are validated; None while there is no owner.
        greeted: Set since the first owner was there.
    """

    def __init__(self, path: Path) -> None:
        """Connect to nothing yet.

        Args:
            path: The owner's socket for workers.
        """
        self.declared: Declared | None = None
        self.greeted = asyncio.Event()
        self._path = path
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._said: list[Any] = []
        self._counted: list[tuple[str, str, int, float]] = []
        self._numbers = itertools.count(1)
        self._lost = asyncio.Event()
        self._lost.set()

    async def keep(self) -> None:
        """Be connected, again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        counting = loop.create_task(self._tell_counted())
        try:
            while True:
                try:
                    with SocketPath(self._path) as place:
                        await loop.create_unix_connection(lambda: self, place.address)
                except OSError:
                    await asyncio.sleep(_PAUSE_S)
                    continue
                await self._lost.wait()
        finally:
            counting.cancel()
            if self._transport is not None:
                self.flush()
                self._transport.close()

    async def ask(self, make: Callable[[int], msgspec.Struct]) -> Answer:
        """Send a request and return its answer.

        Args:
            make: Returns the request, given its number.

        Raises:
            Problem: There is no owner, or it ended before it answered.
        """
        if self._transport is None or self.declared is None:
            raise no_owner()
        number = next(self._numbers)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        if not self._said:
            asyncio.get_running_loop().call_soon(self._send)
        self._said.append(make(number))
        try:
            return await future
        finally:
            self._waiting.pop(number, None)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request; the owner is told of several at a time."""
        self._counted.append((route, method, status, seconds))

    def flush(self) -> None:
        """Tell the owner what was counted."""
        if self._counted and self._transport is not None:
            self._said.append(Counted(self._counted))
            self._counted = []
            self._send()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that there is an owner."""
        self._transport = transport  # type: ignore[assignment] # a stream's
        self._frames = Frames()
        self._lost.clear()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the form of the protocol
        """Tell everybody who waits."""
        self._transport = self.declared = None
        self._said = []
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(no_owner())
        self._lost.set()

    def data_received(self, data: bytes) -> None:
        """Take what the owner says."""
        try:
            batches = [decode_from_owner(body) for body in self._frames.feed(data)]
        except (FrameError, msgspec.DecodeError):
            logger.exception("The owner says what is no frame; connecting again.")
            if self._transport is not None:
                self._transport.abort()
            return
        for message in itertools.chain.from_iterable(batches):
            if isinstance(message, Hello):
                self._heard(message)
            elif (future := self._waiting.get(message.number)) is not None and not future.done():
                future.set_result(message)

    def _heard(self, hello: Hello) -> None:
        if hello.protocol != PROTOCOL:
            logger.error("The owner speaks another version of the protocol; restart everything.")
            return
        self.declared = Declared(hello)
        self.greeted.set()

    def _send(self) -> None:
        if self._said and self._transport is not None:
            self._transport.write(frame(self._said))
        self._said = []

    async def _tell_counted(self) -> None:
        while True:
            await asyncio.sleep(_COUNTED_S)
            self.flush()


def no_owner() -> Problem:
    """Return the problem of a request that no owner answers."""
    return Problem(
        "not-ready",
        "The process that owns the data is not running now, and is started again. What was acknowledged is safe; send "
        "the request again, a decision under the same decision_id.",
    )
