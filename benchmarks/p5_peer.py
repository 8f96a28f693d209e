"""P5's peer, the overnight batch: features of every account in one DuckDB query, then scikit-learn on the rows."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]
QUERY = Path(__file__).with_name("p5_batch.sql")
THREADS = 2


class Overnight:
    """A warehouse's table of movements, and the model that scores the accounts in it."""

    def __init__(
        self, movements: pl.DataFrame, names: Sequence[str], estimator: HistGradientBoostingClassifier
    ) -> None:
        """Load the table.

        Args:
            movements: What `benchmarks.drawn.movements` drew.
            names: The model's features, in order, without the name of their set.
            estimator: The model.
        """
        self.names = list(names)
        self.estimator = estimator
        self.connection = duckdb.connect(config={"threads": THREADS})
        cents = (pl.col("amount", "balance") * 100).round().cast(pl.Int64)
        frame = movements.with_columns(cents, pl.col("booked_at").dt.epoch("us")).rename({"booked_at": "at"})
        self.connection.register("frame", frame.select("account", "at", "amount", "balance", "kind", "counterparty"))
        self.connection.execute("CREATE TABLE movements AS SELECT * FROM frame")
        self.connection.unregister("frame")

    def features(self, now_us: int) -> tuple[pl.Series, Floats]:
        """Return the accounts and their features as of a moment, float64[accounts, features] with NaN for null."""
        table = self.connection.sql(QUERY.read_text("utf-8"), params={"now": now_us}).to_arrow_table()
        frame = pl.DataFrame(table)
        columns = [frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in self.names]
        return frame["account"], np.column_stack(columns)

    def probabilities(self, rows: Floats) -> Floats:
        """Return the model's probability of bad of each row.

        Threads of its own, each without OpenMP's: those spin, and take seconds where a core is not theirs alone.
        """

        def predicted(part: Floats) -> Floats:
            with threadpool_limits(1, "openmp"):
                found: Floats = self.estimator.predict_proba(part)[:, 1]
            return found

        with ThreadPoolExecutor(THREADS) as pool:
            return np.concatenate(list(pool.map(predicted, np.array_split(rows, THREADS))))

    def score(self, now_us: int, out: Path) -> None:
        """Write every account's probability to a Parquet file."""
        accounts, rows = self.features(now_us)
        pl.DataFrame({"entity": accounts, "probability": self.probabilities(rows)}).sort("entity").write_parquet(out)

    def close(self) -> None:
        """Drop the table."""
        self.connection.close()
