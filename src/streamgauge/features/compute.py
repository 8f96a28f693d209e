"""From aggregates to finished features: the last step, which every host shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamgauge.features.bind import BoundProgram
from streamgauge.features.expressions import finish

FloatArray = NDArray[np.float64]


def finish_rows(bound: BoundProgram, aggs: FloatArray, out: FloatArray) -> None:
    """Compute features ``out`` float64[m, features] from aggregates float64[m, aggregates], both C-contiguous."""
    code = bound.expressions
    finish(code.code, code.starts, code.consts, code.depth, aggs, out)
