"""Exact Shapley values of the raw margin: which column moved it, and by how much.

A tree's value at t is its expectation where each feature is known with probability t and otherwise follows the training
weights of its splits. A feature's Shapley value is the integral over t in [0, 1] of what knowing it changes. Along a
path of m distinct features that is a polynomial of degree m - 1, so Gauss-Legendre nodes give it exactly, and all
factors are positive: nothing cancels. One pass down and one up price every path of a tree at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from streamgauge.errors import ModelError
from streamgauge.scoring.ensemble import (
    Bytes,
    Ensemble,
    Floats,
    Indices,
    Linear,
    Trees,
    Words,
    as_rows,
    goes_left,
    linear_terms,
    rounded,
)
from streamgauge.scoring.shapley_lanes import DEEPEST, LANES, WORTH_LANES, lanes_kernel

_Kernel: TypeAlias = Callable[..., None]

_SIZES = (4, 8, 16, 32, 64)


@dataclass(frozen=True, eq=False)
class _Paths:
    """Trees of one quadrature size, inner nodes first in preorder; the leaves of a tree follow its inner nodes.

    ``above`` is the nearest node above that splits on the same feature (-1: none), ``above_left`` the side of it we
    are on; ``share_*`` are a side's part of the node's cover, ``z_above`` this feature's product of those parts so far.
    """

    size: int
    starts: npt.NDArray[np.int64]
    inner: Indices
    leaf_starts: npt.NDArray[np.int64]
    feature: Indices
    threshold: Floats
    missing_left: Bytes
    members: Indices
    left: Indices
    right: Indices
    above: Indices
    above_left: Bytes
    share_left: Floats
    share_right: Floats
    z_above: Floats
    leaves: Floats


class Shapley:
    """Exact Shapley values of an ensemble's raw margin, per column of its coded rows.

    For trees the background is the training weight of each split (path-dependent); for a linear model the training
    mean of each imputed value and null flag, both summed into their column.

    Attributes:
        base: The margin expected when nothing is known; base plus a row's values is the row's margin.

    Source: Lundberg et al. 2020, From local explanations to global understanding, Algorithm 2; Owen 1972, Multilinear
        extensions of games; Yu et al. 2022, Linear TreeShap.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        self._ensemble = ensemble
        match ensemble.model:
            case Trees() as trees:
                self._paths = tuple(_paths(trees))
                self.base = (trees.baseline + _expected(trees)) / trees.divisor
            case Linear() as linear:
                self._means = np.concatenate(_mean_terms(linear))
                self.base = float(linear.intercept + self._means.sum())

    def values(self, X: Floats) -> Floats:
        """Return the Shapley values of coded rows, float64[n, features] with NaN for null, in the same shape.

        Raises:
            ModelError: The rows have another number of columns.
        """
        rows = as_rows(X, self._ensemble.n_features)
        phi = np.zeros(rows.shape)
        match self._ensemble.model:
            case Trees() as trees:
                compared = rounded(rows, trees)
                for paths in self._paths:
                    _run_all(paths, trees.words, compared, phi)
                if trees.divisor != 1.0:
                    phi /= trees.divisor
            case Linear() as linear:
                value_terms, flag_terms = linear_terms(linear, rows)
                n = len(linear.coef)
                phi += value_terms - self._means[:n]
                for k, j in enumerate(linear.flag_feature):
                    phi[:, j] += flag_terms[:, k] - self._means[n + k]
        return phi


def _mean_terms(linear: Linear) -> tuple[Floats, Floats]:
    values = (linear.mean - linear.center) / linear.scale * linear.coef
    flags = (linear.flag_mean - linear.flag_center) / linear.flag_scale * linear.flag_coef
    return values, flags


def _share(trees: Trees, parent: int, child: int) -> float:
    cover = trees.cover[parent]
    return float(trees.cover[child] / cover) if cover > 0 else 0.0


def _expected(trees: Trees) -> float:
    """Return the sum over trees of the leaves' mean by cover."""
    total = 0.0
    for root in trees.roots:
        stack = [(int(root), 1.0)]
        while stack:
            node, weight = stack.pop()
            if trees.feature[node] < 0:
                total += weight * trees.value[node]
            else:
                stack += [
                    (int(side), weight * _share(trees, node, int(side)))
                    for side in (trees.left[node], trees.right[node])
                ]
    return float(total)


