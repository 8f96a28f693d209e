"""The weights of a decayed sum, recomputed with integers alone."""

from __future__ import annotations

from math import isqrt

from streamgauge.features.kernels.decay import HALVING, SCALE_BITS, WEIGHTS


def nearest(part: int) -> int:
    """Return the integer nearest to 2^(62 − part/64): six square roots are the 64th root, each rounded down."""
    root: int = 2 ** (64 * (SCALE_BITS + 1) - part)
    for _ in range(6):
        root = isqrt(root)
    return (root + 1) // 2


def test_the_weights_are_the_nearest_integers_to_powers_of_one_half() -> None:
    assert tuple(nearest(part) for part in range(64)) == HALVING


def test_a_weight_is_halved_with_each_half_life_and_rounded_down() -> None:
    assert WEIGHTS.tolist() == [HALVING[part % 64] // 2 ** (part // 64) for part in range(40 * 64)]
    assert WEIGHTS[0] == 2**62
    assert all(WEIGHTS[:-1] > WEIGHTS[1:])
