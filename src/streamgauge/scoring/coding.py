"""Categories as a model sees them: the levels of training get codes, whatever it has not seen is null."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from streamgauge.scoring.ensemble import Floats, as_rows

MAX_LEVELS = 254

How = Literal["numeric", "codes", "one_hot"]


class FeatureCoding(msgspec.Struct, frozen=True):
    """How one feature becomes columns.

    Attributes:
        name: The feature.
        how: ``numeric`` (as it is), ``codes`` (0..n-1, unseen is null) or ``one_hot`` (one 0/1 column per level, none
            set for null and unseen).
        levels: The training levels as feature values, ascending: level indices, or hashes of an open category.
    """

    name: str
    how: How = "numeric"
    levels: tuple[float, ...] = ()


class Coding(msgspec.Struct, frozen=True, dict=True):
    """How a row of features, float64[p] with NaN for null, becomes a row of the model's columns."""

    features: tuple[FeatureCoding, ...]

    @classmethod
    def fit(
        cls, names: Sequence[str], categorical: Sequence[bool], X: Floats, how: Literal["codes", "one_hot"]
    ) -> Coding:
        """Take the training levels of each categorical feature.

        Args:
            names: The features in order.
            categorical: Which of them are categories.
            X: float64[n, features], the training rows.
            how: ``codes`` for boosting, ``one_hot`` for the others. More than 254 levels keep the most frequent 254.
        """
        features = []
        for j, (name, is_category) in enumerate(zip(names, categorical, strict=True)):
            if not is_category:
                features.append(FeatureCoding(name))
                continue
            column = X[:, j][~np.isnan(X[:, j])]
            levels, counts = np.unique(column, return_counts=True)
            kept = np.sort(levels[np.argsort(-counts, kind="stable")[:MAX_LEVELS]])
            features.append(FeatureCoding(name, how, tuple(kept.tolist())))
        return cls(tuple(features))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The features in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def _is_one_to_one(self) -> bool:
        return np.array_equal(self.sources, np.arange(len(self.features)))

    @cached_property
    def sources(self) -> npt.NDArray[np.int64]:
        """The feature behind each column, int64[columns]."""
        widths = [len(feature.levels) if feature.how == "one_hot" else 1 for feature in self.features]
        return np.repeat(np.arange(len(self.features)), widths)

    @cached_property
    def categorical_columns(self) -> tuple[int, ...]:
        """The columns that hold codes, as scikit-learn's ``categorical_features`` takes them."""
        return tuple(column for column, source in enumerate(self.sources) if self.features[int(source)].how == "codes")

    @cached_property
    def _levels(self) -> tuple[tuple[int, How, Floats], ...]:
        return tuple(
            (j, feature.how, np.array(feature.levels, dtype=np.float64))
            for j, feature in enumerate(self.features)
            if feature.how != "numeric"
        )

    def encode(self, X: Floats) -> Floats:
        """Return the model's columns of feature rows, float64[n, columns].

        Raises:
            ModelError: The rows have another number of features.
        """
        rows = as_rows(X, len(self.features))
        if not self._levels:
            return rows
        if all(how == "codes" for _, how, _ in self._levels):
            out = rows.copy()
            for j, _, levels in self._levels:
                out[:, j] = _codes(rows[:, j], levels)
            return out
        sources = self.sources
        out = rows[:, sources]
        for j, how, levels in self._levels:
            codes = _codes(rows[:, j], levels)
            columns = np.flatnonzero(sources == j)
            if how == "one_hot":
                out[:, columns] = codes[:, None] == np.arange(len(levels))
            else:
                out[:, columns] = codes[:, None]
        return np.ascontiguousarray(out)

    def nulls(self, X: Floats) -> npt.NDArray[np.bool_]:
        """Return which values the model cannot see, bool[n, features]: null, or a level that training lacked."""
        rows = as_rows(X, len(self.features))
        out: npt.NDArray[np.bool_] = np.isnan(rows)
        for j, _, levels in self._levels:
            out[:, j] = np.isnan(_codes(rows[:, j], levels))
        return out

    def by_feature(self, values: Floats) -> Floats:
        """Return column values summed per feature: float64[n, columns] to float64[n, features]."""
        if self._is_one_to_one:
            return values
        out = np.zeros((values.shape[0], len(self.features)))
        for column, source in enumerate(self.sources):
            out[:, source] += values[:, column]
        return out


def _codes(column: Floats, levels: Floats) -> Floats:
    if not len(levels):
        return np.full(len(column), np.nan)
    place = np.minimum(np.searchsorted(levels, column), len(levels) - 1)
    return np.where(levels[place] == column, place.astype(np.float64), np.nan)
