"""Compiling ahead: processes share the work, and what is served later compiles nothing."""

import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from streamgauge.app import compiling
from streamgauge.app.compiling import (
    LATER,
    PARTS,
    CompilingLater,
    Part,
    compile_kernels,
    kernels_compiled,
    kernels_kept,
    share,
)
from streamgauge.features import summary

ALL = (Part("a"), Part("b", ("a",)), Part("c", ("a", "b")), Part("d"))


class Loader:
    """Loads modules slowly enough to be met by another, and notes who is at what."""

    def __init__(self) -> None:
        self.at: set[str] = set()
        self.loaded: list[str] = []
        self.together: list[str] = []
        self.lock = threading.Lock()
        self.met = threading.Barrier(2, timeout=10)

    def load(self, name: str) -> None:
        """Note it; the first two that load anything wait for each other."""
        with self.lock:
            if name in self.at:
                self.together.append(name)
            self.at.add(name)
            first = len(self.loaded) < 2
            self.loaded.append(name)
        if first:
            self.met.wait()
        with self.lock:
            self.at.remove(name)


def quiet(_what: str, _done: int, _total: int) -> None:
    """Show nothing."""


def test_two_processes_begin_at_both_ends_and_never_compile_the_same_part_at_once(tmp_path: Path) -> None:
    loader = Loader()
    other = threading.Thread(target=share, args=(ALL[::-1], tmp_path, loader.load, quiet))
    other.start()
    share(ALL, tmp_path, loader.load, quiet)
    other.join()
    assert sorted(loader.loaded[:2]) == ["a", "d"]
    assert not loader.together
    assert sorted(loader.loaded) == sorted([part.module for part in ALL] * 2)


def test_every_file_with_a_kernel_lies_in_a_folder_that_is_watched() -> None:
    watched = {compiling.PACKAGE / source for source in compiling.SOURCES}
    kernels = {path.parent for path in compiling.PACKAGE.rglob("*.py") if "njit(" in path.read_text("utf-8")}
    assert kernels <= watched
    assert kernels


def test_kernels_of_other_sources_are_removed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "package" / "features" / "__pycache__"
    cache.mkdir(parents=True)
    index, code, other = cache / "kernel.add-1.py311.nbi", cache / "kernel.add-1.py311.1.nbc", cache / "kernel.pyc"

    def after(stamp: str) -> list[bool]:
        monkeypatch.setattr(compiling, "_stamp", lambda: stamp)
        for path in (index, code, other):
            path.touch()
        compiling.drop_stale(tmp_path, tmp_path / "package")
        return [path.exists() for path in (index, code, other)]

    assert after("one") == [False, False, True]
    assert after("one") == [True, True, True]
    assert after("another") == [False, False, True]


def test_without_a_place_for_locks_every_part_is_loaded_in_order() -> None:
    loaded: list[str] = []
    share(ALL, None, loaded.append, quiet)
    assert loaded == ["a", "b", "c", "d"]


def test_progress_counts_the_parts(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    share(ALL, tmp_path, lambda _name: None, lambda _what, done, total: told.append((done, total)))
    assert told[0] == (0, 4)
    assert told[-1] == (4, 4)


def test_what_a_part_needs_comes_before_it() -> None:
    seen = set[str]()
    for part in PARTS + LATER:
        assert seen.issuperset(part.needs), part
        seen.add(part.module)


def test_an_installation_is_compiled_until_a_module_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compiling, "PACKAGE", tmp_path / "streamgauge")
    for folder in ("events", "features", "adapters/sqlite"):
        (tmp_path / "streamgauge" / folder).mkdir(parents=True)
    module = tmp_path / "streamgauge" / "features" / "kernel.py"
    module.write_text("one = 1\n")
    assert not kernels_compiled()
    compile_kernels(quiet)
    assert kernels_compiled()
    module.write_text("another = 2\n")
    assert not kernels_compiled()


def test_where_nothing_can_be_written_kernels_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr(compiling, "PACKAGE", blocked)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(blocked / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert not kernels_kept()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert kernels_kept()


def test_a_part_compiles_no_kernel_of_another_part_that_it_does_not_need() -> None:
    loaded = "import sys; __import__(sys.argv[1]); print(*[name for name in sys.argv[2:] if name in sys.modules])"
    modules = [part.module for part in PARTS + LATER]
    for part in PARTS + LATER:
        ended = subprocess.run(
            [sys.executable, "-c", loaded, part.module, *modules], capture_output=True, text=True, check=True
        )
        assert set(ended.stdout.split()) <= {part.module, *part.needs}, part


def test_what_few_need_is_compiled_behind_and_streams_are_summarized_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "_KERNELS", summary._Kernels())
    ended = tmp_path / "ended"
    script = f"import pathlib, time; time.sleep(0.3); pathlib.Path({str(ended)!r}).touch()"
    started = subprocess.Popen
    monkeypatch.setattr(compiling, "kernels_compiled", lambda parts=PARTS: parts is PARTS)
    monkeypatch.setattr(subprocess, "Popen", lambda _command, **named: started([sys.executable, "-c", script], **named))
    told = threading.Event()
    assert summary.makes_summaries()
    with closing(CompilingLater()) as later:
        assert not summary.makes_summaries()
        later.then(told.set)
        assert told.wait(60)
        assert ended.exists()
        assert summary.makes_summaries()


def test_a_process_that_fails_to_compile_leaves_streams_as_they_are_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(summary, "_KERNELS", summary._Kernels())
    started = subprocess.Popen
    monkeypatch.setattr(compiling, "kernels_compiled", lambda parts=PARTS: parts is PARTS)
    monkeypatch.setattr(subprocess, "Popen", lambda _command, **named: started(["false"], **named))
    with closing(CompilingLater()) as later:
        later.then(lambda: pytest.fail("Nothing was compiled."))
        while not caplog.records:
            time.sleep(0.01)
        assert "could not be compiled" in caplog.text
        assert not summary.makes_summaries()
    assert summary.makes_summaries()


def test_where_all_is_compiled_nothing_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "_KERNELS", summary._Kernels())
    monkeypatch.setattr(compiling, "kernels_compiled", lambda parts=PARTS: bool(parts))
    with closing(CompilingLater()) as later:
        assert summary.makes_summaries()
        later.then(lambda: pytest.fail("There is nothing to wait for."))
