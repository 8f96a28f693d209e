"""The ONNX file is deterministic and says what it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from streamgauge.errors import ModelError
from streamgauge.scoring.inference import OnnxModel
from streamgauge.scoring.onnx_export import export_onnx
from tests.scoring.portfolio import fit


def test_two_exports_are_the_same_bytes(fitted: Any) -> None:
    assert export_onnx(fitted.ensemble) == export_onnx(fitted.ensemble)


@pytest.mark.parametrize("kind", ["boosting", "forest", "logistic"])
def test_two_trainings_give_the_same_file(kind: str) -> None:
    assert export_onnx(fit(kind, n=400).ensemble) == export_onnx(fit(kind, n=400).ensemble)


def test_the_file_is_a_valid_double_precision_model(fitted: Any) -> None:
    model = onnx.load_from_string(export_onnx(fitted.ensemble))
    onnx.checker.check_model(model)
    assert {(item.domain, item.version) for item in model.opset_import} == {("", 21), ("ai.onnx.ml", 5)}
    kinds = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    assert kinds == {onnx.TensorProto.DOUBLE}


def test_one_row_and_many_rows_agree(fitted: Any) -> None:
    model = OnnxModel(export_onnx(fitted.ensemble))
    many = model.margin(fitted.rows[:300])
    single = np.concatenate([model.margin(fitted.rows[i : i + 1]) for i in range(300)])
    np.testing.assert_allclose(single, many, rtol=0, atol=1e-12)
    assert model.margin(fitted.rows[:0]).shape == (0,)


def test_a_broken_file_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot load the model"):
        OnnxModel(b"no model")
