"""A small portfolio with nulls and categories, and the three kinds of estimators fitted on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from streamgauge.scoring.artefact import ModelArtefact
from streamgauge.scoring.calibration import fit_calibrator
from streamgauge.scoring.coding import Coding
from streamgauge.scoring.ensemble import Ensemble, Floats
from streamgauge.scoring.fitted import from_sklearn
from streamgauge.scoring.onnx_export import export_onnx
from streamgauge.scoring.reasons import reason_codes

NAMES = ("Cash.inflow", "Cash.burn", "Cash.kind", "Cash.region", "Cash.late", "Cash.history", "Cash.wide", "Cash.noise")
CATEGORICAL = (False, False, True, True, False, False, False, False)
HASH = float(2**51 + 12345)
KINDS = ("boosting", "forest", "logistic")


@dataclass(frozen=True)
class Fitted:
    """An estimator, the rows it saw and its margin."""

    estimator: Any
    raw: Floats
    coding: Coding
    rows: Floats
    bad: Any
    ensemble: Ensemble


def portfolio(n: int, seed: int) -> tuple[Floats, Any]:
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n, len(NAMES)))
    X[:, 2] = generator.integers(0, 6, n)
    X[:, 3] = HASH + 7.0 * generator.integers(0, 70, n)
    X[:, 4] = generator.poisson(1.0, n)
    X[:, 6] = np.exp(8.0 * X[:, 6]) / 3.0
    X[:, 0] = np.round(X[:, 0], 2)
    X[generator.random(X.shape) < 0.08] = np.nan
    seen = np.nan_to_num(X)
    risk = -seen[:, 0] + seen[:, 1] * (seen[:, 4] > 1) + (seen[:, 2] % 3) + 0.02 * ((seen[:, 3] - HASH) % 11)
    return X, (risk + np.isnan(X[:, 5]) + generator.normal(size=n) > 2.0).astype(np.int64)


def estimator_of(kind: str, coding: Coding) -> Any:
    if kind == "boosting":
        return HistGradientBoostingClassifier(
            max_iter=40, early_stopping=False, categorical_features=list(coding.categorical_columns), random_state=0
        )
    if kind == "forest":
        return RandomForestClassifier(20, min_samples_leaf=15, random_state=0)
    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    )


def fit(kind: str, n: int = 1500, seed: int = 3) -> Fitted:
    raw, bad = portfolio(n, seed)
    coding = Coding.fit(NAMES, CATEGORICAL, raw, "codes" if kind == "boosting" else "one_hot")
    rows = coding.encode(raw)
    estimator = estimator_of(kind, coding)
    estimator.fit(rows, bad)
    return Fitted(estimator, raw, coding, rows, bad, from_sklearn(estimator, rows))


def artefact_of(fitted: Fitted) -> ModelArtefact:
    margin = fitted.ensemble.margin(fitted.rows)
    declared = {
        "Cash.inflow": ("R01", "Income is low"),
        "Cash.late": ("R02", "Paid late"),
        "Cash.burn": ("R02", "Burn"),
    }
    return ModelArtefact(
        name="cash",
        ensemble=fitted.ensemble,
        onnx=export_onnx(fitted.ensemble),
        coding=fitted.coding,
        calibrator=fit_calibrator("sigmoid", margin, fitted.bad == 1),
        program={"aggregates": [["count", "Movement", 30]], "version": 1},
        program_sha256="ab" * 32,
        label="default_90d",
        label_sha256="cd" * 32,
        known="declared",
        reasons=reason_codes(NAMES, declared),
        metadata={"auc": 0.75, "rows": len(margin)},
    )
