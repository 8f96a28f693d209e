"""The split: which closed rows train, calibrate and test a model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.texts import hash_text
from streamgauge.errors import SpanTooShort

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.definitions.specs import SplitSpec

Ints = NDArray[np.int64]

LEAST_OF_EACH: Final = 5
"""The fewest bads, and the fewest goods, that a part needs."""

_DAY_US: Final = 86_400_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Split:
    """Which rows do what; numbers of rows, ascending.

    Attributes:
        train: int64[a], rows the model is fitted on.
        calibrate: int64[b], rows the calibrator is fitted on; with folds all rows, by their out-of-fold margins.
        test: int64[c], rows the report is on; with folds all rows, by their out-of-fold margins.
        purged: int64[d], rows that close after the next part begins.
        fold: int64[n], each row's fold (-1 for a row that is not used), or None.
    """

    train: Ints
    calibrate: Ints
    test: Ints
    purged: Ints
    fold: Ints | None = None

    def parts(self) -> dict[str, Ints]:
        """Return the three parts by name."""
        return {"train": self.train, "calibrate": self.calibrate, "test": self.test}


def time_split(
    spec: SplitSpec, t: Ints, closes_at: Ints, bad: NDArray[np.float64], usable: NDArray[np.bool_], closing: int
) -> Split:
    """Split closed rows by observation time: train │ purge │ calibrate │ purge │ test.

    The test part ends with the newest usable row. The calibration part is the span before it whose rows close before it
    begins; a row that closes later is purged, as is a training row that closes after calibration begins.

    Args:
        spec: The spans of the parts.
        t: int64[n], observation times, µs.
        closes_at: int64[n], when rows close, µs.
        bad: float64[n], 1 bad, 0 good, NaN neither.
        usable: bool[n], rows that are closed and good or bad.
        closing: How long after its start a row closes, µs; 0 for a fixed date.

    Raises:
        SpanTooShort: A part has too few bads or goods; the message says the span needed and the span there is.
    """
    rows = np.flatnonzero(usable)
    if closing == 0 and len(rows):
        raise SpanTooShort(
            "The label ends at a fixed date, so every row closes at the same moment and none can be purged. "
            "Use sg.FoldSplit(5, by=…), or a label with within=."
        )
    newest = int(t[rows].max()) if len(rows) else 0
    test_begins = newest - spec.test_us
    calibrate_begins = test_begins - closing - spec.calibrate_us
    when, closed = t[rows], closes_at[rows]
    in_test = when > test_begins
    before_test = ~in_test & (closed <= test_begins)
    in_calibrate = before_test & (when > calibrate_begins)
    in_train = before_test & ~in_calibrate & (closed <= calibrate_begins)
    split = Split(
        train=rows[in_train],
        calibrate=rows[in_calibrate],
        test=rows[in_test],
        purged=rows[~(in_train | in_calibrate | in_test)],
    )
    _check(split, bad, _spans(spec, t, rows, closing))
    return split


def fold_split(
    spec: SplitSpec, entities: Sequence[str], entity: Ints, bad: NDArray[np.float64], usable: NDArray[np.bool_]
) -> Split:
    """Deal entities to folds by a stable hash of their keys; every usable row trains, calibrates and tests.

    Args:
        spec: The number of folds.
        entities: The entities' keys.
        entity: int64[n], the number of each row's entity.
        bad: float64[n], 1 bad, 0 good, NaN neither.
        usable: bool[n], rows that are closed and good or bad.

    Raises:
        SpanTooShort: A fold has too few bads or goods.
    """
    of_entity = np.array([(hash_text(key) >> 8) % spec.folds for key in entities], np.int64)
    fold = np.where(usable, of_entity[entity] if len(entity) else entity, -1)
    rows = np.flatnonzero(usable)
    for number in range(spec.folds):
        inside = rows[fold[rows] == number]
        bads = int(bad[inside].sum())
        if min(bads, len(inside) - bads) < LEAST_OF_EACH:
            raise SpanTooShort(
                f"Fold {number + 1} of {spec.folds} has {bads} bads and {len(inside) - bads} goods of {len(rows)} "
                f"closed rows; {LEAST_OF_EACH} of each are needed. Use fewer folds, or wait for more outcomes."
            )
    return Split(rows, rows, rows, np.empty(0, np.int64), fold)


def _spans(spec: SplitSpec, t: Ints, rows: Ints, closing: int) -> str:
    needed = spec.test_us + spec.calibrate_us + 2 * closing
    there = int(t[rows].max() - t[rows].min()) if len(rows) else 0
    return (
        f"The split needs observations that span more than {_days(needed)} (test {_days(spec.test_us)}, calibrate "
        f"{_days(spec.calibrate_us)}, and {_days(closing)} of purge before each), with closed outcomes; there are "
        f"{_days(there)} of them{_from_to(t, rows)}."
    )


def _check(split: Split, bad: NDArray[np.float64], spans: str) -> None:
    for name, part in split.parts().items():
        bads = int(bad[part].sum())
        goods = len(part) - bads
        if min(bads, goods) < LEAST_OF_EACH:
            found = f"has {bads} bads and {goods} goods" if len(part) else "is empty"
            raise SpanTooShort(
                f"The {name} part {found}; {LEAST_OF_EACH} of each are needed. {spans} "
                "Import more history, or declare shorter parts."
            )


def _days(span_us: int) -> str:
    return f"{span_us / _DAY_US:.4g} days"


def _from_to(t: Ints, rows: Ints) -> str:
    if not len(rows):
        return ""
    first, last = (_EPOCH + timedelta(microseconds=int(value)) for value in (t[rows].min(), t[rows].max()))
    return f", from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
