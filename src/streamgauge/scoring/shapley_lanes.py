"""The kernel of `streamgauge.scoring.shapley` for several rows at once, one a lane: each step is one of vectors.

Every lane does what the kernel of one row does, operation by operation, so that a row's values do not depend on those
beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from streamgauge.scoring.ensemble import Bytes, Floats, Indices, Words, goes_left

_Kernel: TypeAlias = Callable[..., None]

LANES: Final = 8
"""How many rows go together."""

WORTH_LANES: Final = 5
"""How many rows cost as much one by one as a full set of lanes."""

DEEPEST: Final = 8
"""The greatest quadrature size whose trees, in all lanes, still lie in a core's own cache."""


@cache
def lanes_kernel(size: int) -> _Kernel:
    """Return the kernel of one quadrature size; X float64[n, features], where n is a multiple of `LANES`."""
    width = size * LANES

    @njit(nogil=True, cache=True, error_model="numpy")
    def price_lanes(
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
        known = np.empty((most, width))
        below = np.empty((most, width))
        to_left = np.empty((most, width))
        to_right = np.empty((most, width))
        inverse = np.empty((most, width))
        went_left = np.empty((most, LANES), dtype=np.bool_)
        live = np.empty((most, LANES), dtype=np.bool_)
        o_left = np.empty(width)
        steps = np.empty(width)
        at, rest, weight = np.empty(width), np.empty(width), np.empty(width)
        for q in range(size):
            for r in range(LANES):
                at[q * LANES + r], rest[q * LANES + r], weight[q * LANES + r] = t[q], 1.0 - t[q], w[q]
        for tree in range(starts.shape[0]):
            start, n, first_leaf = starts[tree], inner[tree], leaf_starts[tree]
            for k in range(leaf_starts[tree + 1] - first_leaf):
                for x in range(width):
                    below[n + k, x] = leaves[first_leaf + k]
            for first in range(0, X.shape[0], LANES):
                for x in range(width):
                    known[0, x] = 1.0
                for k in range(n):
                    g = start + k
                    a = above[g]
                    for r in range(LANES):
                        hit = goes_left(X[first + r, feature[g]], threshold[g], missing_left[g], members[g], words)
                        went_left[k, r] = hit
                        live[k, r] = a < 0 or (live[a, r] and went_left[a, r] == (above_left[g] != 0))
                        for q in range(size):
                            o_left[q * LANES + r] = 1.0 if hit else 0.0
                    z = z_above[g]
                    z_left, z_right = z * share_left[g], z * share_right[g]
                    for q in range(size):
                        factor = 1.0 / (t[q] + (1.0 - t[q]) * z)
                        for r in range(LANES):
                            inverse[k, q * LANES + r] = factor
                    for x in range(width):
                        to_left[k, x] = (o_left[x] * at[x] + rest[x] * z_left) * inverse[k, x]
                    for x in range(width):
                        to_right[k, x] = ((1.0 - o_left[x]) * at[x] + rest[x] * z_right) * inverse[k, x]
                    if a >= 0:
                        for r in range(LANES):
                            if not live[k, r]:
                                for q in range(size):
                                    to_left[k, q * LANES + r] = share_left[g]
                                    to_right[k, q * LANES + r] = share_right[g]
                    on_left, on_right = np.uintp(left[g]), np.uintp(right[g])
                    for x in range(width):  # a leaf's is never read
                        known[on_left, x] = known[k, x] * to_left[k, x]
                    for x in range(width):
                        known[on_right, x] = known[k, x] * to_right[k, x]
                for k in range(n - 1, -1, -1):
                    g = start + k
                    on_left, on_right = np.uintp(left[g]), np.uintp(right[g])
                    for x in range(width):
                        step = below[on_left, x] - below[on_right, x]
                        steps[x] = weight[x] * known[k, x] * step * inverse[k, x] * inverse[k, x]
                    for x in range(width):
                        by_left = to_left[k, x] * below[on_left, x]
                        below[k, x] = by_left + to_right[k, x] * below[on_right, x]
                    z = z_above[g]
                    for r in range(LANES):
                        if live[k, r]:
                            total = 0.0
                            for q in range(size):
                                total += steps[q * LANES + r]
                            if went_left[k, r]:
                                phi[first + r, feature[g]] += z * share_right[g] * total
                            else:
                                phi[first + r, feature[g]] -= z * share_left[g] * total

    kernel: _Kernel = price_lanes
    return kernel
