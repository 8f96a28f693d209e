"""Loading: what a file may be, what is said of its errors, and what loading does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streamgauge.definitions.collect import current
from streamgauge.definitions.loader import load_project, load_source
from streamgauge.errors import DefinitionError
from tests.definitions.conftest import STREAMS, Refusal

ROOT = Path(__file__).parents[2]

PYTHON = {
    "syntax": ("class M(sg.Event  # <-", "Syntax error"),
    "undefined name": ("x = movemnt  # <-", "name 'movemnt' is not defined"),
    "close name": ("amount = 3\nx = amuont  # <-", 'Did you mean "amount"?'),
    "exception": ("raise ValueError('my own')  # <-", "ValueError: my own."),
    "exit": ("raise SystemExit(3)  # <-", "SystemExit: 3."),
    "import": ("import streamgauge.nothing  # <-", "No module named 'streamgauge.nothing'"),
    "in a function": ("def f():\n    return 1 / 0  # <-\nf()", "ZeroDivisionError"),
    "in the library": ("x = sg.EventId(3)  # <-", "missing 2 required positional arguments"),
}


@pytest.mark.parametrize(("code", "message"), PYTHON.values(), ids=PYTHON)
def test_an_error_of_the_users_own_code_has_its_line(code: str, message: str, refusal: Refusal) -> None:
    assert message in refusal(code).message


def test_a_file_without_an_event_is_refused() -> None:
    with pytest.raises(DefinitionError, match="The project has no event"):
        load_source("import streamgauge as sg\n")


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"nothing\.py cannot be read"):
        load_project(tmp_path / "nothing.py")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "risk.py").write_bytes(b"\xff\xfe")

    with pytest.raises(DefinitionError, match="no UTF-8 text"):
        load_project(tmp_path / "risk.py")


def test_an_error_names_the_file_and_the_line(tmp_path: Path) -> None:
    file = tmp_path / "risk.py"
    file.write_text(STREAMS + "x = Movement.ammount\n", encoding="utf-8")

    with pytest.raises(DefinitionError) as caught:
        load_project(file)

    line = len(STREAMS.splitlines()) + 1
    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert (caught.value.path, caught.value.line) == (str(file), line)


def test_a_failed_load_leaves_nothing_behind() -> None:
    with pytest.raises(DefinitionError):
        load_source(STREAMS + "x = y\n")

    assert current.get() is None
    assert load_source(STREAMS).streams.keys() == {"Movement", "Application", "Arrears", "Visit"}


HEAVY = (
    "numpy numba polars sklearn pandas pyarrow scipy onnx onnxruntime mlflow fastapi typer rich pydantic lmdb msgspec"
)


def test_loading_a_project_needs_only_the_standard_library() -> None:
    program = f"""
import sys
import streamgauge
from streamgauge.definitions.loader import load_project
load_project({str(ROOT / "examples" / "credit" / "credit.py")!r})
print(*sorted({set(HEAVY.split())!r} & {{name.partition(".")[0] for name in sys.modules}}))
"""

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "src")},
    )

    assert done.stdout.strip() == ""


def test_importing_streamgauge_takes_less_than_importing_numpy() -> None:
    def fastest(module: str) -> float:
        program = f"import time; start = time.process_time(); import {module}; print(time.process_time() - start)"
        environment = {"PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, "-c", program]
        return min(float(subprocess.check_output(command, text=True, env=environment)) for _ in range(5))

    assert fastest("streamgauge") <= 0.6 * fastest("numpy")


def test_opening_a_project_is_asked_for_by_name() -> None:
    import streamgauge

    with pytest.raises(AttributeError, match="has no attribute 'opne'"):
        streamgauge.opne  # type: ignore[attr-defined]  # noqa: B018 - the mistake under test
