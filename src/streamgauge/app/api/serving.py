"""Serving: TCP for callers with a key and the owner's Unix socket, in one process and on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from streamgauge.app.api.application import create_app
from streamgauge.app.api.security import LocalCallers
from streamgauge.app.collecting import calm_collector
from streamgauge.app.keys import Keys
from streamgauge.app.socket_path import SocketPath
from streamgauge.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp

    from streamgauge.app.api.operations import Api
    from streamgauge.app.owner import Owner

BACKLOG: Final = 2_048
KEEP_ALIVE_S: Final = 75
"""Longer than clients keep an idle connection, so that it is they who close it."""

GRACE_S: Final = 15
"""How long requests under way may take after a stop was asked for."""

SWITCH_S: Final = 0.0005
"""How soon a thread that waits for the interpreter gets it. A decision passes through four threads: at the default of
5 ms, one that computes would keep it waiting for most of its time."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class HttpServer(uvicorn.Server):
    """A uvicorn server that says when it listens, and leaves signals to whom they belong."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none: two servers share the process."""
        yield


class Serving:
    """An owner's API while it is served.

    Attributes:
        owner: Answers.
        url: Where callers reach it; empty before it started.
    """

    def __init__(
        self, owner: Owner, *, on_started: Callable[[str], None] | None = None, by_workers: bool = False
    ) -> None:
        """Bind nothing yet.

        Args:
            owner: Answers; it is closed when serving ends.
            on_started: Called with the URL once requests are answered.
            by_workers: Whether API workers listen for callers, and connect to the owner; the URL is then empty.
        """
        self._by_workers = by_workers
        self.owner = owner
        self.url = ""
        self._on_started = on_started
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._asked = threading.Event()

    def run(self) -> None:
        """Serve until a signal or `stop`; then finish what is under way and close the owner.

        Raises:
            SettingsError: The address cannot be listened on; the owner is closed.
        """
        import uvloop

        self.owner.live.warm()
        self.owner.verify_continuously()
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        finally:
            sys.setswitchinterval(interval)
            self.owner.close()

    def stop(self) -> None:
        """Ask for the end, from any thread; `run` returns when it is reached."""
        self._asked.set()
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(self) -> None:
        place = self.owner.place
        keys = Keys(place.keys) if place.settings.api.keys else None
        app = create_app(self.owner, keys)
        api: Api = app.state.api
        self._loop = asyncio.get_running_loop()
        if self._asked.is_set():
            self._stopping.set()
        try:
            async with contextlib.AsyncExitStack() as sockets:
                listeners: list[tuple[ASGIApp, socket.socket]] = []
                if self._by_workers:
                    await sockets.enter_async_context(_worker_port(self.owner, api))
                else:
                    tcp = sockets.enter_context(tcp_socket(place.settings.api.host, place.settings.api.port))
                    self.url = url_of(tcp)
                    listeners.append((app, tcp))
                listeners.append((LocalCallers(app), sockets.enter_context(_unix_socket(place.socket))))
                await self._until_stopped(api, listeners)
        finally:
            await asyncio.to_thread(api.jobs.close)

    async def _until_stopped(self, api: Api, listeners: Sequence[tuple[ASGIApp, socket.socket]]) -> None:
        servers = [server_of(app) for app, _ in listeners]
        with self._signals():
            serving = [
                asyncio.ensure_future(server.serve([listener]))
                for server, (_, listener) in zip(servers, listeners, strict=True)
            ]
            listening: list[asyncio.Future[Any]] = [asyncio.ensure_future(one.listening.wait()) for one in servers]
            for server_listens in listening:
                await asyncio.wait([server_listens, *serving], return_when=asyncio.FIRST_COMPLETED)
            with calm_collector(asyncio.get_running_loop()):
                if self._on_started is not None:
                    self._on_started(self.url)
                stopping = asyncio.ensure_future(self._stopping.wait())
                await asyncio.wait([stopping, *serving], return_when=asyncio.FIRST_COMPLETED)
                stopping.cancel()
            api.news.stop()
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*serving)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Stop at a signal, where this thread is the one that gets them."""
        loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._stopping.set)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)


def serve(owner: Owner, *, on_started: Callable[[str], None] | None = None, by_workers: bool = False) -> None:
    """Serve an owner until SIGTERM or SIGINT, then close it; prints nothing.

    Raises:
        SettingsError: The address cannot be listened on.
    """
    Serving(owner, on_started=on_started, by_workers=by_workers).run()


def server_of(app: ASGIApp) -> HttpServer:
    """Return the HTTP server of an application."""
    settings: dict[str, Any] = {
        "http": "httptools",
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "backlog": BACKLOG,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": GRACE_S,
    }
    return HttpServer(uvicorn.Config(app, **settings))


@contextlib.contextmanager
def tcp_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Take the address where callers connect; whoever serves listens on it.

    Raises:
        SettingsError: The address cannot be listened on.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address[:2])
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        message = (
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Set [api] host and port in streamgauge.toml, "
            "or STREAMGAUGE_API__PORT (0 takes a free one)."
        )
        raise SettingsError(message) from error
    with listener:
        listener.setblocking(False)  # noqa: FBT003 - the socket module's form
        yield listener


@contextlib.contextmanager
def _unix_socket(path: Path) -> Iterator[socket.socket]:
    """Listen where only this user may connect; the owner's lock says that no other process listens there."""
    path.unlink(missing_ok=True)
    with SocketPath(path) as bound, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(bound.address)
        path.chmod(0o600)  # before listen: until then nobody can connect
        listener.listen(BACKLOG)
        listener.setblocking(False)  # noqa: FBT003 - the socket module's form
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def _worker_port(owner: Owner, api: Api) -> AsyncIterator[None]:
    """Let API workers connect."""
    from streamgauge.app.workers.port import WorkerPort

    path = owner.place.worker_socket
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.parent.chmod(0o700)
    port = WorkerPort(owner, api)
    with _unix_socket(path) as listener:
        server = await asyncio.get_running_loop().create_unix_server(port.protocol, sock=listener)
        try:
            yield
        finally:
            server.close()
            port.close()


def url_of(listener: socket.socket) -> str:
    """Return where callers reach a socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
