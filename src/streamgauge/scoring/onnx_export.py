"""An `Ensemble` as an ONNX model: written node by node, in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamgauge.scoring.ensemble import WORD_BITS, Ensemble, Linear, Trees

INPUT = "features"
OUTPUT = "margin"
_OPSET, _ML_OPSET, _IR_VERSION = 21, 5, 10
_LEQ, _MEMBER = 0, 6
_SUM = 1


def export_onnx(ensemble: Ensemble) -> bytes:
    """Return the ONNX model of an ensemble: ``features`` double[n, p] with NaN for null, to ``margin`` double[n].

    The same ensemble always gives the same bytes. Calibration is not part of the model.

    Source: ONNX operators, ai.onnx.ml opset 5, TreeEnsemble.
    """
    from onnx import TensorProto, helper

    model = ensemble.model
    nodes, initializers = _tree_graph(model) if isinstance(model, Trees) else _linear_graph(model)
    graph = helper.make_graph(
        nodes,
        "margin",
        [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, [None, ensemble.n_features])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, [None])],
        initializers,
    )
    proto = helper.make_model(
        graph,
        producer_name="streamgauge",
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)],
    )
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _tree_graph(trees: Trees) -> tuple[list[Any], list[Any]]:
    from onnx import TensorProto, helper, numpy_helper

    nodes, source = [], INPUT
    initializers = [numpy_helper.from_array(np.array([1], dtype=np.int64), "axis")]
    if trees.float32:
        nodes.append(helper.make_node("Cast", [INPUT], ["rounded32"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Cast", ["rounded32"], ["rounded"], to=TensorProto.DOUBLE))
        source = "rounded"
    attributes = _tree_attributes(trees)
    nodes.append(helper.make_node("TreeEnsemble", [source], ["sums"], domain="ai.onnx.ml", **attributes))
    last = "sums"
    if trees.divisor != 1.0:
        initializers.append(numpy_helper.from_array(np.array([trees.divisor]), "divisor"))
        nodes.append(helper.make_node("Div", [last, "divisor"], ["means"]))
        last = "means"
    nodes.append(helper.make_node("Squeeze", [last, "axis"], [OUTPUT]))
    return nodes, initializers


def _tree_attributes(trees: Trees) -> dict[str, Any]:
    """Return the operator's tables. The baseline is a first tree of one leaf, so sums run in scikit-learn's order."""
    from onnx import numpy_helper

    inner = np.flatnonzero(trees.feature >= 0)
    leaves = np.flatnonzero(trees.feature < 0)
    is_leaf = trees.feature < 0
    place = np.empty(len(trees.feature), dtype=np.int64)
    stumps = [int(root) for root in trees.roots if is_leaf[root]]
    lead = 1 + len(stumps)  # trees of one leaf: a node whose two branches are that leaf
    place[inner] = np.arange(len(inner)) + lead
    place[leaves] = np.arange(len(leaves)) + 1
    of_stump = {root: i + 1 for i, root in enumerate(stumps)}
    single = np.array([0, *(place[root] for root in stumps)], dtype=np.int64)
    roots = [0, *(of_stump.get(int(root), int(place[root])) for root in trees.roots)]
    left, right = trees.left[inner], trees.right[inner]
    member = trees.members[inner] >= 0
    zeros, ones = np.zeros(lead, dtype=np.int64), np.ones(lead, dtype=np.int64)

    def ints(head: Any, tail: Any) -> list[int]:  # noqa: ANN401 - arrays of any integer type
        return [int(value) for value in np.concatenate([head, tail])]

    modes = np.concatenate([np.full(lead, _LEQ), np.where(member, _MEMBER, _LEQ)]).astype(np.uint8)
    splits = np.concatenate([np.zeros(lead), np.where(member, 0.0, trees.threshold[inner])])
    weights = np.concatenate([[trees.baseline], trees.value[leaves]])
    attributes: dict[str, Any] = {
        "aggregate_function": _SUM,
        "n_targets": 1,
        "post_transform": 0,
        "tree_roots": roots,
        "nodes_modes": numpy_helper.from_array(modes, "nodes_modes"),
        "nodes_featureids": ints(zeros, trees.feature[inner]),
        "nodes_splits": numpy_helper.from_array(splits, "nodes_splits"),
        "nodes_truenodeids": ints(single, place[left]),
        "nodes_trueleafs": ints(ones, is_leaf[left]),
        "nodes_falsenodeids": ints(single, place[right]),
        "nodes_falseleafs": ints(ones, is_leaf[right]),
        "nodes_missing_value_tracks_true": ints(zeros, trees.missing_left[inner]),
        "leaf_targetids": [0] * len(weights),
        "leaf_weights": numpy_helper.from_array(weights, "leaf_weights"),
    }
    if member.any():
        values = _membership_values(trees, trees.members[inner][member])
        attributes["membership_values"] = numpy_helper.from_array(values, "membership_values")
    return attributes


def _membership_values(trees: Trees, sets: Any) -> Any:  # noqa: ANN401 - arrays
    """Return the codes of each member set in the order of the nodes, each set ended by NaN."""
    values: list[float] = []
    for row in sets:
        words = trees.words[row]
        values += [
            float(c) for c in range(len(words) * WORD_BITS) if (int(words[c // WORD_BITS]) >> (c % WORD_BITS)) & 1
        ]
        values.append(float("nan"))
    return np.array(values)


def _linear_graph(linear: Linear) -> tuple[list[Any], list[Any]]:
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, values: Any) -> Any:  # noqa: ANN401 - arrays
        return numpy_helper.from_array(np.asarray(values), name)

    initializers = [
        constant("impute", linear.impute),
        constant("center", linear.center),
        constant("scale", linear.scale),
        constant("coef", linear.coef[:, None]),
        constant("intercept", np.array([linear.intercept])),
        constant("axis", np.array([1], dtype=np.int64)),
    ]
    nodes = [
        helper.make_node("IsNaN", [INPUT], ["null"]),
        helper.make_node("Where", ["null", "impute", INPUT], ["imputed"]),
        helper.make_node("Sub", ["imputed", "center"], ["centered"]),
        helper.make_node("Div", ["centered", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "coef"], ["value_sum"]),
        helper.make_node("Add", ["value_sum", "intercept"], ["with_intercept"]),
    ]
    last = "with_intercept"
    if len(linear.flag_feature):
        initializers += [
            constant("flag_feature", linear.flag_feature.astype(np.int64)),
            constant("flag_center", linear.flag_center),
            constant("flag_scale", linear.flag_scale),
            constant("flag_coef", linear.flag_coef[:, None]),
        ]
        nodes += [
            helper.make_node("Cast", ["null"], ["null_number"], to=TensorProto.DOUBLE),
            helper.make_node("Gather", ["null_number", "flag_feature"], ["flags"], axis=1),
            helper.make_node("Sub", ["flags", "flag_center"], ["flags_centered"]),
            helper.make_node("Div", ["flags_centered", "flag_scale"], ["flags_scaled"]),
            helper.make_node("MatMul", ["flags_scaled", "flag_coef"], ["flag_sum"]),
            helper.make_node("Add", [last, "flag_sum"], ["with_flags"]),
        ]
        last = "with_flags"
    nodes.append(helper.make_node("Squeeze", [last, "axis"], [OUTPUT]))
    return nodes, initializers
