"""Many stored states in one call: the bits of each state by itself, and which of them have to be left to the log."""

import zlib

import numpy as np
import pytest

from streamgauge.definitions.specs import AggregateSpec
from streamgauge.features.packed_states import PackedStates
from streamgauge.features.state import EntityState
from streamgauge.features.stored import StoredFeatures
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
    rows, found = StoredFeatures(BOUND).compute(PackedStates.of([state.encode() for state in states]), 160 * S, 10_000)
    assert found.all()
    expected = np.array([state.compute(BOUND, 160 * S) for state in states])
    assert np.array_equal(rows.view(np.int64), expected.view(np.int64))


def test_a_state_that_cannot_tell_is_left_to_the_log() -> None:
    folded, whole = drawn(1, 60), streamed(at("a", 120, 7, position=60))
    other, _ = program(AggregateSpec("count", "Move", WINDOW))
    damaged = bytearray(whole.encode())
    damaged[-1] ^= 1
    states = [folded.encode(), None, whole.encode(), bytes(damaged), EntityState(other).encode()]
    assert StoredFeatures(BOUND).compute(PackedStates.of(states), folded.answers_from, 60)[1].tolist() == [
        True,
        False,
        True,
        False,
        False,
    ]
    rows, found = StoredFeatures(BOUND).compute(PackedStates.of(states), folded.answers_from - 1, 60)
    assert found.tolist() == [False, False, True, False, False]
    assert np.isnan(rows[~found]).all()
    assert not StoredFeatures(BOUND).compute(PackedStates.of(states), 160 * S, 59)[1].any()


@pytest.mark.parametrize("states", [[], [None]])
def test_nothing_gives_nothing(states: list[None]) -> None:
    rows, found = StoredFeatures(BOUND).compute(PackedStates.of(states), 160 * S, 60)
    assert rows.shape == (len(states), BOUND.features)
    assert not found.any()


def test_a_state_with_any_bit_changed_is_left_to_the_log() -> None:
    right = drawn(3, 20).encode()
    wrong = [bytes([*right[:at], right[at] ^ 1 << at % 8, *right[at + 1 :]]) for at in range(len(right))]
    cut = [right[:length] for length in range(len(right))]
    found = StoredFeatures(BOUND).compute(PackedStates.of([*wrong, right, *cut]), 160 * S, 10_000)[1]
    assert np.flatnonzero(found).tolist() == [len(right)]


def resealed(state: bytes, end: int) -> bytes:
    """Return a state cut short, with a checksum that says it is whole."""
    return state[:4] + zlib.crc32(state[8:end]).to_bytes(4, "little") + state[8:end]


def test_a_state_whose_blocks_do_not_fit_in_it_is_left_to_the_log() -> None:
    right = drawn(3, 20).encode()
    short = [resealed(right, end) for end in range(12, len(right))]
    found = StoredFeatures(BOUND).compute(PackedStates.of([*short, right]), 160 * S, 10_000)[1]
    assert np.flatnonzero(found).tolist() == [len(short)]
