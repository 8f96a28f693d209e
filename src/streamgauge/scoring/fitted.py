"""What scikit-learn has fitted, read into an `Ensemble`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from streamgauge.errors import ModelError
from streamgauge.scoring.ensemble import LEAF, WORD_BITS, Ensemble, Floats, Linear, Trees


def from_sklearn(estimator: Any, X_train: Floats | None = None) -> Ensemble:  # noqa: ANN401 - scikit-learn has no types
    """Return the raw margin of a fitted binary classifier, whose classes are 0 (good) and 1 (bad).

    Args:
        estimator: A ``HistGradientBoostingClassifier`` (columns given as ``categorical_features`` hold codes 0..n-1), a
            ``RandomForestClassifier``, an ``ExtraTreesClassifier``, or a ``Pipeline`` of ``SimpleImputer``
            (``add_indicator`` for null flags), optionally ``StandardScaler``, and ``LogisticRegression``.
        X_train: float64[n, features], the rows it was fitted on: needed for a pipeline without a scaler, whose
            training means are the baseline of its explanations.

    Raises:
        ModelError: The estimator cannot be exported.
    """
    classes = np.asarray(getattr(estimator, "classes_", ())).tolist()
    if classes != [0, 1]:
        raise ModelError(
            f"A {type(estimator).__name__} with the classes {classes} cannot be exported: fit it on the labels 0 and 1."
        )
    match type(estimator).__name__:
        case "HistGradientBoostingClassifier":
            return _boosting(estimator)
        case "RandomForestClassifier" | "ExtraTreesClassifier":
            return _forest(estimator)
        case "Pipeline":
            return _logistic(estimator, X_train)
        case "LogisticRegression":
            raise ModelError("LogisticRegression has no answer to a null: fit it in a Pipeline behind a SimpleImputer.")
        case name:
            raise ModelError(f"A {name} cannot be exported. Known: Boosting, Forest, Logistic.")


@dataclass(frozen=True)
class _Table:
    """The nodes of one tree, before trees are joined."""

    feature: list[int]
    threshold: list[float]
    left: list[int]
    right: list[int]
    missing_left: list[bool]
    members: list[frozenset[int] | None]
    value: list[float]
    cover: list[float]


def _boosting(estimator: Any) -> Ensemble:  # noqa: ANN401 - scikit-learn has no types
    encoder, columns = _category_codes(estimator)
    tables = []
    for (predictor,) in estimator._predictors:  # noqa: SLF001 - the fitted trees have no public name
        nodes, bitsets = predictor.nodes, predictor.raw_left_cat_bitsets
        table = _Table([], [], [], [], [], [], [], [])
        for node in nodes:
            inner = not node["is_leaf"]
            feature = int(columns[node["feature_idx"]]) if inner else LEAF
            left, right = int(node["left"]), int(node["right"])
            missing_left, members = bool(node["missing_go_to_left"]), None
            if inner and node["is_categorical"]:
                known = encoder[int(node["feature_idx"])]
                chosen = frozenset(code for bit, code in enumerate(known) if _has_bit(bitsets[node["bitset_idx"]], bit))
                # Unseen codes go where a null goes, so the set names the other side: whatever it lacks goes right.
                if missing_left:
                    chosen, left, right = frozenset(known) - chosen, right, left
                members, missing_left = chosen, False
            table.feature.append(feature)
            table.threshold.append(float(node["num_threshold"]) if inner and members is None else 0.0)
            table.left.append(left if inner else 0)
            table.right.append(right if inner else 0)
            table.missing_left.append(inner and missing_left)
            table.members.append(members)
            table.value.append(0.0 if inner else float(node["value"]))
            table.cover.append(float(node["count"]))
        tables.append(table)
    baseline = float(np.asarray(estimator._baseline_prediction).ravel()[0])  # noqa: SLF001 - as above
    return Ensemble(int(estimator.n_features_in_), _join(tables, baseline=baseline, divisor=1.0, float32=False))


def _has_bit(bitset: Any, bit: int) -> bool:  # noqa: ANN401 - scikit-learn has no types
    return bool((int(bitset[bit // 32]) >> (bit % 32)) & 1)


def _category_codes(estimator: Any) -> tuple[dict[int, tuple[int, ...]], Any]:  # noqa: ANN401 - scikit-learn has no types
    """Return the codes behind each categorical column's bits, and the column of the data behind each of its own."""
    categorical = estimator.is_categorical_
    if categorical is None:
        return {}, np.arange(estimator.n_features_in_)
    # Its preprocessor moves the categorical columns to the front.
    columns = np.concatenate([np.flatnonzero(categorical), np.flatnonzero(~categorical)])
    encoder = estimator._preprocessor.named_transformers_["encoder"]  # noqa: SLF001 - the codes have no public name
    known = {}
    for position, categories in enumerate(encoder.categories_):
        values = np.asarray(categories, dtype=np.float64)
        values = values[~np.isnan(values)]
        if np.any(values < 0) or np.any(values != np.floor(values)):
            raise ModelError(
                f"Column {columns[position]} holds categories that are no codes: code them as 0..n-1 first."
            )
        known[position] = tuple(int(value) for value in values)
    return known, columns


