"""mypy and pyright accept the example projects, and name each planted mistake on its line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MISTAKES = ROOT / "tests" / "typing" / "mistakes.py.txt"  # no .py, so that lint does not name what it must
ACCEPTED = [
    ROOT / "examples" / "churn" / "churn.py",
    ROOT / "examples" / "fraud" / "fraud.py",
    ROOT / "examples" / "credit" / "credit.py",
    ROOT / "examples" / "taiwan" / "taiwan.py",
    ROOT / "tests" / "typing" / "accepted.py",
]


def planted(checker: str) -> list[int]:
    lines = MISTAKES.read_text(encoding="utf-8").splitlines()
    return [number for number, line in enumerate(lines, 1) if checker in re.findall(r"\w+", line.partition("  # ")[2])]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the sound files and the planted mistakes, as Python."""
    mistakes = tmp_path_factory.mktemp("mistakes") / "mistakes.py"
    mistakes.write_bytes(MISTAKES.read_bytes())
    return [*ACCEPTED, mistakes]


@pytest.fixture(scope="module")
def mypy(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """Return the lines that mypy names, by file."""
    cache = tmp_path_factory.mktemp("mypy")
    config = ["--strict", "--config-file=", f"--cache-dir={cache}", "--python-version=3.11", "--follow-imports=silent"]
    found: dict[str, list[int]] = {}
    for file in files:
        done = subprocess.run(
            [sys.executable, "-m", "mypy", *config, "--no-error-summary", str(file)],
            capture_output=True,
            text=True,
            check=False,
            env={"MYPYPATH": str(ROOT / "src")},
            cwd=cache,
        )
        assert done.stderr == ""
        errors = re.findall(r"^(.+?):(\d+): error: ", done.stdout, flags=re.MULTILINE)
        assert {Path(cache, name).name for name, _ in errors} <= {file.name}, done.stdout
        found[file.name] = sorted({int(line) for _, line in errors})
    return found


@pytest.fixture(scope="module")
def pyright(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """Return the lines that pyright names, by file; basedpyright ships it whole; its strict rules."""
    folder = tmp_path_factory.mktemp("pyright")
    config = {
        "include": [str(file) for file in files],
        "extraPaths": [str(ROOT / "src")],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "-p", str(folder), "--outputjson"],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(files)
    found: dict[str, set[int]] = {file.name: set() for file in files}
    for item in report["generalDiagnostics"]:
        if item["severity"] == "error":
            found[Path(item["file"]).name].add(item["range"]["start"]["line"] + 1)
    return {name: sorted(lines) for name, lines in found.items()}


@pytest.mark.parametrize("file", ACCEPTED, ids=lambda file: file.stem)
def test_mypy_accepts_a_sound_file(file: Path, mypy: dict[str, list[int]]) -> None:
    assert mypy[file.name] == []


@pytest.mark.parametrize("file", ACCEPTED, ids=lambda file: file.stem)
def test_pyright_accepts_a_sound_file(file: Path, pyright: dict[str, list[int]]) -> None:
    assert pyright[file.name] == []


def test_mypy_names_each_planted_mistake(mypy: dict[str, list[int]]) -> None:
    assert mypy["mistakes.py"] == planted("mypy")


def test_pyright_names_each_planted_mistake(pyright: dict[str, list[int]]) -> None:
    assert pyright["mistakes.py"] == planted("pyright")
