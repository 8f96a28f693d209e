"""What takes long: it runs on a thread of its own and tells how far it is, line by line."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamgauge.app.api.problems import problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from streamgauge.app.service import Progress

_EVERY_S: Final = 0.1
_ENCODER: Final = msgspec.json.Encoder()


class Jobs:
    """Long work, at most two at a time, apart from the threads that answer reads."""

    def __init__(self) -> None:
        """Start no thread yet."""
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="job")

    def close(self) -> None:
        """Wait for what is under way: half an import would have to be repaired at the next start."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def lines(self, work: Callable[[Progress], object], instance: str) -> AsyncIterator[bytes]:
        """Run work and yield lines of JSON: ``{"progress": [what, done, total]}`` … and one answer or problem.

        Work goes on if nobody listens any more.
        """
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        running = loop.run_in_executor(self._pool, work, _teller(loop, told))

        def ended(done: asyncio.Future[object]) -> None:
            if not done.cancelled():
                done.exception()  # seen, even if nobody listens any more
            told.put_nowait(None)

        running.add_done_callback(ended)
        while (line := await told.get()) is not None:
            yield _ENCODER.encode(line) + b"\n"
        try:
            last: dict[str, Any] = {"answer": await running}
        except Exception as error:  # noqa: BLE001 - the caller is told of it as of any other
            last = {"problem": problem_of(error).content(instance)}
        yield _ENCODER.encode(last) + b"\n"


def _teller(loop: asyncio.AbstractEventLoop, told: asyncio.Queue[dict[str, Any] | None]) -> Progress:
    """Return what work tells its progress to; it passes on ten tellings a second, and the last of each kind."""
    before = ("", 0.0)

    def tell(what: str, done: int, total: int) -> None:
        nonlocal before
        now = time.monotonic()
        if what == before[0] and now - before[1] < _EVERY_S and done < total:
            return
        before = (what, now)
        with suppress(RuntimeError):  # the loop was closed: nobody listens
            loop.call_soon_threadsafe(told.put_nowait, {"progress": [what, done, total]})

    return tell
