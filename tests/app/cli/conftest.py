"""The command line as its users call it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from streamgauge.app.cli.main import app
from streamgauge.app.settings import Place

if TYPE_CHECKING:
    from pathlib import Path

    from tests.app.conftest import Lender

Command = Callable[..., Result]


def command(*words: object) -> Result:
    """Run a command in this process; anything but a clean end or a told refusal raises."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def answer(*words: object) -> Any:
    """Return what a command prints with ``--json``; standard output holds nothing else."""
    result = command(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refusal(*words: object, code: int = 1) -> str:
    """Return what a command that refuses says."""
    result = command(*words)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stderr


def read_table(path: Path) -> pl.DataFrame:
    """Read what a command wrote."""
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    return pl.read_csv(path) if path.suffix == ".csv" else pl.read_ndjson(path)


@pytest.fixture(scope="module")
def project(lender: Lender, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A trained project directory of one file of tests."""
    return lender.copy(tmp_path_factory.mktemp("cli") / "lender")


@contextmanager
def running(root: Path, *more: str) -> Iterator[dict[str, Any]]:
    """Run ``streamgauge run`` on a free port; give what it prints when it answers."""
    words = [sys.executable, "-m", "streamgauge.app.cli", "run", "-C", str(root), "--port", "0", "--json", *more]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            if not line:
                pytest.fail(process.stderr.read().decode())
            yield json.loads(line)
        finally:
            process.terminate()
            process.wait(30)
        assert process.returncode == 0, process.stderr.read().decode()
