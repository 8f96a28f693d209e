"""P5 on a tiny portfolio: both sides give every account the same score."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.p5_peer import Floats, Overnight
from benchmarks.p5_portfolio import Differs, measure


def test_the_batch_computes_every_feature_and_score(tmp_path: Path) -> None:
    checked, rows = measure(tmp_path, 40, 60, 1, trees=5)
    assert checked == "47 features of 40 accounts, and 40 of 40 scores (40 accounts, 2,400 events)"
    assert rows[1].ratio is not None
    assert rows[1].ratio.median == rows[1].figure.median / rows[0].figure.median


def test_a_feature_that_differs_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Overnight.features

    def wrong(self: Overnight, now_us: int) -> tuple[object, Floats]:
        accounts, rows = right(self, now_us)
        rows[:, self.names.index("inflow_gap")] += np.float64(1.0)
        return accounts, rows

    monkeypatch.setattr(Overnight, "features", wrong)
    with pytest.raises(Differs, match="inflow_gap"):
        measure(tmp_path, 20, 20, 1, trees=5)
