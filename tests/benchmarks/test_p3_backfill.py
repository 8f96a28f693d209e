"""P3's checks, at a size that a test can wait for."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import p3_check
from benchmarks.p3_backfill import check
from benchmarks.p3_ours import from_columns, from_log, write_log
from benchmarks.payments import Payments, simulate


@pytest.mark.parametrize("late", [0.0, 0.2])
def test_ours_and_its_peers_compute_the_same_values(late: float) -> None:
    plain, peers = check(simulate(4_000, late))
    assert "every bit" in plain
    assert "Polars and DuckDB" in peers


def test_threads_and_chunks_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    payments = simulate(3_000, 0.2)
    whole = from_columns(payments, workers=1)
    monkeypatch.setattr("benchmarks.p3_ours._CHUNK", 500)
    assert np.array_equal(from_columns(payments, workers=2), whole, equal_nan=True)


def test_the_log_gives_the_bits_of_the_columns(tmp_path: Path) -> None:
    payments = simulate(2_000, 0.2)
    log = write_log(payments, tmp_path)
    try:
        assert np.array_equal(from_log(log, payments), from_columns(payments), equal_nan=True)
    finally:
        log.close()


def test_a_value_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    payments = simulate(2_000, 0.2)

    def wrong(given: Payments, **options: bool) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        answer = from_columns(given, **options)
        answer[:, 0] += 1
        return answer

    monkeypatch.setattr(p3_check, "from_columns", wrong)
    with pytest.raises(p3_check.Differs, match="At position"):
        p3_check.same_as_plain(payments)
    with pytest.raises(p3_check.Differs, match="Polars has count_7d"):
        p3_check.same_as_peers(payments)