@dataclass
class _Walk:
    """One tree being laid out: its inner nodes in preorder, with what each inherits from the path above."""

    nodes: list[int]
    above: list[int]
    above_left: list[bool]
    z_above: list[float]
    children: list[list[int]]
    leaves: list[float]
    widest: int


def _walk(trees: Trees, root: int) -> _Walk:
    walk = _Walk([], [], [], [], [], [], 0)
    # node, parent's place and side, and per feature on the path: (place, on its left, z).
    stack: list[tuple[int, int, int, dict[int, tuple[int, bool, float]]]] = [(root, -1, 0, {})]
    while stack:
        node, parent, side, path = stack.pop()
        feature = int(trees.feature[node])
        if feature < 0:
            walk.leaves.append(float(trees.value[node]))
            walk.widest = max(walk.widest, len(path))
            if parent >= 0:
                walk.children[parent][side] = -len(walk.leaves)
            continue
        place = len(walk.nodes)
        if parent >= 0:
            walk.children[parent][side] = place
        above, above_left, z = path.get(feature, (-1, False, 1.0))
        walk.nodes.append(node)
        walk.above.append(above)
        walk.above_left.append(above_left)
        walk.z_above.append(z)
        walk.children.append([0, 0])
        for side_index, child in ((1, int(trees.right[node])), (0, int(trees.left[node]))):
            below = path | {feature: (place, side_index == 0, z * _share(trees, node, child))}
            stack.append((child, place, side_index, below))
    inner = len(walk.nodes)
    walk.children = [[c if c >= 0 else inner - 1 - c for c in pair] for pair in walk.children]
    return walk


