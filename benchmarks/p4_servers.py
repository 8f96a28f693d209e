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
        pid: Its process.
    """

    name: str
    port: int
    path: str
    headers: tuple[str, ...] = ()
    pid: int = 0

    def cpu(self) -> float:
        """Return the CPU seconds of the process and of those it has started."""
        return sum(_cpu(pid) for pid in _family(self.pid))

    def metrics(self) -> dict[str, float]:
        """Return what `/metrics` says, by sample."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/metrics")
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - http
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

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
        """Post bodies from a process on another core; return what `benchmarks.load` prints, and CPU time an answer."""
        before = self.cpu()
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
        found = json.loads(ended.stdout)
        return found | {"cpu": (self.cpu() - before) / found["answers"]}


@contextlib.contextmanager
def ours(project: Path, workers: int = 1) -> Iterator[Server]:
    """Run `streamgauge run` on a project, with an API key of its own; several workers on every core."""
    port = _free_port()
    key = json.loads(command("keys", "create", f"bench-{port}", "--scope", "admin", "--json", "-C", str(project)))[
        "key"
    ]
    arguments = [str(STREAMGAUGE), "run", "--port", str(port), "--json", "-C", str(project)]
    cores = _CORES if workers > 1 else [SERVER_CORE]
    name = "Streamgauge" if workers == 1 else f"Streamgauge, {workers} workers on {len(cores)} cores"
    with serving([*arguments, "--workers", str(workers)], port, cores) as pid:
        yield Server(name, port, "/v1/decisions", (f"authorization: Bearer {key}",), pid)


@contextlib.contextmanager
def plain(model: Path) -> Iterator[Server]:
    """Run the plain FastAPI server on an ONNX file."""
    port = _free_port()
    with serving([sys.executable, "-m", "benchmarks.plain_server", str(model), str(port)], port) as pid:
        yield Server("plain FastAPI + ONNX Runtime", port, "/score", pid=pid)


@contextlib.contextmanager
def mlflow(model: Path) -> Iterator[Server]:
    """Run `mlflow models serve` on a saved model, from the peers' environment."""
    port = _free_port()
    arguments = ["models", "serve", "-m", str(model), "-p", str(port), "--env-manager", "local", "--workers", "1"]
    with serving([str(PEERS / "mlflow"), *arguments], port, PATH=f"{PEERS}:{os.environ['PATH']}") as pid:
        yield Server("`mlflow models serve`", port, "/invocations", pid=pid)


@contextlib.contextmanager
def feast(model: Path, rows: Path) -> Iterator[Server]:
    """Run Feast's online store and an ONNX file behind FastAPI, from the peers' environment."""
    port = _free_port()
    arguments = [str(PEERS / "python"), str(ROOT / "benchmarks" / "feast_server.py"), str(model), str(rows), str(port)]
    with serving(arguments, port) as pid:
        yield Server("Feast online store + ONNX Runtime", port, "/account", pid=pid)


@contextlib.contextmanager
def serving(
    arguments: Sequence[str], port: int, cores: Sequence[int] = (SERVER_CORE,), **environment: str
) -> Iterator[int]:
    """Run a server on its cores until it listens, and while it is used; end it and its children afterwards.

    Raises:
        RuntimeError: It ended, with what it said.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [*_on(*cores), *arguments],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=said,  # a pipe that nobody reads would fill, and stop it
            stderr=said,
            start_new_session=True,
        )
        try:
            _until_listening(port, process, said)
            yield process.pid
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
            return


def _on(*cores: int) -> list[str]:
    return ["taskset", "--cpu-list", ",".join(map(str, cores))]


def _family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
