"""A fitted model's raw margin as plain arrays: what every exporter, explainer and server of a model reads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from numba import njit

from streamgauge.errors import ModelError

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int32]
Words: TypeAlias = npt.NDArray[np.uint64]
Bytes: TypeAlias = npt.NDArray[np.uint8]
NodeTable: TypeAlias = tuple[Indices, Indices, Floats, Indices, Indices, Bytes, Indices, Words, Floats]

LEAF = -1
WORD_BITS = 64
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Trees:
    """Decision trees over float64 columns, all nodes in one table.

    A numeric node sends ``x <= threshold`` left and a null to its ``missing_left`` side. A categorical node sends the
    codes of its member set left and everything else (other codes, unseen codes, null) right.

    Attributes:
        roots: int32[trees], the root node of each tree.
        feature: int32[nodes], the column compared, or -1 at a leaf.
        threshold: float64[nodes].
        left: int32[nodes].
        right: int32[nodes].
        missing_left: uint8[nodes], 1 where a null goes left.
        members: int32[nodes], the row of ``words`` of a categorical node, or -1.
        words: uint64[sets, width], member sets as bits: code c is bit c % 64 of word c // 64.
        value: float64[nodes], the value of a leaf.
        cover: float64[nodes], the training weight that reached the node.
        baseline: What is added to the sum of the leaves.
        divisor: What the sum is divided by: 1, or the number of trees of a forest.
        float32: Whether inputs are rounded to float32 first, as scikit-learn's forests do.
    """

    roots: Indices
    feature: Indices
    threshold: Floats
    left: Indices
    right: Indices
    missing_left: Bytes
    members: Indices
    words: Words
    value: Floats
    cover: Floats
    baseline: float
    divisor: float
    float32: bool


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear margin over imputed, scaled columns and over flags of what was null.

    Attributes:
        impute: float64[features], what stands for a null.
        center: float64[features], subtracted after imputation.
        scale: float64[features], divided by.
        coef: float64[features], weights of the scaled values.
        mean: float64[features], training means of the imputed values.
        flag_feature: int32[flags], the column each null flag belongs to.
        flag_center: float64[flags].
        flag_scale: float64[flags].
        flag_coef: float64[flags].
        flag_mean: float64[flags], training means of the flags.
        intercept: The constant term.
    """

    impute: Floats
    center: Floats
    scale: Floats
    coef: Floats
    mean: Floats
    flag_feature: Indices
    flag_center: Floats
    flag_scale: Floats
    flag_coef: Floats
    flag_mean: Floats
    intercept: float


class _Array(msgspec.Struct, frozen=True, array_like=True):
    dtype: str
    shape: tuple[int, ...]
    data: bytes


