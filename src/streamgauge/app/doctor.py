"""What the doctor looks at: what is installed, reachable, consistent."""

from __future__ import annotations

import os
import shutil
import socket
import time
from contextlib import closing, contextmanager
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from streamgauge.app import wiring
from streamgauge.app.compiling import kernels_compiled, kernels_kept
from streamgauge.app.connect import running_owner
from streamgauge.app.settings import find_place
from streamgauge.errors import StreamgaugeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamgauge.app.settings import Place
    from streamgauge.models.registry import Registry

_PACKAGES: Final = (
    "streamgauge",
    "numpy",
    "numba",
    "polars",
    "msgspec",
    "scikit-learn",
    "onnx",
    "onnxruntime",
    "lmdb",
    "mlflow-skinny",
    "fastapi",
    "uvicorn",
    "typer",
    "rich",
)
_GROUPS: Final = ("installed", "reachable", "consistent")
_LITTLE_SPACE: Final = 2 * 2**30
_SLOW_FSYNC_S: Final = 0.02
_SYNCS: Final = 20

State = Literal["ok", "note", "bad"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        group: ``installed``, ``reachable`` or ``consistent``.
        what: What it is.
        state: ``ok``, ``note`` (nothing is wrong) or ``bad``.
        detail: The facts; where it is bad, with the next step.
    """

    group: str
    what: str
    state: State
    detail: str


def examine(start: Path) -> list[Finding]:
    """Look at the installation, and at the project directory that holds a path."""
    findings = _Findings()
    _installed(findings)
    place: Place | None = None
    with findings.judged("consistent", "settings"):
        place = find_place(start)
        findings.add("consistent", "settings", "ok", str(place.root / "streamgauge.toml"))
    if place is not None:
        _reachable(findings, place)
        _consistent(findings, place)
    return sorted(findings.all, key=lambda one: _GROUPS.index(one.group))


class _Findings:
    def __init__(self) -> None:
        self.all: list[Finding] = []

    def add(self, group: str, what: str, state: State, detail: str) -> None:
        self.all.append(Finding(group, what, state, detail))

    @contextmanager
    def judged(self, group: str, what: str) -> Iterator[None]:
        """Take a refusal of what is looked at for a finding."""
        try:
            yield
        except (StreamgaugeError, OSError) as error:
            self.add(group, what, "bad", str(error))


def _installed(findings: _Findings) -> None:
    findings.add("installed", "Python", "ok", python_version())
    for name in _PACKAGES:
        try:
            findings.add("installed", name, "ok", version(name))
        except PackageNotFoundError:
            findings.add("installed", name, "bad", "Not installed. Run: make venv, or pip install streamgauge.")
    if kernels_compiled():
        findings.add("installed", "kernels", "ok", "compiled")
    elif kernels_kept():
        findings.add("installed", "kernels", "note", "not compiled yet; the next command that needs them does so, once")
    else:
        advice = "Set NUMBA_CACHE_DIR to a directory that can be written"
        findings.add("installed", "kernels", "bad", f"cannot be kept, so that nothing can be computed. {advice}.")


def _reachable(findings: _Findings, place: Place) -> None:
    owner = running_owner(place)
    api = place.settings.api
    if owner is not None:
        findings.add("reachable", "owner", "ok", f"answers on {place.socket}")
        findings.add("reachable", "port", "note", f"{api.host}:{api.port} is not tried while the owner runs")
    else:
        findings.add("reachable", "owner", "note", "none is running; streamgauge run starts it")
        _port(findings, api.host, api.port)
    place.data.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place.data).free
    state: State = "ok" if free > _LITTLE_SPACE else "bad"
    advice = "" if state == "ok" else ". Make room: at least 2 GiB"
    findings.add("reachable", "disk space", state, f"{free / 2**30:.1f} GiB free in {place.data}{advice}")
    with findings.judged("reachable", "fsync"):
        median = _fsync_s(place.data)
        slow = median > _SLOW_FSYNC_S
        advice = ". Every durable commit waits for it: use a faster disk" if slow else ""
        findings.add("reachable", "fsync", "note" if slow else "ok", f"{median * 1000:.2f} ms, median{advice}")


def _port(findings: _Findings, host: str, port: int) -> None:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.create_server(address[:2], family=family):
            findings.add("reachable", "port", "ok", f"{host}:{port or 'any'} is free")
    except OSError as error:
        advice = "Set [api] port, or run with --port 0."
        findings.add("reachable", "port", "bad", f"{host}:{port}: {error.strerror or error}. {advice}")


def _fsync_s(directory: Path) -> float:
    """Return the median seconds of a small durable write."""
    path = directory / ".fsync"
    times = []
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(_SYNCS):
                begun = time.perf_counter()
                file.write(b"\0" * 512)
                os.fsync(file.fileno())
                times.append(time.perf_counter() - begun)
    finally:
        path.unlink(missing_ok=True)
    return sorted(times)[len(times) // 2]


def _consistent(findings: _Findings, place: Place) -> None:
    from streamgauge.definitions.loader import load_project

    with findings.judged("consistent", "project file"):
        project = load_project(place.project_file)
        findings.add(
            "consistent", "project file", "ok", f"{len(project.features)} features, {len(project.models)} models"
        )
    registry: Registry | None = None
    with findings.judged("consistent", "models"):
        registry = wiring.open_registry(place)
        _models(findings, registry)
    if not place.log.exists():
        findings.add("consistent", "event log", "note", "empty; streamgauge import or ingest fills it")
        return
    with findings.judged("consistent", "event log"), closing(wiring.open_log(place)) as log:
        findings.add("consistent", "event log", "ok", f"{log.check():,} records are sound")
        with findings.judged("consistent", "states"):
            _store(findings, place, registry, log.last_position())
    if place.ledger.exists():
        with findings.judged("consistent", "decision ledger"), closing(wiring.open_ledger(place)) as ledger:
            report = ledger.verify_chain()
            broken = report.broken
            fault = "" if broken is None else f"{broken.kind} at entry {broken.seq}: {broken.detail}"
            good = f"the chain of {ledger.head().seq:,} entries is intact"
            bad = f"{fault}. Restore the ledger from a backup, and keep the damaged file."
            findings.add("consistent", "decision ledger", "ok" if report.ok else "bad", good if report.ok else bad)


def _models(findings: _Findings, registry: Registry) -> None:
    from streamgauge.app.live import LoadedModel

    names = registry.models()
    if not names:
        findings.add("consistent", "models", "note", "none is registered; streamgauge train makes one")
    for name in names:
        for registered in registry.versions(name):
            what = f"{name} {registered.version}"
            with findings.judged("consistent", what):
                artefact = registry.load(registered)
                champion = registry.champion(name)
                serves = champion is not None and champion.version == registered.version
                if serves:
                    LoadedModel.of(registered, artefact, registry.policy(name))
                detail = "champion: its hashes and its program fit" if serves else "its hashes fit"
                findings.add("consistent", what, "ok", detail)


def _store(findings: _Findings, place: Place, registry: Registry | None, last: int) -> None:
    """Compare what was applied with the log; they are rebuilt by themselves, so a lag is no fault."""
    if registry is None:
        findings.add("consistent", "states", "note", "not looked at: the models come first")
        return
    if running_owner(place) is not None:
        findings.add("consistent", "states", "note", "in the running owner's hands; see /readyz")
        return
    from streamgauge.app.live import LiveSet

    digest = LiveSet.champions(registry).layouts.digest
    if not (place.state / digest[:16]).exists():
        findings.add("consistent", "states", "note", "not built yet; the next start builds them from the log")
        return
    with closing(wiring.open_store(place, digest)) as store:
        behind = last - store.applied()
        detail = f"{behind:,} positions behind the log; the next start applies them" if behind else "level with the log"
        findings.add("consistent", "states", "bad" if behind < 0 else "ok", detail)
