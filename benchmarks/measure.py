"""Measuring: interleaved repetitions, and ratios taken within each, since shared machines are noisy."""

from __future__ import annotations

import gc
import os
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-bench" / "bin"
"""The programs of peers that need an environment of their own."""

_LIBRARIES = (
    *("streamgauge", "duckdb", "fastapi", "lmdb", "mlflow-skinny", "msgspec", "numba", "numpy", "onnxruntime"),
    *("polars", "scikit-learn", "shap", "uvicorn", "uvloop"),
)
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Spread:
    """A figure over repetitions: its median, and the least and the greatest of them."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Summarize repetitions."""
        held = list(values)
        return cls(statistics.median(held), min(held), max(held), len(held))


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Attributes:
        name: What was measured.
        figure: The repetitions of it.
        unit: Their unit.
        ratio: How many times better we are than this peer, repetition by repetition; None for ourselves.
        note: What to know when reading it.
    """

    name: str
    figure: Spread
    unit: str
    ratio: Spread | None = None
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What one benchmark found.

    Attributes:
        id: Its id, such as ``P3``.
        title: What it measures.
        size: At which sizes.
        goal: What it is measured against.
        checks: What was found equal before anything was timed, and on which rows.
        rows: The figures.
        notes: What to know when reading them, and peers that were not there.
    """

    id: str
    title: str
    size: Mapping[str, Any]
    goal: str
    checks: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON holds it."""
        return asdict(self)


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleave(
    repetitions: int, measured: Mapping[str, Callable[[], _Result]], *, warm_up: bool = True
) -> dict[str, list[_Result]]:
    """Measure each in turn, over and over, beginning with another one each time; return what they returned."""
    names = list(measured)
    if warm_up:
        for work in measured.values():
            work()
    found: dict[str, list[_Result]] = {name: [] for name in names}
    for repetition in range(repetitions):
        first = repetition % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            found[name].append(measured[name]())
    return found


def ratios(peer: Sequence[float], own: Sequence[float], *, more_is_better: bool = False) -> Spread:
    """Return how many times better we are, repetition by repetition."""
    pairs = zip(peer, own, strict=True)
    return Spread.of(b / a if more_is_better else a / b for a, b in pairs)


def machine() -> dict[str, Any]:
    """Return what was measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 1),
    }


def versions() -> dict[str, str]:
    """Return the versions that were measured."""
    return {name: metadata.version(name) for name in _LIBRARIES}


def commit() -> str:
    """Return the commit that was measured, with ``+`` where the tree differs from it; empty outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return ""

    def ask(*arguments: str) -> str:
        ended = subprocess.run([git, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return ended.stdout.strip()

    short = ask("rev-parse", "--short", "HEAD")
    return short + ("+" if ask("status", "--porcelain", "--untracked-files=no", "--", "src") else "")
