"""Importing the package, loading a project file and asking for help load no vendor library."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND_LINE = ROOT / "src/streamgauge/app/cli/main.py"
PROJECT_FILES = sorted(path for path in (ROOT / "examples").rglob("*.py") if "(sg.Event" in path.read_text())
COMPUTING = {"matplotlib", "numba", "numpy", "onnx", "onnxruntime", "pandas", "polars", "pyarrow", "scipy", "sklearn"}
SERVING = {
    "alembic",
    "fastapi",
    "lmdb",
    "mlflow",
    "prometheus_client",
    "pydantic",
    "sqlalchemy",
    "sqlite3",
    "starlette",
}
VENDORS = COMPUTING | SERVING | {"httptools", "sse_starlette", "uvicorn", "uvloop"}
TERMINAL = {"click", "rich", "typer"}


def loaded_by(program: str, *arguments: str) -> set[str]:
    """The top-level modules in a fresh interpreter after it has run a program."""
    report = """
import json, sys
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""
    command = [sys.executable, "-c", program + report, *arguments]
    ended = subprocess.run(command, cwd=ROOT / "src", capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stderr.splitlines()[-1]))


def test_the_search_finds_a_vendor_that_is_loaded() -> None:
    assert {"numpy", "polars"} <= loaded_by("import numpy, polars") & VENDORS


def test_importing_streamgauge_loads_no_vendor() -> None:
    assert not loaded_by("import streamgauge") & (VENDORS | TERMINAL)


@pytest.mark.parametrize("path", PROJECT_FILES, ids=lambda path: path.parent.name)
def test_loading_a_project_file_loads_no_vendor(path: Path) -> None:
    program = "import sys; from pathlib import Path; from streamgauge.definitions.loader import load_project"
    assert not loaded_by(f"{program}; load_project(Path(sys.argv[1]))", str(path)) & (VENDORS | TERMINAL)


@pytest.mark.skipif(not COMMAND_LINE.exists(), reason="the command line is not built yet")
def test_asking_for_help_loads_the_terminal_and_no_other_vendor() -> None:
    program = """
import sys
from streamgauge.app.cli.main import main
sys.argv = ["streamgauge", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert not loaded_by(program) & VENDORS


@pytest.mark.parametrize("package", ["models", "scoring"])
def test_learning_libraries_are_imported_where_they_are_used(package: str) -> None:
    program = f"""
import importlib, pkgutil, streamgauge.{package} as package
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
"""
    # Numba itself loads the top of SciPy.
    assert not loaded_by(program) & {"matplotlib", "onnx", "onnxruntime", "sklearn"}


def test_a_server_starts_without_what_only_imports_and_training_need() -> None:
    program = "import streamgauge.app.api.serving, streamgauge.app.owner"
    assert not loaded_by(program) & {"matplotlib", "mlflow", "onnx", "pandas", "polars", "sklearn", "sqlalchemy"}
