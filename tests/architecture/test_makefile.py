"""The Makefile: what its targets print, and that help knows them."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # What a make around these tests was called with is not for this one.
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=own, capture_output=True, text=True, check=False)


@pytest.fixture
def talkative(tmp_path: Path) -> Path:
    """An environment without the core, whose programs all print what they are called with."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python", "streamgauge", "uv"):
        program = programs / name
        program.write_text('#!/bin/sh\necho "$(basename "$0") $*"\n')
        program.chmod(0o755)
    (tmp_path / ".uv").touch()
    return tmp_path


def test_only_the_demo_speaks_on_standard_output(talkative: Path) -> None:
    ended = make("demo", f"VENV={talkative}", "ARGS=--for 60s --json")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "streamgauge demo --for 60s --json\n"
    assert "uv pip sync" in ended.stderr


def test_what_is_installed_is_not_installed_again(talkative: Path) -> None:
    assert "uv pip sync" in make("venv", f"VENV={talkative}").stderr
    assert "uv pip sync" not in make("venv", f"VENV={talkative}").stderr


def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    ended = make("venv", f"VENV={tmp_path / 'venv'}", f"PYTHON={old}")
    assert ended.returncode != 0
    assert "older than Python 3.11" in ended.stderr


def test_help_lists_every_target() -> None:
    declared = set(re.findall(r"^\.PHONY: (\S+)$", MAKEFILE, re.MULTILINE))
    listed = set(re.findall(r"^  (\S+)", make("help").stdout, re.MULTILINE))
    assert declared == listed