def _paths(trees: Trees) -> Iterator[_Paths]:
    """Lay the trees out for the kernel, grouped by the quadrature size that their widest path needs."""
    walks = [walk for walk in (_walk(trees, int(root)) for root in trees.roots) if walk.nodes]
    lower = 0
    for size in _SIZES:
        group = [walk for walk in walks if lower < (walk.widest + 1) // 2 <= size]
        lower = size
        if group:
            yield _laid_out(trees, group, size)
    if any((walk.widest + 1) // 2 > lower for walk in walks):
        raise ModelError(
            f"A path of more than {2 * lower} distinct features cannot be explained: limit the trees' depth."
        )


def _laid_out(trees: Trees, group: list[_Walk], size: int) -> _Paths:
    nodes = np.array([node for walk in group for node in walk.nodes], dtype=np.int64)
    left, right = trees.left[nodes], trees.right[nodes]
    children = np.array([pair for walk in group for pair in walk.children], dtype=np.int32)
    inner = np.array([len(walk.nodes) for walk in group], dtype=np.int32)
    leaf_counts = np.array([len(walk.leaves) for walk in group], dtype=np.int64)
    return _Paths(
        size=size,
        starts=np.concatenate([[0], np.cumsum(inner)[:-1]]).astype(np.int64),
        inner=inner,
        leaf_starts=np.concatenate([[0], np.cumsum(leaf_counts)]).astype(np.int64),
        feature=trees.feature[nodes],
        threshold=trees.threshold[nodes],
        missing_left=trees.missing_left[nodes],
        members=trees.members[nodes],
        left=np.ascontiguousarray(children[:, 0]),
        right=np.ascontiguousarray(children[:, 1]),
        above=np.array([a for walk in group for a in walk.above], dtype=np.int32),
        above_left=np.array([a for walk in group for a in walk.above_left], dtype=np.uint8),
        share_left=np.array([_share(trees, int(n), int(c)) for n, c in zip(nodes, left, strict=True)]),
        share_right=np.array([_share(trees, int(n), int(c)) for n, c in zip(nodes, right, strict=True)]),
        z_above=np.array([z for walk in group for z in walk.z_above]),
        leaves=np.array([value for walk in group for value in walk.leaves]),
    )


@cache
def _quadrature(size: int) -> tuple[Floats, Floats]:
    """Return Gauss-Legendre nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(size)
    return (nodes + 1.0) / 2.0, weights / 2.0


def _run_all(paths: _Paths, words: Words, rows: Floats, phi: Floats) -> None:
    """Price rows in lanes, and one by one where few are left over or the trees are too deep for it."""
    if paths.size > DEEPEST:
        _run(_kernel(paths.size), paths, words, rows, phi)
        return
    behind = len(rows) % LANES
    whole = len(rows) - behind
    if whole:
        _run(lanes_kernel(paths.size), paths, words, rows[:whole], phi[:whole])
    if behind >= WORTH_LANES:
        padded, priced = np.zeros((2, LANES, rows.shape[1]))
        padded[:behind] = rows[whole:]
        priced[:behind] = phi[whole:]
        _run(lanes_kernel(paths.size), paths, words, padded, priced)
        phi[whole:] = priced[:behind]
    elif behind:
        _run(_kernel(paths.size), paths, words, rows[whole:], phi[whole:])


def _run(kernel: _Kernel, paths: _Paths, words: Words, rows: Floats, phi: Floats) -> None:
    t, w = _quadrature(paths.size)
    kernel(
        rows,
        t,
        w,
        paths.starts,
        paths.inner,
        paths.leaf_starts,
        paths.feature,
        paths.threshold,
        paths.missing_left,
        paths.members,
        words,
        paths.left,
        paths.right,
        paths.above,
        paths.above_left,
        paths.share_left,
        paths.share_right,
        paths.z_above,
        paths.leaves,
        phi,
    )


@cache
def _kernel(size: int) -> _Kernel:
    """Return the kernel of one quadrature size: loops of a fixed length become vector instructions."""

    @njit(nogil=True, cache=True, error_model="numpy")
    def price(
        X: Floats,
        t: Floats,
        w: Floats,
        starts: npt.NDArray[np.int64],
        inner: Indices,
        leaf_starts: npt.NDArray[np.int64],
        feature: Indices,
        threshold: Floats,
        missing_left: Bytes,
        members: Indices,
        words: Words,
        left: Indices,
        right: Indices,
        above: Indices,
        above_left: Bytes,
        share_left: Floats,
        share_right: Floats,
        z_above: Floats,
        leaves: Floats,
        phi: Floats,
    ) -> None:
        most = 0
        for tree in range(starts.shape[0]):
            most = max(most, inner[tree] + leaf_starts[tree + 1] - leaf_starts[tree])
        known = np.empty((most, size))  # product over the path of each feature's factor
        below = np.empty((most, size))  # expectation of the subtree over its own factors
        to_left = np.empty((most, size))
        to_right = np.empty((most, size))
        went_left = np.empty(most, dtype=np.bool_)
        live = np.empty(most, dtype=np.bool_)
        for tree in range(starts.shape[0]):
            start, n, first_leaf = starts[tree], inner[tree], leaf_starts[tree]
            for k in range(leaf_starts[tree + 1] - first_leaf):
                for q in range(size):
                    below[n + k, q] = leaves[first_leaf + k]
            for i in range(X.shape[0]):
                for q in range(size):
                    known[0, q] = 1.0
                for k in range(n):
                    g = start + k
                    hit = goes_left(X[i, feature[g]], threshold[g], missing_left[g], members[g], words)
                    a = above[g]
                    on = a < 0 or (live[a] and went_left[a] == (above_left[g] != 0))
                    went_left[k] = hit
                    live[k] = on
                    z = z_above[g]
                    on_left, on_right = left[g], right[g]
                    if on:
                        o_left = 1.0 if hit else 0.0
                        o_right = 1.0 - o_left
                        z_left, z_right = z * share_left[g], z * share_right[g]
                        for q in range(size):
                            inverse = 1.0 / (t[q] + (1.0 - t[q]) * z)
                            to_left[k, q] = (o_left * t[q] + (1.0 - t[q]) * z_left) * inverse
                            to_right[k, q] = (o_right * t[q] + (1.0 - t[q]) * z_right) * inverse
                    else:
                        for q in range(size):
                            to_left[k, q] = share_left[g]
                            to_right[k, q] = share_right[g]
                    if on_left < n:
                        for q in range(size):
                            known[on_left, q] = known[k, q] * to_left[k, q]
                    if on_right < n:
                        for q in range(size):
                            known[on_right, q] = known[k, q] * to_right[k, q]
                for k in range(n - 1, -1, -1):
                    g = start + k
                    on_left, on_right = left[g], right[g]
                    if live[k]:
                        z = z_above[g]
                        total = 0.0
                        for q in range(size):
                            inverse = 1.0 / (t[q] + (1.0 - t[q]) * z)
                            total += w[q] * known[k, q] * (below[on_left, q] - below[on_right, q]) * inverse * inverse
                        if went_left[k]:
                            phi[i, feature[g]] += z * share_right[g] * total
                        else:
                            phi[i, feature[g]] -= z * share_left[g] * total
                    for q in range(size):
                        below[k, q] = to_left[k, q] * below[on_left, q] + to_right[k, q] * below[on_right, q]

    kernel: _Kernel = price
    return kernel
