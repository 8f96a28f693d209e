"""P8's checks of what the demo says of itself."""

from typing import Any

import pytest

from benchmarks.p8_newcomer import Differs, check

SUMMARY: dict[str, Any] = {
    "events": 10,
    "decisions": 3,
    "seconds_to_first_score": 20.0,
    "verify": {"checked": 3, "match": 3, "mismatch": 0},
}


def test_a_demo_whose_decisions_verify_is_timed() -> None:
    assert "all 3 decisions" in check(SUMMARY)[0]


@pytest.mark.parametrize(
    "change",
    [
        {"events": 0},
        {"seconds_to_first_score": None},
        {"decisions": 4},
        {"verify": {"checked": 3, "match": 2, "mismatch": 1}},
    ],
)
def test_a_demo_that_shows_less_is_not(change: dict[str, Any]) -> None:
    with pytest.raises(Differs):
        check(SUMMARY | change)
