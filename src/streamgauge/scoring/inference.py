"""ONNX Runtime, set so that the same row always gives the same margin."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamgauge.errors import ModelError
from streamgauge.scoring.ensemble import Floats, as_rows
from streamgauge.scoring.onnx_export import INPUT, OUTPUT


class OnnxModel:
    """A loaded ONNX model: one thread, sequential, no graph rewriting (a merged pair of casts would move rows).

    Raises:
        ModelError: The bytes are no model that ONNX Runtime can run.
    """

    def __init__(self, data: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors share no public class
            raise ModelError(f"ONNX Runtime cannot load the model: {error}. Export or fetch it again.") from error
        self.n_features = int(self._session.get_inputs()[0].shape[1])

    def margin(self, X: Floats) -> Floats:
        """Return the raw margin of each row of coded values, float64[n, features] with NaN for null, as float64[n].

        Raises:
            ModelError: The rows have another number of columns.
        """
        rows = as_rows(X, self.n_features)
        if not len(rows):
            return np.empty(0)
        out: Floats = self._session.run([OUTPUT], {INPUT: rows})[0]
        return out
