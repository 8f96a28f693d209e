"""The import contracts of pyproject.toml, and that they can be broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")


def broken_contracts(checkout: Path) -> str:
    """What the linter says of a checkout; empty when every contract is kept."""
    command = [str(LINT), "--no-logo", "--no-cache"]
    ended = subprocess.run(
        command, cwd=checkout, env={"PYTHONPATH": str(checkout / "src")}, capture_output=True, text=True, check=False
    )
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_is_kept(checkout: Path) -> None:
    assert not broken_contracts(checkout)


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("definitions/planted.py", "import streamgauge.events", "A package imports only those before it"),
        ("monitoring/planted.py", "import streamgauge.app", "A package imports only those before it"),
        ("app/cli/planted.py", "import streamgauge.adapters", "Only the wiring knows"),
        ("features/planted.py", "import sqlite3", "Outside systems are met only"),
        ("decisions/planted.py", "def late() -> None:\n    import mlflow", "Outside systems are met only"),
        ("features/planted.py", "def late() -> None:\n    import sklearn", "Learning libraries are met only"),
        ("definitions/planted.py", "import numpy", "Definitions are plain Python"),
        ("models/planted.py", "import pickle", "No pickle is written or loaded"),
    ],
)
def test_a_planted_import_breaks_its_contract(checkout: Path, module: str, line: str, contract: str) -> None:
    (checkout / "src/streamgauge" / module).write_text(line + "\n")
    report = broken_contracts(checkout)
    broken = [name for name in report.splitlines() if " BROKEN" in name]
    assert any(name.startswith(contract) for name in broken), report
