"""``streamgauge run --workers N``: one process keeps the socket and the others alive.

::

    supervisor ── owner            log, states, ledger, decisions; Unix sockets only
               └─ worker × N       HTTP on the supervisor's socket; reads, and the owner behind it

Whoever dies is started again; the socket stays open meanwhile. Where the supervisor dies, the others end by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.app.api.serving import GRACE_S, tcp_socket, url_of

if TYPE_CHECKING:
    import socket
    from asyncio.subprocess import Process
    from collections.abc import Callable

    from streamgauge.app.settings import Place

logger = logging.getLogger(__name__)

_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_LIVED_S: Final = 30.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Part(msgspec.Struct, frozen=True):
    """What a process is started with.

    Attributes:
        role: ``owner`` or ``worker``.
        root: The project directory.
        host: The address that is listened on.
        port: Its port.
        listener: The descriptor of the socket that callers connect to.
        life: A descriptor that ends when the supervisor does.
    """

    role: str
    root: str
    host: str
    port: int
    listener: int
    life: int


class Supervisor:
    """Keeps an owner and its workers running.

    Args:
        place: The project directory.
        workers: How many workers.
        on_started: Called with the URL once requests are answered.
    """

    def __init__(self, place: Place, workers: int, on_started: Callable[[str], None]) -> None:
        self._place = place
        self._workers = workers
        self._on_started = on_started
        self._stopping = asyncio.Event()
        self._processes: dict[str, Process] = {}
        self._failed = 0

    def run(self) -> int:
        """Run everything until a signal; return the exit code of an owner that could not start, else 0.

        Raises:
            SettingsError: The address cannot be listened on.
        """
        with tcp_socket(self._place.settings.api.host, self._place.settings.api.port) as listener:
            return asyncio.run(self._run(listener))

    async def _run(self, listener: socket.socket) -> int:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._stopping.set)
        life, own_end = os.pipe()
        names = ["owner", *(f"worker-{number}" for number in range(1, self._workers + 1))]
        ready = {name: asyncio.Event() for name in names}
        keeping = [
            asyncio.create_task(self._keep(name, self._part(name, listener, life), ready[name])) for name in names
        ]
        try:
            started = asyncio.create_task(_all(list(ready.values())))
            stopping = asyncio.create_task(self._stopping.wait())
            await asyncio.wait([started, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not self._stopping.is_set():
                self._on_started(url_of(listener))
            await stopping
            started.cancel()
            await self._stop([name for name in names if name != "owner"])
            await self._stop(["owner"])
            await asyncio.gather(*keeping, started, return_exceptions=True)
        finally:
            os.close(own_end)
            os.close(life)
        return self._failed

    def _part(self, name: str, listener: socket.socket, life: int) -> Part:
        api = self._place.settings.api
        role = name.partition("-")[0]
        return Part(role, str(self._place.root), api.host, api.port, listener.fileno(), life)

    async def _keep(self, name: str, part: Part, ready: asyncio.Event) -> None:
        """Start a process, and start it again whenever it ends."""
        pause = _PAUSE_S
        while not self._stopping.is_set():
            begun = time.monotonic()
            code = await self._live(name, part, ready)
            if self._stopping.is_set():
                return
            if name == "owner" and not ready.is_set():
                self._failed = code or 1
                self._stopping.set()
                return
            pause = _PAUSE_S if time.monotonic() - begun > _LIVED_S else min(2 * pause, _LONGEST_PAUSE_S)
            logger.warning("The %s ended with code %s; starting it again.", name, code)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _live(self, name: str, part: Part, ready: asyncio.Event) -> int:
        """Run a process for as long as it lives, and return its exit code."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "streamgauge.app.workers",
            msgspec.json.encode(part).decode(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(part.listener, part.life),
            start_new_session=True,  # Ctrl-C is for the supervisor, which ends the others in their order
        )
        self._processes[name] = process
        if process.stdout is not None and await process.stdout.readline():
            ready.set()
        return await process.wait()

    async def _stop(self, names: list[str]) -> None:
        """End processes, those that do not want to by force."""
        ending = [self._processes[name] for name in names if name in self._processes]
        for process in ending:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        waiting = [asyncio.create_task(process.wait()) for process in ending]
        if waiting:
            await asyncio.wait(waiting, timeout=2 * GRACE_S)
        for process in ending:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()


async def _all(events: list[asyncio.Event]) -> bool:
    for event in events:
        await event.wait()
    return True
