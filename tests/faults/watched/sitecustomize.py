"""Notes which phases of its work a process is in, where the note outlives it; and kills it in the one aimed at.

Python runs this at the start of every process that has this folder on its path, also of those that others start.
Nothing of Streamgauge knows of it: functions are wrapped when their module is loaded. Standard library only.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Final

FOLDER: Final = "FAULTS_PHASES"
AIM: Final = "aim"
PHASES: Final = (
    "starting",
    "catching up",
    "ingesting",
    "applying",
    "storing",
    "checkpointing",
    "sealing",
    "dropping",
    "merging",
    "importing",
    "rebuilding",
    "erasing",
    "deciding",
    "retrying",
)
WATCHED: Final = {
    "streamgauge.app.owner": {"Owner._open": "starting"},
    "streamgauge.app.engine": {"Engine._catch_up": "catching up"},
    "streamgauge.adapters.sqlite.log": {"SqliteLog.append": "ingesting"},
    "streamgauge.app.applying": {
        "Applier.apply": "applying",
        "Applier.prepare": "applying",
        "Applier.write": "storing",
    },
    "streamgauge.adapters.lmdb.store": {"LmdbStateStore.put_batch": "checkpointing"},
    "streamgauge.adapters.sqlite.archived_log": {
        "ArchivedLog._seal_some": "sealing",
        "ArchivedLog._drop_sealed": "dropping",
    },
    "streamgauge.log.archive": {"Archive._write": "merging"},
    "streamgauge.app.importing": {"Importer.history": "importing", "Importer.settle": "rebuilding"},
    "streamgauge.features.rebuild": {"rebuild_store": "rebuilding"},
    "streamgauge.app.erasing": {"Eraser._finish": "erasing"},
    "streamgauge.app.deciding": {"Decider.decide_many": "deciding"},
    "streamgauge.app.retrying": {"Retrier._again": "retrying"},
}
_COUNT: Final = struct.Struct("<q")
_LEAST_MERGED: Final = 2


def phases_of(note: Path) -> list[str]:
    """Return the phases that a process was in when it ended."""
    data = note.read_bytes()
    return [name for number, name in enumerate(PHASES) if _COUNT.unpack_from(data, number * _COUNT.size)[0] > 0]


def install() -> None:
    """Watch this process, where a test asks for it."""
    folder = os.environ.get(FOLDER)
    if folder is not None:
        sys.meta_path.insert(0, _Finder(_Watch(Path(folder))))


class _Watch:
    """The phases of this process, and the aim."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changing = threading.Lock()
        self._note: mmap.mmap | None = None
        self._entries = 0
        self._late = False
        try:
            phase, nth, delay = (folder / AIM).read_text("utf-8").split(",")
        except FileNotFoundError:
            phase, nth, delay = "", "0", "0"
        self._aim, self._nth, self._delay_s = phase, int(nth), float(delay)

    def entered(self, phase: str) -> None:
        self._count(phase, 1)
        if phase != self._aim:
            return
        with self._changing:
            self._entries += 1
            entries, late = self._entries, self._late
        if late or (entries == self._nth and not self._delay_s):
            self._kill()
        elif entries == self._nth:
            threading.Thread(target=self._kill_soon, daemon=True).start()

    def left(self, phase: str) -> None:
        self._count(phase, -1)

    def _count(self, phase: str, change: int) -> None:
        place = PHASES.index(phase) * _COUNT.size
        with self._changing:
            if self._note is None:
                with (self._folder / str(os.getpid())).open("w+b") as file:
                    file.truncate(mmap.PAGESIZE)
                    self._note = mmap.mmap(file.fileno(), mmap.PAGESIZE)
            _COUNT.pack_into(self._note, place, _COUNT.unpack_from(self._note, place)[0] + change)

    def _kill_soon(self) -> None:
        time.sleep(self._delay_s)
        self._late = True  # where the phase is over, its next beginning is the moment
        place = PHASES.index(self._aim) * _COUNT.size
        if self._note is not None and _COUNT.unpack_from(self._note, place)[0] > 0:
            self._kill()

    def _kill(self) -> None:
        (self._folder / AIM).unlink(missing_ok=True)
        os.kill(os.getpid(), signal.SIGKILL)


class _Finder(MetaPathFinder):
    """Wraps what is watched in a module when it is loaded."""

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = PathFinder.find_spec(fullname, path, target) if fullname in WATCHED else None
        if found is not None and found.loader is not None:
            found.loader = _Loader(found.loader, self._watch, WATCHED[fullname])
        return found


class _Loader(Loader):
    def __init__(self, loader: Any, watch: _Watch, watched: dict[str, str]) -> None:
        self._loader = loader
        self._watch = watch
        self._watched = watched

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        for name, phase in self._watched.items():
            owner, _, function = name.rpartition(".")
            holder = getattr(module, owner) if owner else module
            if hasattr(holder, function):
                setattr(holder, function, _wrapped(getattr(holder, function), phase, self._watch))


def _counts(phase: str, values: tuple[Any, ...]) -> bool:
    if phase == "merging":
        return len(values[-1]) >= _LEAST_MERGED  # the segments that the new one replaces
    return phase != "checkpointing" or bool(values[1])  # the states


def _wrapped(function: Callable[..., Any], phase: str, watch: _Watch) -> Callable[..., Any]:
    @wraps(function)
    def run(*values: Any, **named: Any) -> Any:
        if not _counts(phase, values):
            return function(*values, **named)
        watch.entered(phase)
        try:
            return function(*values, **named)
        finally:
            watch.left(phase)

    return run


install()
