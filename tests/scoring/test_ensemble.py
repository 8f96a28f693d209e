"""An ensemble is its bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamgauge.errors import ModelError
from streamgauge.scoring.ensemble import Ensemble
from tests.scoring.portfolio import fit


def test_bytes_round_trip_and_give_the_same_margins(fitted: Any) -> None:
    again = Ensemble.from_bytes(fitted.ensemble.to_bytes())
    assert again == fitted.ensemble
    assert again.sha256 == fitted.ensemble.sha256
    np.testing.assert_array_equal(again.margin(fitted.rows), fitted.ensemble.margin(fitted.rows))


def test_two_fits_on_the_same_rows_give_the_same_bytes() -> None:
    assert fit("boosting", n=400).ensemble.to_bytes() == fit("boosting", n=400).ensemble.to_bytes()


def test_a_row_alone_has_the_margin_it_has_among_others(fitted: Any) -> None:
    whole = fitted.ensemble.margin(fitted.rows[:50])
    alone = np.concatenate([fitted.ensemble.margin(fitted.rows[i : i + 1]) for i in range(50)])
    np.testing.assert_allclose(alone, whole, rtol=0, atol=1e-14)


def test_rows_of_another_width_are_refused(fitted: Any) -> None:
    with pytest.raises(ModelError, match="the model takes"):
        fitted.ensemble.margin(fitted.rows[:, :-1])


@pytest.mark.parametrize("data", [b"", b"\x00" * 40, b'{"kind": "trees"}'])
def test_bytes_that_are_no_ensemble_are_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        Ensemble.from_bytes(data)
