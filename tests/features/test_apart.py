"""A kernel that is called apart is compiled once, and answers as one that is linked into its caller."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from streamgauge.events import array_types as ty
from streamgauge.features.kernels.apart import apart

MODULE = """
import numpy as np
from numba import njit
from streamgauge.events import array_types as ty
from streamgauge.features.kernels.apart import apart


@njit(ty.INT(ty.READ_INTS, ty.INT), cache=True)
def inner(values, factor):
    return values.sum() * factor


inner_apart = apart(inner)


@njit(ty.INT(ty.INTS), cache=True)
def outer(values):
    return inner_apart(values, 3) + 1


if __name__ == "__main__":
    print(outer(np.arange(5)), sum(outer.stats.cache_hits.values()))
"""


@njit(ty.FLOATS(ty.READ_INTS, ty.INT))
def _halves(values, least):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    out = np.empty(len(values))
    for i in range(len(values)):
        if values[i] < least:
            raise ValueError("too small")
        out[i] = values[i] / 2
    return out


halves = apart(_halves)


@njit(ty.FLOATS(ty.INTS, ty.INT))
def _called(values, least):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return halves(values[1:], least)


def test_the_answer_is_that_of_the_kernel() -> None:
    values = np.arange(1, 6)
    assert _called(values, 0).tobytes() == _halves(values[1:], 0).tobytes() == halves(values[1:], 0).tobytes()


def test_an_error_passes_through_the_caller() -> None:
    with pytest.raises(ValueError, match="too small"):
        _called(np.arange(5), 2)


def test_the_caller_holds_no_copy_of_the_kernel() -> None:
    (code,) = _called.inspect_llvm().values()
    assert "fdiv" not in code
    (code,) = _halves.inspect_llvm().values()
    assert "fmul" in code or "fdiv" in code


def test_a_kernel_of_no_one_signature_is_refused() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        apart(njit(lambda value: value))


def test_a_caller_from_the_cache_finds_the_kernel(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(MODULE)
    said = [
        subprocess.run(
            [sys.executable, str(module)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert said == [["31", "0"], ["31", "1"]]