def _forest(estimator: Any) -> Ensemble:  # noqa: ANN401 - scikit-learn has no types
    tables = []
    for member in estimator.estimators_:
        tree = member.tree_
        inner = tree.children_left >= 0
        tables.append(
            _Table(
                feature=np.where(inner, tree.feature, LEAF).tolist(),
                threshold=np.where(inner, tree.threshold, 0.0).tolist(),
                left=np.where(inner, tree.children_left, 0).tolist(),
                right=np.where(inner, tree.children_right, 0).tolist(),
                missing_left=(inner & (tree.missing_go_to_left != 0)).tolist(),
                members=[None] * tree.node_count,
                value=np.where(inner, 0.0, tree.value[:, 0, 1]).tolist(),
                cover=tree.weighted_n_node_samples.tolist(),
            )
        )
    divisor = float(len(tables))
    return Ensemble(int(estimator.n_features_in_), _join(tables, baseline=0.0, divisor=divisor, float32=True))


def _join(tables: list[_Table], *, baseline: float, divisor: float, float32: bool) -> Trees:
    sizes = [len(table.feature) for table in tables]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64) if sizes else np.empty(0, np.int64)
    shift = np.repeat(starts, sizes)
    sets = [members for table in tables for members in table.members if members is not None]
    is_set = np.array([members is not None for table in tables for members in table.members], dtype=bool)

    def column(name: str, dtype: type) -> Any:  # noqa: ANN401 - one per dtype
        return np.array([value for table in tables for value in getattr(table, name)], dtype=dtype)

    return Trees(
        roots=starts.astype(np.int32),
        feature=column("feature", np.int32),
        threshold=column("threshold", np.float64),
        left=(column("left", np.int64) + shift).astype(np.int32),
        right=(column("right", np.int64) + shift).astype(np.int32),
        missing_left=column("missing_left", np.uint8),
        members=np.where(is_set, np.cumsum(is_set) - 1, -1).astype(np.int32),
        words=_words(sets),
        value=column("value", np.float64),
        cover=column("cover", np.float64),
        baseline=baseline,
        divisor=divisor,
        float32=float32,
    )


def _words(sets: list[frozenset[int]]) -> Any:  # noqa: ANN401 - uint64[sets, width]
    width = 1 + max((max(members, default=0) for members in sets), default=0) // WORD_BITS
    words = np.zeros((len(sets), width), dtype=np.uint64)
    for row, members in enumerate(sets):
        for code in members:
            words[row, code // WORD_BITS] |= np.uint64(1) << np.uint64(code % WORD_BITS)
    return words


def _logistic(pipeline: Any, X_train: Floats | None) -> Ensemble:  # noqa: ANN401 - scikit-learn has no types
    names = [type(step).__name__ for _, step in pipeline.steps]
    if names not in (
        ["SimpleImputer", "LogisticRegression"],
        ["SimpleImputer", "StandardScaler", "LogisticRegression"],
    ):
        raise ModelError(
            f"A pipeline of {', '.join(names)} cannot be exported: "
            "it has to be a SimpleImputer, optionally a StandardScaler, and a LogisticRegression."
        )
    imputer, regression = pipeline.steps[0][1], pipeline.steps[-1][1]
    impute = np.asarray(imputer.statistics_, dtype=np.float64)
    if np.any(np.isnan(impute)):
        raise ModelError("A column without any value was dropped by the imputer: set keep_empty_features=True.")
    n = len(impute)
    flags = imputer.indicator_.features_.astype(np.int32) if imputer.add_indicator else np.empty(0, np.int32)
    width = n + len(flags)
    center, scale, mean = np.zeros(width), np.ones(width), np.zeros(width)
    scaler = pipeline.steps[1][1] if "StandardScaler" in names else None
    if scaler is not None:
        center = np.zeros(width) if scaler.mean_ is None else np.array(scaler.mean_)
        scale = np.ones(width) if scaler.scale_ is None else np.array(scaler.scale_)
    if X_train is not None:
        mean = np.asarray(imputer.transform(X_train), dtype=np.float64).mean(axis=0)
    elif scaler is not None and scaler.mean_ is not None:
        mean = center.copy()
    else:
        raise ModelError("A pipeline without a scaler needs its training rows for the means of its explanations.")
    coef = np.array(regression.coef_[0], dtype=np.float64)
    linear = Linear(
        impute=impute,
        center=center[:n],
        scale=scale[:n],
        coef=coef[:n],
        mean=mean[:n],
        flag_feature=flags,
        flag_center=center[n:],
        flag_scale=scale[n:],
        flag_coef=coef[n:],
        flag_mean=mean[n:],
        intercept=float(np.ravel(regression.intercept_)[0]),
    )
    return Ensemble(n, linear)