class _Packed(msgspec.Struct, frozen=True):
    format: int
    kind: str
    n_features: int
    arrays: dict[str, _Array]
    scalars: dict[str, float | bool]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The raw margin of a fitted model: log-odds of bad, or the mean leaf probability of a forest.

    Attributes:
        n_features: How many columns a row has.
        model: The trees or the linear form.
    """

    n_features: int
    model: Trees | Linear

    @property
    def kind(self) -> str:
        """``trees`` or ``linear``."""
        return "trees" if isinstance(self.model, Trees) else "linear"

    def margin(self, X: Floats) -> Floats:
        """Return the raw margin of each row of coded values, float64[n, features] with NaN for null, as float64[n].

        Raises:
            ModelError: The rows have another number of columns.
        """
        rows = as_rows(X, self.n_features)
        out = np.empty(rows.shape[0])
        match self.model:
            case Trees() as trees:
                tree_margins(rounded(rows, trees), *node_table(trees), trees.baseline, trees.divisor, out)
            case Linear() as linear:
                value_terms, flag_terms = linear_terms(linear, rows)
                out[:] = linear.intercept + value_terms.sum(axis=1) + flag_terms.sum(axis=1)
        return out

    def shifted(self, by: float) -> Ensemble:
        """Return the ensemble whose every margin is this one's plus a constant."""
        model = self.model
        if isinstance(model, Trees):
            return Ensemble(self.n_features, replace(model, baseline=model.baseline + by * model.divisor))
        return Ensemble(self.n_features, replace(model, intercept=model.intercept + by))

    def to_bytes(self) -> bytes:
        """Return the canonical serialized form: the same arrays always give the same bytes."""
        arrays, scalars = {}, {}
        for item in fields(self.model):
            value = getattr(self.model, item.name)
            if isinstance(value, np.ndarray):
                little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
                arrays[item.name] = _Array(little.dtype.str, little.shape, little.tobytes())
            else:
                scalars[item.name] = value
        return msgspec.msgpack.encode(_Packed(_FORMAT, self.kind, self.n_features, arrays, scalars))

    @classmethod
    def from_bytes(cls, data: bytes) -> Ensemble:
        """Rebuild an ensemble from ``to_bytes``.

        Raises:
            ModelError: The bytes are no ensemble of this version.
        """
        try:
            packed = msgspec.msgpack.decode(data, type=_Packed)
        except msgspec.DecodeError as error:
            raise ModelError(f"The ensemble cannot be read ({error}). Train or fetch the model again.") from error
        if packed.format != _FORMAT:
            raise ModelError(f"The ensemble has format {packed.format}, this version reads {_FORMAT}. Train again.")
        values: dict[str, Any] = {name: _frozen(item) for name, item in packed.arrays.items()} | packed.scalars
        kind = Trees if packed.kind == "trees" else Linear
        return cls(packed.n_features, kind(**values))

    @property
    def sha256(self) -> str:
        """The hex SHA-256 of the canonical form."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ensemble) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.sha256)


def _frozen(item: _Array) -> npt.NDArray[Any]:
    array = np.frombuffer(item.data, dtype=np.dtype(item.dtype)).reshape(item.shape)
    array.flags.writeable = False
    return array


def as_rows(X: Floats, n_features: int) -> Floats:
    """Return rows as a C-contiguous float64 matrix.

    Raises:
        ModelError: The matrix has another number of columns.
    """
    rows = np.ascontiguousarray(X, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != n_features:  # noqa: PLR2004 - a matrix
        raise ModelError(f"Rows of shape {rows.shape} given, the model takes (n, {n_features}).")
    return rows


def rounded(rows: Floats, trees: Trees) -> Floats:
    """Return the rows as the trees compare them: through float32 where the fitted model did so."""
    if not trees.float32:
        return rows
    with np.errstate(over="ignore"):
        return rows.astype(np.float32).astype(np.float64)


def node_table(trees: Trees) -> NodeTable:
    """Return the arrays that the kernels walk, in their order of arguments."""
    return (
        trees.roots,
        trees.feature,
        trees.threshold,
        trees.left,
        trees.right,
        trees.missing_left,
        trees.members,
        trees.words,
        trees.value,
    )


def linear_terms(linear: Linear, rows: Floats) -> tuple[Floats, Floats]:
    """Return each column's and each null flag's term of the margin: float64[n, features] and float64[n, flags]."""
    null = np.isnan(rows)
    values = (np.where(null, linear.impute, rows) - linear.center) / linear.scale * linear.coef
    flags = (null[:, linear.flag_feature] - linear.flag_center) / linear.flag_scale * linear.flag_coef
    return values, flags


@njit(nogil=True, cache=True)
def is_member(x: float, words: Words, row: int) -> bool:
    """Tell whether a category code is in a member set; a null or a fraction is in none."""
    if not 0.0 <= x < words.shape[1] * WORD_BITS:
        return False
    code = np.uint64(x)
    if np.float64(code) != x:
        return False
    word = words[row, np.int64(code >> np.uint64(6))]
    return bool((word >> (code & np.uint64(63))) & np.uint64(1))


@njit(nogil=True, cache=True)
def goes_left(x: float, threshold: float, missing_left: int, members: int, words: Words) -> bool:
    """Tell which side of a node a value goes to."""
    if members >= 0:
        return bool(is_member(x, words, members))
    if np.isnan(x):
        return missing_left != 0
    return x <= threshold


@njit(nogil=True, cache=True)
def tree_margins(
    X: Floats,
    roots: Indices,
    feature: Indices,
    threshold: Floats,
    left: Indices,
    right: Indices,
    missing_left: Bytes,
    members: Indices,
    words: Words,
    value: Floats,
    baseline: float,
    divisor: float,
    out: Floats,
) -> None:
    """Write the margin of every row: trees are added in their order, as scikit-learn adds them."""
    for i in range(X.shape[0]):
        total = baseline
        for root in roots:
            node = root
            while feature[node] >= 0:
                x = X[i, feature[node]]
                if goes_left(x, threshold[node], missing_left[node], members[node], words):
                    node = left[node]
                else:
                    node = right[node]
            total += value[node]
        out[i] = total / divisor


@njit(nogil=True, cache=True)
def first_rows(
    X: Floats,
    roots: Indices,
    feature: Indices,
    threshold: Floats,
    left: Indices,
    right: Indices,
    missing_left: Bytes,
    members: Indices,
    words: Words,
    value: Floats,
) -> npt.NDArray[np.int64]:
    """Return, for each node, the first row that reaches it, or -1."""
    first = np.full(value.shape[0], -1, dtype=np.int64)
    for i in range(X.shape[0]):
        for root in roots:
            node = root
            while True:
                if first[node] < 0:
                    first[node] = i
                if feature[node] < 0:
                    break
                x = X[i, feature[node]]
                if goes_left(x, threshold[node], missing_left[node], members[node], words):
                    node = left[node]
                else:
                    node = right[node]
    return first
