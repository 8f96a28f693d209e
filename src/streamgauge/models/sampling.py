"""Down-sampling: fewer good rows to fit on, the same ones on every machine, and the margin moved back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from streamgauge.definitions.texts import hash_text
from streamgauge.errors import TrainingRefused
from streamgauge.models.split import LEAST_OF_EACH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamgauge.definitions.specs import SampleSpec
    from streamgauge.models.dataset import Dataset
    from streamgauge.outcomes.events import Ints

_INCREMENT: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT: Final = np.uint64(31)
_FRACTION_BITS: Final = 53


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was fitted on, where that is not the whole training part.

    Attributes:
        good: The declared share of good rows.
        seed: The declared seed.
        goods: How many good rows the training part has.
        kept: How many of them the model was fitted on.
        shift: What was added to the margin's log-odds: ln(good).
    """

    good: float
    seed: int
    goods: int
    kept: int
    shift: float


def margin_shift(sample: SampleSpec | None) -> float:
    """Return what corrects the log-odds of a model that was fitted on a sample.

    Source: King and Zeng 2001, Logistic regression in rare events data, section 4.1 (prior correction): keeping the
        share r of the goods divides the odds of good by 1/r, so the log-odds of bad are too high by −ln r.

    >>> from streamgauge.definitions.specs import SampleSpec
    >>> round(margin_shift(SampleSpec(0.02)), 6)
    -3.912023
    """
    return 0.0 if sample is None else math.log(sample.good)


def fitted_rows(dataset: Dataset, rows: Ints) -> Ints:
    """Return which of some training rows the model is fitted on: all bads, and the sample's goods.

    Args:
        dataset: The dataset.
        rows: int64[m], closed rows that are good or bad.

    Raises:
        TrainingRefused: The sample leaves too few goods.
    """
    sample = dataset.model.sample
    if sample is None:
        return rows
    bad = dataset.bad[rows] == 1.0
    kept: Ints = rows[bad | (shares(dataset, rows, sample.seed) < sample.good)]
    goods, left = int((~bad).sum()), len(kept) - int(bad.sum())
    if left < LEAST_OF_EACH:
        raise TrainingRefused(
            f'Model "{dataset.model.name}" has sg.Downsample(good={sample.good:g}), which keeps {left} of {goods} good '
            f"rows; {LEAST_OF_EACH} are needed. Keep a larger share, or all rows."
        )
    return kept


def describe_sample(dataset: Dataset, rows: Ints) -> Sampled | None:
    """Return what was fitted on of a training part, or None where that is all of it."""
    sample = dataset.model.sample
    if sample is None:
        return None
    bads = int(dataset.bad[rows].sum())
    return Sampled(
        good=sample.good,
        seed=sample.seed,
        goods=len(rows) - bads,
        kept=len(fitted_rows(dataset, rows)) - bads,
        shift=margin_shift(sample),
    )


def shares(dataset: Dataset, rows: Ints, seed: int) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each row, float64[m]: a hash of the seed and of whose and which observation it is.

    Nothing else enters, so further rows, another order or another machine change none of them.
    """
    entities = np.array([hash_text(key) for key in dataset.entities], np.int64)[dataset.entity[rows]]
    if dataset.event_id is None:
        own = dataset.t[rows]
    else:
        own = np.array([hash_text(dataset.event_id[row]) for row in rows.tolist()], np.int64)
    state = np.full(len(rows), seed, np.uint64)
    for part in (entities, own):
        state = _mixed(state ^ part.view(np.uint64))
    fraction: NDArray[np.float64] = (state >> np.uint64(64 - _FRACTION_BITS)).astype(np.float64) / 2.0**_FRACTION_BITS
    return fraction


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the next output of SplitMix64 from each state.

    Source: Steele, Lea and Flood 2014, Fast splittable pseudorandom number generators, figure 16 (mix variant 13).
    """
    out: NDArray[np.uint64] = state + _INCREMENT
    for shift, factor in _MIX:
        out = (out ^ (out >> np.uint64(shift))) * np.uint64(factor)
    return out ^ (out >> _LAST_SHIFT)
