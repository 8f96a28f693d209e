"""Many stored states in one call: the bits of each state by itself, and which of them have to be left to the log."""

import numpy as np
import pytest

from streamgauge.definitions.specs import AggregateSpec
from streamgauge.features.state import EntityState
from streamgauge.features.stored import compute_stored
from tests.features.test_state import BOUND, WINDOW, S, at, program, streamed


def drawn(seed: int, events: int) -> EntityState:
    generator = np.random.default_rng(seed)
    seconds = 100 + np.sort(generator.integers(0, 40, events))
    late = seconds - generator.integers(0, 8, events)
    return streamed(
        *(
            at(f"e{number}", int(second), int(generator.integers(-99, 99)), position=number + 1, known=int(known))
            for number, (second, known) in enumerate(zip(late, seconds, strict=True))
        ),
        fold_after=1,
    )


def test_each_row_has_the_bits_of_its_state() -> None:
    states = [drawn(seed, events) for seed, events in enumerate([1, 2, 5, 20, 60, 200])]
    states += [streamed(*(at(f"e{n}", 100, n, position=n + 1) for n in range(1_500))), EntityState(BOUND.layout)]
    assert any(state.answers_from > 0 for state in states)
    rows, found = compute_stored(BOUND, [state.encode() for state in states], 160 * S, 10_000)
    assert found.all()
    expected = np.array([state.compute(BOUND, 160 * S) for state in states])
    assert np.array_equal(rows.view(np.int64), expected.view(np.int64))


def test_a_state_that_cannot_tell_is_left_to_the_log() -> None:
    folded, whole = drawn(1, 60), streamed(at("a", 120, 7, position=60))
    other, _ = program(AggregateSpec("count", "Move", WINDOW))
    damaged = bytearray(whole.encode())
    damaged[-1] ^= 1
    states = [folded.encode(), None, whole.encode(), bytes(damaged), EntityState(other).encode()]
    assert compute_stored(BOUND, states, folded.answers_from, 60)[1].tolist() == [True, False, True, False, False]
    rows, found = compute_stored(BOUND, states, folded.answers_from - 1, 60)
    assert found.tolist() == [False, False, True, False, False]
    assert np.isnan(rows[~found]).all()
    assert not compute_stored(BOUND, states, 160 * S, 59)[1].any()


@pytest.mark.parametrize("states", [[], [None]])
def test_nothing_gives_nothing(states: list[None]) -> None:
    rows, found = compute_stored(BOUND, states, 160 * S, 60)
    assert rows.shape == (len(states), BOUND.features)
    assert not found.any()
