"""Compiling ahead: each kernel once, before anything waits for it, however many processes begin at a time.

A kernel is compiled where its module is first imported after an installation, and kept on the disk from then on.
Numba keeps it where NUMBA_CACHE_DIR says, else beside the module, else in the user's cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from platform import machine, python_version
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from streamgauge.app.service import Progress

logger = logging.getLogger(__name__)

PACKAGE: Final = Path(__file__).parents[1]
SOURCES: Final = ("events", "features", "features/kernels", "scoring", "adapters/lmdb", "adapters/sqlite")
"""The folders in which kernels are, and what they call."""
WHAT: Final = "compiling kernels, once after an installation"
_PAUSE_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Part:
    """Kernels that one process compiles in one go.

    Attributes:
        module: Which module holds them.
        needs: The modules of other parts that it imports.
    """

    module: str
    needs: tuple[str, ...] = ()


_KERNEL: Final = "streamgauge.features.kernels.stream"
_SUMMARIZED: Final = "streamgauge.features.kernels.summarized"
_NOTING: Final = "streamgauge.features.kernels.noting"
_STORED: Final = "streamgauge.features.stored"
_EVALUATING: Final = "streamgauge.features.evaluating"
_PACKING: Final = "streamgauge.features.packing"
_CONDITIONS: Final = "streamgauge.features.conditions"
_BATCH: Final = "streamgauge.events.batch"
_ORDERING: Final = "streamgauge.features.ordering"

# What one process begins with at this end, and another at that one, takes each about as long.
PARTS: Final = (
    Part(_KERNEL),
    Part(_EVALUATING, (_KERNEL,)),
    Part("streamgauge.features.kernels.sweep", (_KERNEL,)),
    Part(_PACKING),
    Part(_CONDITIONS),
    Part(_ORDERING),
    Part(_BATCH),
    Part("streamgauge.adapters.sqlite.log_columns", (_BATCH, _ORDERING)),
    Part("streamgauge.features.kernels.roll"),
)
LATER: Final = (
    Part(_STORED, (_KERNEL, _EVALUATING, _PACKING, _CONDITIONS)),
    Part(_NOTING),
    Part(_SUMMARIZED, (_KERNEL,)),
)
"""What few projects need in their first minute: for the portfolio as a whole, and for streams with very many events."""


def compile_kernels(progress: Progress, parts: Sequence[Part] = PARTS, *, from_end: bool = False) -> None:
    """Import kernels, and compile those that are not compiled yet.

    Processes that do so at the same time share the work: each takes what no other has begun, and loads the rest.

    Args:
        progress: Told how many parts are done, where any is compiled.
        parts: `PARTS` or `LATER`.
        from_end: Whether to begin with the last part, as a second process does well to.
    """
    if kernels_compiled(parts):
        return
    folder, stamp = _folder(), _stamp()
    if folder is not None:
        drop_stale(folder, PACKAGE)
    share(tuple(reversed(parts)) if from_end else parts, folder, importlib.import_module, progress)
    if folder is not None:
        with suppress(OSError):
            (folder / _mark(parts)).write_text(stamp, encoding="ascii")


class CompilingLater:
    """A process that compiles `LATER` behind others' work, while this one makes no summaries yet.

    Without it the first that needs such a kernel waits for its compilation; with it none does but the portfolio.
    """

    def __init__(self) -> None:
        """Begin, where there is anything to compile and a place to keep it."""
        self._process: subprocess.Popen[bytes] | None = None
        if kernels_compiled(LATER) or not kernels_kept():
            return
        from streamgauge.features.summary import put_off_summaries

        put_off_summaries()
        self._process = subprocess.Popen(  # noqa: S603 - this module
            [sys.executable, "-m", __name__], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    def then(self, summarize: Callable[[], object]) -> None:
        """Make summaries from when it has ended, and call a function that does so of what is in memory."""
        if self._process is not None:
            threading.Thread(target=self._wait, args=(self._process, summarize), name="compiling", daemon=True).start()

    def close(self) -> None:
        """End it; who goes on in this process makes summaries again."""
        if self._process is not None:
            from streamgauge.features.summary import make_summaries

            self._process.kill()
            self._process.wait()
            make_summaries()

    @staticmethod
    def _wait(process: subprocess.Popen[bytes], summarize: Callable[[], object]) -> None:
        if process.wait() == 0:
            from streamgauge.features.summary import make_summaries

            make_summaries()
            summarize()
        elif process.returncode > 0:
            logger.warning("Kernels could not be compiled: streams with very many events are slow until a new start.")


def drop_stale(folder: Path, package: Path) -> None:
    """Remove compiled kernels of other sources, once for each change of any source.

    Numba compiles a kernel again when the file that holds it changes, not when one does that holds what it calls. In a
    checkout that moved on, it would go on with the old formula.

    Args:
        folder: Where it is noted for which sources there are compiled kernels.
        package: Whose kernels go, where they lie beside the modules.
    """
    begun = folder / f"{_MARK}.begun"
    with suppress(OSError), (folder / f"{_MARK}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = _stamp()
        if begun.exists() and begun.read_text(encoding="ascii") == stamp:
            return
        for kept in (*package.rglob("__pycache__/*.nbi"), *package.rglob("__pycache__/*.nbc")):
            kept.unlink(missing_ok=True)
        begun.write_text(stamp, encoding="ascii")


def kernels_compiled(parts: Sequence[Part] = PARTS) -> bool:
    """Return whether the kernels of this installation have been compiled and kept."""
    folder = _folder()
    if folder is not None:
        with suppress(OSError):
            return (folder / _mark(parts)).read_text(encoding="ascii") == _stamp()
    return False


def kernels_kept() -> bool:
    """Return whether there is a directory in which compiled kernels can be kept."""
    return _folder() is not None


def share(
    parts: Sequence[Part],
    folder: Path | None,
    load: Callable[[str], object],
    progress: Progress,
) -> None:
    """Load every part, each while no other process loads it.

    Args:
        parts: In the order in which they are tried; one that another process is at comes later.
        folder: Where the locks are; without one nothing is shared.
        load: Imports a module.
        progress: Told how many parts are done.
    """
    waiting, loaded = list(parts), set[str]()
    while waiting:
        progress(WHAT, len(loaded), len(parts))
        for part in waiting:
            with ExitStack() as locks:
                if all(_taken(locks, folder, name) for name in (*part.needs, part.module) if name not in loaded):
                    load(part.module)
                    break
        else:
            time.sleep(_PAUSE_S)
            continue
        waiting.remove(part)
        loaded.add(part.module)
    progress(WHAT, len(parts), len(parts))


_MARK: Final = "streamgauge-kernels"
_NICENESS: Final = 19


def _mark(parts: Sequence[Part]) -> str:
    return f"{_MARK}.later" if parts is LATER else _MARK


def _taken(locks: ExitStack, folder: Path | None, name: str) -> bool:
    """Lock a module until the stack ends; return False where another process has it."""
    if folder is None:
        return True
    file = locks.enter_context((folder / f"{_MARK}.{name}.lock").open("ab"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folders() -> Iterator[Path]:
    """Yield where compiled kernels may be kept, in the order in which Numba looks for a place."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(os.environ["NUMBA_CACHE_DIR"])
    yield PACKAGE / "features" / "__pycache__"
    yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"


def _folder() -> Path | None:
    """Return the first directory that can be written."""
    for folder in _folders():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / f"{_MARK}.lock").open("ab"):
                return folder
    return None


def _stamp() -> str:
    """Return what compiled kernels depend on: Numba looks at a module's time and size, too."""
    facts = [python_version(), machine(), version("numba"), version("llvmlite")]
    for source in SOURCES:
        for path in sorted((PACKAGE / source).glob("*.py")):
            found = path.stat()
            facts.append(f"{path.name} {found.st_mtime_ns} {found.st_size}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


if __name__ == "__main__":
    os.nice(_NICENESS)
    compile_kernels(lambda _what, _done, _of: None, LATER)
