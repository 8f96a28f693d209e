"""The export against the fitted model: no model is registered whose copies disagree with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from streamgauge.errors import ParityError
from streamgauge.scoring.ensemble import Ensemble, Floats, Linear, Trees, as_rows, first_rows, node_table, rounded
from streamgauge.scoring.inference import OnnxModel

TOLERANCE = 1e-12
_BATCH = 4096
_REACHING = 20_000
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def check_parity(
    estimator: Any,  # noqa: ANN401 - scikit-learn has no types
    ensemble: Ensemble,
    onnx_bytes: bytes,
    X_train: Floats,
    shift: float = 0.0,
) -> int:
    """Compare scikit-learn's own margin with the ensemble's and with ONNX Runtime's; return how many rows agreed.

    Rows are all training rows, rows placed on every threshold and the nearest numbers on both sides of it, rows with a
    null in each column, and rows with unseen categories. They agree within 1e-12, relative above 1.

    Args:
        estimator: The fitted estimator the ensemble was read from.
        ensemble: Its margin.
        onnx_bytes: Its export.
        X_train: float64[n, features], coded as the estimator was given them.
        shift: What the margin was moved by after fitting.

    Raises:
        ParityError: A row disagrees; names the row, both margins and the difference.
    """
    onnx_model = OnnxModel(onnx_bytes)
    rows = as_rows(X_train, ensemble.n_features)
    if not len(rows):
        raise ParityError("The export cannot be checked without training rows.")
    checked = 0
    for kind, part in _probes(ensemble, rows):
        for start in range(0, len(part), _BATCH):
            batch = part[start : start + _BATCH]
            expected = _fitted_margin(estimator, batch) + shift
            for name, found in (("ensemble", ensemble.margin(batch)), ("ONNX export", onnx_model.margin(batch))):
                _compare(expected, found, f"{kind} row", start, name)
            checked += len(batch)
    return checked


def _fitted_margin(estimator: Any, rows: Floats) -> Floats:  # noqa: ANN401 - scikit-learn has no types
    if hasattr(estimator, "decision_function"):
        return np.asarray(estimator.decision_function(rows), dtype=np.float64)
    return np.asarray(estimator.predict_proba(rows)[:, 1], dtype=np.float64)


def _compare(expected: Floats, found: Floats, kind: str, start: int, name: str) -> None:
    difference = np.abs(found - expected)
    wrong = ~(difference <= TOLERANCE * np.maximum(1.0, np.abs(expected)))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ParityError(
            f"The {name} disagrees with the fitted model on {kind} {start + i}: {found[i]!r} instead of "
            f"{expected[i]!r}, a difference of {difference[i]:.3g} ({int(wrong.sum())} such rows in this batch). "
            "The model is not registered; report it with the versions that `streamgauge doctor` prints."
        )


def _probes(ensemble: Ensemble, rows: Floats) -> Iterator[tuple[str, Floats]]:
    yield "training", rows
    yield "null", _null_rows(rows)
    match ensemble.model:
        case Trees() as trees:
            yield from _threshold_rows(trees, rows)
            yield "unseen category", _category_rows(trees, rows)
        case Linear():
            pass


def _null_rows(rows: Floats) -> Floats:
    """Return rows with a null in each column in turn, and one of nulls only."""
    n = rows.shape[1]
    out: Floats = rows[np.arange(n + 1) % len(rows)].copy()
    out[np.arange(n), np.arange(n)] = np.nan
    out[n] = np.nan
    return out


def _neighbours(thresholds: Floats, trees: Trees) -> Floats:
    """Return each threshold and the numbers next to it, in float64 and where inputs are rounded in float32 too."""
    values = [thresholds, np.nextafter(thresholds, -np.inf), np.nextafter(thresholds, np.inf)]
    if trees.float32:
        single = thresholds.astype(np.float32)
        values += [
            single.astype(np.float64),
            np.nextafter(single, np.float32(-np.inf)).astype(np.float64),
            np.nextafter(single, np.float32(np.inf)).astype(np.float64),
        ]
    limit = _FLOAT32_MAX if trees.float32 else float(np.finfo(np.float64).max)
    out: Floats = np.clip(np.stack(values, axis=1), -limit, limit)
    return out


def _threshold_rows(trees: Trees, rows: Floats) -> Iterator[tuple[str, Floats]]:
    inner = np.flatnonzero((trees.feature >= 0) & (trees.members < 0))
    if not len(inner):
        return
    # A training row that reaches the node keeps reaching it when its value moves to the node's threshold.
    first = first_rows(rounded(rows, trees), *node_table(trees))
    reached = inner[first[inner] >= 0]
    chosen = reached[:: max(1, len(reached) // _REACHING)]
    sides = _neighbours(trees.threshold[chosen], trees)
    for part in np.array_split(np.arange(len(chosen)), max(1, len(chosen) * sides.shape[1] // _BATCH)):
        copies = np.repeat(rows[first[chosen[part]]], sides.shape[1], axis=0)
        copies[np.arange(len(copies)), np.repeat(trees.feature[chosen[part]], sides.shape[1])] = sides[part].ravel()
        yield "threshold", copies
    yield from _packed_rows(trees, rows, inner)


def _packed_rows(trees: Trees, rows: Floats, inner: npt.NDArray[np.int64]) -> Iterator[tuple[str, Floats]]:
    """Yield rows with all columns on thresholds at once, until every distinct threshold has had its row."""
    columns = {
        int(j): _neighbours(np.unique(trees.threshold[inner[trees.feature[inner] == j]]), trees).ravel()
        for j in np.unique(trees.feature[inner])
    }
    longest = max(len(values) for values in columns.values())
    for start in range(0, longest, _BATCH):
        index = np.arange(start, min(start + _BATCH, longest))
        out = rows[index % len(rows)].copy()
        for j, values in columns.items():
            out[:, j] = values[index % len(values)]
        yield "packed threshold", out


def _category_rows(trees: Trees, rows: Floats) -> Floats:
    """Return rows with every code of each categorical column, the unseen ones after them included."""
    columns = np.unique(trees.feature[trees.members >= 0])
    if not len(columns):
        return rows[:0]
    parts = []
    for j in columns:
        codes = rows[:, j][~np.isnan(rows[:, j])]
        values = np.arange(int(codes.max(initial=0.0)) + 3, dtype=np.float64)
        out = rows[np.arange(len(values)) % len(rows)].copy()
        out[:, j] = values
        parts.append(out)
    return np.concatenate(parts)
