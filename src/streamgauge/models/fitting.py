"""Fitting, exporting and calibrating: from the rows of a split to a margin and a PD."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from streamgauge.models.estimators import Fitted, fit, one_thread
from streamgauge.models.monotone import Sweep, check_directions
from streamgauge.models.sampling import fitted_rows, margin_shift
from streamgauge.scoring.calibration import Calibrator, Kind, fit_calibrator
from streamgauge.scoring.fitted import from_sklearn
from streamgauge.scoring.onnx_export import export_onnx
from streamgauge.scoring.parity import check_parity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamgauge.models.dataset import Dataset, Progress
    from streamgauge.models.split import Split
    from streamgauge.outcomes.events import Ints
    from streamgauge.scoring.coding import Coding
    from streamgauge.scoring.ensemble import Ensemble


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A fitted, exported, checked and calibrated margin.

    Attributes:
        coding: From features to the margin's columns.
        ensemble: The margin as arrays.
        onnx: Its export.
        calibrator: From margin to PD.
        sweeps: The declared directions of risk, tested.
        parity: How many rows agreed between scikit-learn, arrays and export.
        measured: int64[m], the rows the report is on.
        margin: float64[m], their margins: by the model itself, with folds by models that had not seen them.
        pd: float64[m], their PDs: by the calibrator itself, with folds by calibrators that had not seen them either.
        out_of_fold: float64[n], the margins placed among all rows with NaN elsewhere; None without folds.
    """

    coding: Coding
    ensemble: Ensemble
    onnx: bytes
    calibrator: Calibrator
    sweeps: list[Sweep]
    parity: int
    measured: Ints
    margin: NDArray[np.float64]
    pd: NDArray[np.float64]
    out_of_fold: NDArray[np.float64] | None


def fit_model(dataset: Dataset, split: Split, progress: Progress) -> FittedModel:
    """Fit on the train part, or a declared sample of it, calibrate on the calibration part, never both on a row.

    A sample leaves out rows of the train part only, and moves the margin back before it calibrates anything. With folds
    each row's margin comes from a model fitted on the other folds; these margins calibrate, and the model that is kept
    is fitted on all rows.

    Raises:
        TrainingRefused: The fitted model moves against a declared direction of risk.
        ModelError: It cannot be fitted, exported or calibrated.
        ParityError: The export disagrees with the fitted model.
    """
    with one_thread():
        return _fit_model(dataset, split, progress)


def _fit_model(dataset: Dataset, split: Split, progress: Progress) -> FittedModel:
    out_of_fold = None
    if split.fold is not None:
        out_of_fold = _out_of_fold(dataset, split.fold, progress)
    rows = fitted_rows(dataset, split.train)
    progress("fit", 0, 1)
    fitted = _fit(dataset, rows)
    X = dataset.X[rows]
    coded = fitted.coding.encode(X)
    ensemble = from_sklearn(fitted.estimator, coded).shifted(fitted.shift)
    progress("fit", 1, 1)
    onnx = export_onnx(ensemble)
    progress("parity", 0, 1)
    parity = check_parity(fitted.estimator, ensemble, onnx, coded, fitted.shift)
    progress("parity", 1, 1)
    sweeps = check_directions(dataset.model.features, ensemble, fitted.coding, X)

    def margin(chosen: Ints) -> NDArray[np.float64]:
        if out_of_fold is not None:
            return out_of_fold[chosen]
        return ensemble.margin(fitted.coding.encode(dataset.X[chosen]))

    kind, measured = dataset.model.calibration, margin(split.test)
    calibrator = fit_calibrator(kind, margin(split.calibrate), dataset.bad[split.calibrate].astype(np.bool_))
    pd = calibrator.pd(measured)
    if split.fold is not None:
        pd = cross_calibrate(kind, measured, dataset.bad[split.test].astype(np.bool_), split.fold[split.test])
    return FittedModel(
        coding=fitted.coding,
        ensemble=ensemble,
        onnx=onnx,
        calibrator=calibrator,
        sweeps=sweeps,
        parity=parity,
        measured=split.test,
        margin=measured,
        pd=pd,
        out_of_fold=out_of_fold,
    )


def cross_calibrate(kind: Kind, margin: NDArray[np.float64], bad: NDArray[np.bool_], fold: Ints) -> NDArray[np.float64]:
    """Return the PD of each row by a calibrator fitted on the other folds, float64[n].

    Args:
        kind: ``sigmoid`` or ``isotonic``.
        margin: float64[n], margins out of fold.
        bad: bool[n], outcomes.
        fold: int64[n], the rows' folds, from 0.

    Raises:
        ModelError: The other folds' rows cannot calibrate.

    >>> margin, bad = np.array([-1.0, 1.0, -1.0, 1.0, 0.0, 0.0]), np.array([0, 1, 0, 1, 0, 1]).astype(bool)
    >>> pd = cross_calibrate("sigmoid", margin, bad, np.array([0, 0, 0, 1, 1, 1]))
    >>> bool(pd[1] > pd[0])
    True
    """
    pd = np.empty(len(margin))
    for number in np.unique(fold):
        inside = fold == number
        pd[inside] = fit_calibrator(kind, margin[~inside], bad[~inside]).pd(margin[inside])
    return pd


def _fit(dataset: Dataset, rows: Ints) -> Fitted:
    model = dataset.model
    fitted = fit(model.estimator, model.features, dataset.X[rows], dataset.bad[rows])
    return replace(fitted, shift=margin_shift(model.sample))


def _out_of_fold(dataset: Dataset, fold: Ints, progress: Progress) -> NDArray[np.float64]:
    margin = np.full(len(dataset), np.nan)
    folds = int(fold.max()) + 1
    for number in range(folds):
        progress("folds", number, folds)
        inside = np.flatnonzero(fold == number)
        fitted = _fit(dataset, fitted_rows(dataset, np.flatnonzero((fold >= 0) & (fold != number))))
        margin[inside] = fitted.margin(dataset.X[inside])
    progress("folds", folds, folds)
    return margin
