"""128-bit arithmetic and its rounding, against Python's integers (`float(int)` rounds half to even)."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from streamgauge.features.kernels.int128 import Int128, add, mul, product, rn, sub

INT64 = st.integers(-(2**63), 2**63 - 1)
INT128 = st.one_of(
    st.integers(-(2**127), 2**127 - 1),
    st.builds(
        lambda bits, delta, sign: max(-(2**127), min(2**127 - 1, sign * (2**bits + delta))),
        st.integers(0, 127),
        st.integers(-70, 70),
        st.sampled_from([-1, 1]),
    ),
    st.builds(  # exactly between two float64, and one beside
        lambda mantissa, bits, half, delta: max(
            -(2**127), min(2**127 - 1, (mantissa << (bits + 1)) + (half << bits) + delta)
        ),
        st.integers(-(2**53), 2**53),
        st.integers(1, 72),
        st.integers(0, 1),
        st.integers(-1, 1),
    ),
)


def pair(value: int) -> Int128:
    value &= 2**128 - 1
    return tuple(int(np.uint64(word).astype(np.int64)) for word in (value >> 64, value & (2**64 - 1)))  # type: ignore[return-value]


def whole(value: Int128) -> int:
    return value[0] * 2**64 + (value[1] & (2**64 - 1))


def wrapped(value: int) -> int:
    return (value + 2**127) % 2**128 - 2**127


def _compute(a: Int128, b: Int128) -> tuple[Int128, Int128, Int128]:
    return add(a, b), sub(a, b), mul(a, b)


compute = cast("Callable[[Int128, Int128], tuple[Int128, Int128, Int128]]", njit(_compute))


@given(INT128)
def test_rounding_is_to_the_nearest_even_float(value: int) -> None:
    assert rn(pair(value)) == float(value)


@pytest.mark.parametrize(
    "value",
    [
        0,
        1,
        -1,
        2**53,
        2**53 + 1,
        2**53 + 3,
        2**63 - 1,
        2**63,
        -(2**63),
        -(2**63) - 1,
        2**64 - 1,
        2**64,
        2**64 + 2**11,
        2**64 + 2**11 + 1,
        2**64 + 3 * 2**11,
        2**116 - 1,
        2**127 - 1,
        -(2**127),
        -(2**127) + 1,
    ],
)
def test_rounding_holds_at_the_boundaries(value: int) -> None:
    assert rn(pair(value)) == float(value)


@given(INT128, INT128)
def test_sums_differences_and_products_are_exact_modulo_two_to_the_128(a: int, b: int) -> None:
    results = compute(pair(a), pair(b))
    assert [whole(result) for result in results] == [wrapped(a + b), wrapped(a - b), wrapped(a * b)]


@given(INT64, INT64)
def test_a_product_of_two_words_is_exact(a: int, b: int) -> None:
    assert whole(product(a, b)) == a * b
