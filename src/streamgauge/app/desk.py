"""Where decisions wait: what came together is decided together, on one thread, and answered at once."""

from __future__ import annotations

import asyncio
import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

AskedT = TypeVar("AskedT")
AnswerT = TypeVar("AnswerT")

_MOST: Final = 512


class Desk(Generic[AskedT, AnswerT]):
    """A queue before one thread, for callers on any event loop.

    Whoever asks within one turn of a loop goes in together; while the thread decides, the next group gathers. So one
    that comes alone never waits for others, and a flood shares its commits.

    Args:
        decide: Called on the thread with 1 to 512 of them; returns an answer, or an error, for each in order. What it
            raises is everybody's.
        settle: Called on the thread after a group was answered, when none waits.
    """

    def __init__(
        self,
        decide: Callable[[Sequence[AskedT]], Sequence[AnswerT | Exception]],
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self._decide = decide
        self._settle = settle
        self._closed = False
        self._door = threading.Lock()
        self._queue: queue.SimpleQueue[_Group[AskedT, AnswerT] | None] = queue.SimpleQueue()
        self._gathering = threading.local()
        self._thread = threading.Thread(target=self._run, name="decisions", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many groups wait, about."""
        return self._queue.qsize()

    async def ask(self, asked: AskedT) -> AnswerT:
        """Return the answer to one.

        Raises:
            RuntimeError: After `close`.
        """
        [answer] = await self.ask_many([asked])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask_many(self, asked: Sequence[AskedT]) -> asyncio.Future[list[AnswerT | Exception]]:
        """Return a future of the answers, or errors, to several; call it on an event loop.

        Raises:
            RuntimeError: After `close`.
        """
        if self._closed:
            raise _closed()
        loop = asyncio.get_running_loop()
        group: _Group[AskedT, AnswerT] | None = getattr(self._gathering, "group", None)
        if group is None or group.loop is not loop:
            group = self._gathering.group = _Group(loop)
            loop.call_soon(self._send, group)
        future: asyncio.Future[list[AnswerT | Exception]] = loop.create_future()
        group.asked += asked
        group.callers.append((future, len(asked)))
        return future

    def close(self) -> None:
        """Answer all that wait, and end the thread. Closing twice is allowed."""
        with self._door:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _send(self, group: _Group[AskedT, AnswerT]) -> None:
        if getattr(self._gathering, "group", None) is group:
            self._gathering.group = None
        with self._door:
            if not self._closed:
                self._queue.put(group)
                return
        group.answer([_closed()] * len(group.asked))

    def _run(self) -> None:
        while True:
            groups = [self._queue.get()]
            count = 0 if groups[0] is None else len(groups[0].asked)
            while groups[-1] is not None and count < _MOST:
                try:
                    groups.append(self._queue.get_nowait())
                except queue.Empty:
                    break
                count += 0 if groups[-1] is None else len(groups[-1].asked)
            live = [group for group in groups if group is not None]
            if live:
                self._answer(live)
            if self._queue.empty():
                self._settle()
            if len(live) < len(groups):
                return

    def _answer(self, groups: Sequence[_Group[AskedT, AnswerT]]) -> None:
        asked = [one for group in groups for one in group.asked]
        try:
            answers = list(self._decide(asked))
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            answers = [error] * len(asked)
        start = 0
        for group in groups:
            group.answer(answers[start : start + len(group.asked)])
            start += len(group.asked)


class _Group(Generic[AskedT, AnswerT]):
    """What was asked within one turn of a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.asked: list[AskedT] = []
        self.callers: list[tuple[asyncio.Future[list[AnswerT | Exception]], int]] = []

    def answer(self, answers: list[AnswerT | Exception]) -> None:
        """Wake the loop once, for all of them."""
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._tell, answers)

    def _tell(self, answers: list[AnswerT | Exception]) -> None:
        start = 0
        for future, count in self.callers:
            if not future.done():  # a caller may have gone away
                future.set_result(answers[start : start + count])
            start += count


def _closed() -> RuntimeError:
    return RuntimeError("The owner is closing and takes no more decisions.")
