"""P4's servers: ours and its peers, each a process on one core, and the load that another core sends them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.lender import STREAMGAUGE, command
from benchmarks.measure import PEERS, ROOT

_WAIT_S = 120.0
_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = _CORES[0], _CORES[-1]


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        name: What it is.
        port: Where it listens, on 127.0.0.1.
        path: What is posted to.
        headers: What is sent along.
    """

    name: str
    port: int
    path: str
    headers: tuple[str, ...] = ()

    def post(self, body: bytes) -> Any:  # noqa: ANN401 - JSON
        """Return the answer to one body."""
        return self._ask(self.path, body)

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Return what is at a path."""
        return self._ask(path, None)

    def _ask(self, path: str, body: bytes | None) -> Any:  # noqa: ANN401 - JSON
        headers = dict(header.split(": ", 1) for header in self.headers) | {"content-type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - http
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{self.name} answered {error.code}: {error.read()[:500]!r}") from error

    def load(self, bodies: Sequence[bytes], seconds: float, connections: int, rate: float | None = None) -> Any:  # noqa: ANN401
        """Post bodies from a process on another core; return what `benchmarks.load` prints."""
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
            file.write(b"\n".join(bodies))
            file.flush()
            arguments = ["--port", str(self.port), "--path", self.path, "--bodies", file.name]
            arguments += ["--connections", str(connections), "--seconds", str(seconds)]
            arguments += [part for header in self.headers for part in ("--header", header)]
            arguments += ["--rate", str(rate)] if rate else []
            ended = subprocess.run(
                [*_on(LOAD_CORE), sys.executable, "-m", "benchmarks.load", *arguments],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
                timeout=_WAIT_S + seconds,
            )
        if ended.returncode:
            raise RuntimeError(f"The load on {self.name} failed: {ended.stderr.strip()[-1000:]}")
        return json.loads(ended.stdout)


@contextlib.contextmanager
def ours(project: Path) -> Iterator[Server]:
    """Run `streamgauge run` on a project, with an API key of its own."""
    port = _free_port()
    key = json.loads(command("keys", "create", f"bench-{port}", "--scope", "admin", "--json", "-C", str(project)))[
        "key"
    ]
    with serving([str(STREAMGAUGE), "run", "--port", str(port), "--json", "-C", str(project)], port):
        yield Server("Streamgauge", port, "/v1/decisions", (f"authorization: Bearer {key}",))


@contextlib.contextmanager
def plain(model: Path) -> Iterator[Server]:
    """Run the plain FastAPI server on an ONNX file."""
    port = _free_port()
    with serving([sys.executable, "-m", "benchmarks.plain_server", str(model), str(port)], port):
        yield Server("plain FastAPI + ONNX Runtime", port, "/score")


@contextlib.contextmanager
def mlflow(model: Path) -> Iterator[Server]:
    """Run `mlflow models serve` on a saved model, from the peers' environment."""
    port = _free_port()
    arguments = ["models", "serve", "-m", str(model), "-p", str(port), "--env-manager", "local", "--workers", "1"]
    with serving([str(PEERS / "mlflow"), *arguments], port, PATH=f"{PEERS}:{os.environ['PATH']}"):
        yield Server("`mlflow models serve`", port, "/invocations")


@contextlib.contextmanager
def serving(arguments: Sequence[str], port: int, **environment: str) -> Iterator[None]:
    """Run a server on its core until it listens, and while it is used; end it and its children afterwards.

    Raises:
        RuntimeError: It ended, with what it said.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [*_on(SERVER_CORE), *arguments],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=said,  # a pipe that nobody reads would fill, and stop it
            stderr=said,
            start_new_session=True,
        )
        try:
            _until_listening(port, process, said)
            yield
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
            return


def _on(core: int) -> list[str]:
    return ["taskset", "--cpu-list", str(core)]


def _until_listening(port: int, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    end = time.monotonic() + _WAIT_S
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    said.seek(0)
    raise RuntimeError(f"Nothing listens on port {port}: {said.read().decode(errors='replace').strip()[-2000:]}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
