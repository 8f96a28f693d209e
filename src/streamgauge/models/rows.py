"""The rows kept beside a model: from them a policy is evaluated, and reasons get their baseline, without training.

Columns: ``entity``, ``as_of``, ``event_id``, ``part`` (``calibrate``, ``test``, or ``unlabelled`` for observations of
the same span that have no outcome: never paid out, indeterminate, or still open), ``bad`` (null without an outcome),
``margin``, ``pd``, then the model's features and those that the policy's rules read, null for null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from streamgauge.errors import ModelError, close_match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streamgauge.models.dataset import Dataset
    from streamgauge.models.split import Split
    from streamgauge.outcomes.events import Ints
    from streamgauge.scoring.artefact import ModelArtefact

MOST_ROWS: Final = 60_000
UNLABELLED: Final = "unlabelled"


def kept_rows(
    dataset: Dataset, split: Split, artefact: ModelArtefact, margin: NDArray[np.float64] | None
) -> pl.DataFrame:
    """Return the rows to keep beside a model; of very many, every k-th.

    Args:
        dataset: The dataset.
        split: Its split.
        artefact: The model.
        margin: float64[n], margins to take instead of the model's own (out of fold), NaN where there is none; or None.
    """
    part = np.full(len(dataset), "", dtype="<U10")
    part[split.calibrate] = "calibrate"
    part[split.test] = "test"
    begins = int(dataset.t[split.calibrate].min())
    part[(part == "") & ~dataset.usable & (dataset.t >= begins)] = UNLABELLED
    index = np.flatnonzero(part != "")
    index = index[:: max(1, -(-len(index) // MOST_ROWS))]
    own = artefact.ensemble.margin(artefact.coding.encode(dataset.X[index]))
    if margin is not None:
        own = np.where(np.isnan(margin[index]), own, margin[index])
    return _frame(dataset, index, part[index], own, artefact)


def _frame(
    dataset: Dataset, index: Ints, part: NDArray[np.str_], margin: NDArray[np.float64], artefact: ModelArtefact
) -> pl.DataFrame:
    keys = pl.Series(dataset.entities, dtype=pl.String)
    ids = dataset.event_id
    columns = {
        "entity": keys.gather(dataset.entity[index]),
        "as_of": pl.Series(dataset.t[index]).cast(pl.Datetime("us", "UTC")),
        "event_id": pl.Series([None if ids is None else ids[row] for row in index.tolist()], dtype=pl.String),
        "part": pl.Series(part.tolist(), dtype=pl.String),
        "bad": pl.Series(dataset.bad[index], nan_to_null=True).cast(pl.Int8),
        "margin": pl.Series(margin),
        "pd": pl.Series(artefact.calibrator.pd(margin)),
    }
    for j, name in enumerate(dataset.names):
        columns[name] = pl.Series(np.ascontiguousarray(dataset.X[index, j]), nan_to_null=True)
    for j, name in enumerate(dataset.extra_names):
        columns[name] = pl.Series(np.ascontiguousarray(dataset.extra[index, j]), nan_to_null=True)
    return pl.DataFrame(columns)


def matrix(rows: pl.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    """Return feature columns as float64[n, len(names)], NaN for null.

    Raises:
        ModelError: The rows do not hold a column; they were kept by an older training.
    """
    for name in names:
        if name not in rows.columns:
            raise ModelError(
                f"The rows kept beside the model have no column {name}. {close_match(name, rows.columns)} "
                "Train again, and the rules' features are kept with the model."
            )
    out = np.empty((rows.height, len(names)))
    for j, name in enumerate(names):
        out[:, j] = rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return out
