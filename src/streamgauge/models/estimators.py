"""Declared estimators as scikit-learn's: seeded, and the same rows always give the same fit."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from streamgauge.errors import ModelError, TrainingRefused
from streamgauge.scoring.coding import Coding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from streamgauge.definitions.specs import EstimatorSpec, FeatureSpec


_SIGN: Final = {"up": 1, "down": -1, None: 0}
_MANNER: Final[dict[str, Literal["codes", "one_hot"]]] = {
    "boosting": "codes",
    "forest": "one_hot",
    "logistic": "one_hot",
}


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted estimator.

    Attributes:
        estimator: scikit-learn's.
        coding: From features to its columns.
        shift: What its margin is moved by, where it was fitted on a sample.
    """

    estimator: Any
    coding: Coding
    shift: float = 0.0

    def margin(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the raw margin of feature rows, float64[n]: log-odds, or a forest's mean leaf probability."""
        rows = self.coding.encode(X)
        if hasattr(self.estimator, "decision_function"):
            return np.asarray(self.estimator.decision_function(rows), np.float64) + self.shift
        return np.asarray(self.estimator.predict_proba(rows)[:, 1], np.float64) + self.shift


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep scikit-learn to one thread: as quick on a busy machine, where threads that wait for each other crawl."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


def fit(
    spec: EstimatorSpec, features: Sequence[FeatureSpec], X: NDArray[np.float64], bad: NDArray[np.float64]
) -> Fitted:
    """Fit a declared estimator.

    Args:
        spec: The estimator.
        features: The features in the order of the columns.
        X: float64[n, features], NaN for null.
        bad: float64[n], 1 bad, 0 good.

    Raises:
        TrainingRefused: The estimator cannot keep a declared direction of risk on these rows.
        ModelError: scikit-learn refuses the parameters.
    """
    names = [feature.name for feature in features]
    coding = Coding.fit(names, [feature.levels is not None for feature in features], X, _MANNER[spec.kind])
    rows = coding.encode(X)
    signs = np.array([_SIGN[features[int(source)].risk] for source in coding.sources], np.int64)
    estimator = _estimator(spec, coding, signs, rows)
    # Boosting cannot bin a column without any value; without a split on it, what stands there moves no margin.
    rows = np.where(np.isnan(rows).all(axis=0), 0.0, rows) if spec.kind == "boosting" else rows
    try:
        estimator.fit(rows, bad.astype(np.int64))
    except ValueError as error:
        raise ModelError(f"The {spec.kind} estimator cannot be fitted: {error}") from error
    return Fitted(estimator, coding)


def _estimator(spec: EstimatorSpec, coding: Coding, signs: NDArray[np.int64], rows: NDArray[np.float64]) -> Any:  # noqa: ANN401 - scikit-learn has no types
    params = dict(spec.params)
    if spec.kind == "boosting":
        from sklearn.ensemble import HistGradientBoostingClassifier

        columns = list(coding.categorical_columns) or None
        return HistGradientBoostingClassifier(categorical_features=columns, monotonic_cst=signs, **params)
    if spec.kind == "forest":
        return _forest(spec.path, params, coding, signs, rows)
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(**params),
    )


def _forest(
    path: str, params: dict[str, Any], coding: Coding, signs: NDArray[np.int64], rows: NDArray[np.float64]
) -> Any:  # noqa: ANN401 - as above
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    if signs.any():
        if np.isnan(rows).any():
            constrained = sorted({coding.names[int(coding.sources[j])] for j in np.flatnonzero(signs)})
            raise TrainingRefused(
                f"A Forest cannot keep a direction of risk where features are null ({', '.join(constrained)}). "
                "Use sg.Boosting, or take risk= from these features."
            )
        params["monotonic_cst"] = signs
    extra = path.endswith(f":{ExtraTreesClassifier.__name__}")
    return (ExtraTreesClassifier if extra else RandomForestClassifier)(n_jobs=1, **params)
