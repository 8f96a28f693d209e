"""Run by the peers' Python: fits P4's estimator on the same rows and saves it as `mlflow models serve` takes it."""

import sys

import mlflow.sklearn
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

rows, to, trees = sys.argv[1], sys.argv[2], int(sys.argv[3])
held = np.load(rows)
estimator = HistGradientBoostingClassifier(max_iter=trees, early_stopping=False, random_state=0)
estimator.fit(held["rows"], held["bad"])
# The default format refuses this estimator.
mlflow.sklearn.save_model(estimator, to, serialization_format="cloudpickle", pyfunc_predict_fn="predict_proba")
