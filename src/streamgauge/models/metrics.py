"""How well scores rank and how true probabilities are."""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

REPLICATES: Final = 200
SEED: Final = 20_240_229
_Z95: Final = 1.959963984540054
_DECILES: Final = 10


class CalibrationRow(msgspec.Struct, frozen=True):
    """One bin of the calibration table: rows of neighbouring PDs.

    Attributes:
        rows: How many rows.
        bads: How many were bad.
        low: The smallest PD.
        high: The largest PD.
        mean_pd: The mean PD.
        bad_rate: The share of bads.
    """

    rows: int
    bads: int
    low: float
    high: float
    mean_pd: float
    bad_rate: float


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """How a model does on rows it was not fitted on.

    Attributes:
        rows: How many rows.
        bads: How many were bad.
        entities: How many entities they are of.
        auc: Area under the ROC curve.
        auc_low: Lower end of its 95 % interval.
        auc_high: Upper end.
        auc_method: ``delong``, or ``bootstrap`` (by entity) where entities repeat.
        gini: 2·AUC − 1.
        ks: The largest distance between the score distributions of bads and goods.
        brier: Mean squared error of the PD.
        slope: Calibration slope: of the outcome's log-odds on the PD's; 1 is perfect.
        intercept: Calibration intercept beside that slope; 0 is perfect.
        in_the_large: The outcome's mean log-odds shift against the PD's, with slope 1; 0 is perfect.
        bad_rate: The share of bads.
        mean_pd: The mean PD.
        table: The calibration table, by deciles of the PD.
    """

    rows: int
    bads: int
    entities: int
    auc: float
    auc_low: float
    auc_high: float
    auc_method: str
    gini: float
    ks: float
    brier: float
    slope: float
    intercept: float
    in_the_large: float
    bad_rate: float
    mean_pd: float
    table: tuple[CalibrationRow, ...]

    def numbers(self) -> dict[str, float]:
        """Return the single figures by name."""
        values = msgspec.structs.asdict(self)
        return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}


def measure(margin: Floats, pd: Floats, bad: Floats, entity: Ints) -> Metrics:
    """Measure a model on rows it was not fitted on.

    Args:
        margin: float64[n], raw margins: what ranks.
        pd: float64[n], probabilities of default.
        bad: float64[n], 1 bad, 0 good; both must occur.
        entity: int64[n], the number of each row's entity.
    """
    entities = len(np.unique(entity))
    auc, variance = delong(margin, bad)
    if entities < len(entity):
        method, (low, high) = "bootstrap", bootstrap_interval(margin, bad, entity)
    else:
        method, half = "delong", _Z95 * math.sqrt(variance)
        low, high = max(0.0, auc - half), min(1.0, auc + half)
    slope, intercept = calibration_line(pd, bad)
    return Metrics(
        rows=len(bad),
        bads=int(bad.sum()),
        entities=entities,
        auc=auc,
        auc_low=low,
        auc_high=high,
        auc_method=method,
        gini=2.0 * auc - 1.0,
        ks=kolmogorov_smirnov(margin, bad),
        brier=float(np.mean((pd - bad) ** 2)),
        slope=slope,
        intercept=intercept,
        in_the_large=calibration_shift(pd, bad),
        bad_rate=float(bad.mean()),
        mean_pd=float(pd.mean()),
        table=calibration_table(pd, bad),
    )


def auc_of(score: Floats, bad: Floats) -> float:
    """Return the area under the ROC curve, ties counted half.

    >>> auc_of(np.array([0.1, 0.4, 0.4, 0.9]), np.array([0.0, 1.0, 0.0, 1.0]))
    0.875
    """
    from scipy.stats import rankdata

    d = float(bad.sum())
    g = len(bad) - d
    ranks = rankdata(score)
    return float((ranks[bad == 1].sum() - d * (d + 1) / 2) / (d * g))


def delong(score: Floats, bad: Floats) -> tuple[float, float]:
    """Return AUC and its variance.

    Source: DeLong, DeLong and Clarke-Pearson 1988; computed as in Sun and Xu 2014.
    """
    from scipy.stats import rankdata

    bads, goods = score[bad == 1], score[bad == 0]
    d, g = len(bads), len(goods)
    ranks = rankdata(np.concatenate([bads, goods]))
    auc = float((ranks[:d].sum() - d * (d + 1) / 2) / (d * g))
    of_bads = (ranks[:d] - rankdata(bads)) / g
    of_goods = 1.0 - (ranks[d:] - rankdata(goods)) / d
    variance = 0.0
    if d > 1:
        variance += float(of_bads.var(ddof=1)) / d
    if g > 1:
        variance += float(of_goods.var(ddof=1)) / g
    return auc, variance


def bootstrap_interval(score: Floats, bad: Floats, entity: Ints, replicates: int = REPLICATES) -> tuple[float, float]:
    """Return the 95 % interval of AUC by resampling entities with all their rows, for these are no evidence apart.

    Args:
        score: float64[n].
        bad: float64[n], 1 bad, 0 good.
        entity: int64[n], the number of each row's entity.
        replicates: How many times to resample; the seed is fixed.
    """
    rng = np.random.Generator(np.random.PCG64(SEED))
    _, owner = np.unique(entity, return_inverse=True)
    count = int(owner.max()) + 1
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    owner, is_bad = owner[order], bad[order] == 1
    found = []
    for _ in range(replicates):
        weight = np.bincount(rng.integers(0, count, count), minlength=count)[owner].astype(np.float64)
        bads = np.diff(np.cumsum(np.where(is_bad, weight, 0.0))[ends], prepend=0.0)
        goods = np.cumsum(np.where(is_bad, 0.0, weight))[ends]
        below = np.concatenate([[0.0], goods[:-1]])
        total = bads.sum() * goods[-1]
        if total > 0:
            found.append(float((bads * (below + goods) / 2).sum() / total))
    low, high = np.quantile(found, [0.025, 0.975]) if found else (0.0, 1.0)
    return float(low), float(high)


def kolmogorov_smirnov(score: Floats, bad: Floats) -> float:
    """Return the largest distance between the distribution functions of bads and goods."""
    from scipy.stats import ks_2samp

    return float(ks_2samp(score[bad == 1], score[bad == 0], method="asymp").statistic)


def calibration_line(pd: Floats, bad: Floats) -> tuple[float, float]:
    """Return slope and intercept of the outcome's log-odds on the PD's.

    Source: Cox 1958, Two further applications of a model for binary regression.
    """
    from scipy.special import expit, logit

    x = logit(np.clip(pd, 1e-9, 1 - 1e-9))
    slope, intercept = 1.0, 0.0
    for _ in range(50):
        p = expit(slope * x + intercept)
        w = p * (1 - p)
        gradient = np.array([((bad - p) * x).sum(), (bad - p).sum()])
        hessian = np.array([[(w * x * x).sum(), (w * x).sum()], [(w * x).sum(), w.sum()]])
        if np.linalg.cond(hessian) > 1e12:  # noqa: PLR2004 - all PDs are equal: no line
            return math.nan, math.nan
        step = np.linalg.solve(hessian, gradient)
        slope, intercept = slope + float(step[0]), intercept + float(step[1])
        if float(np.abs(step).max()) < 1e-10:  # noqa: PLR2004 - converged
            break
    return slope, intercept


def calibration_shift(pd: Floats, bad: Floats) -> float:
    """Return calibration in the large: the shift of the PD's log-odds that makes expected bads observed ones."""
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    x = logit(np.clip(pd, 1e-9, 1 - 1e-9))
    observed = float(bad.sum())
    return float(brentq(lambda shift: float(expit(x + shift).sum()) - observed, -30.0, 30.0))


def calibration_table(pd: Floats, bad: Floats, bins: int = _DECILES) -> tuple[CalibrationRow, ...]:
    """Return bins of equal numbers of rows in order of PD; equal PDs share a bin."""
    edges = np.unique(np.quantile(pd, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    place = np.searchsorted(edges, pd, side="left")
    rows = []
    for number in np.unique(place):
        inside = place == number
        rows.append(
            CalibrationRow(
                rows=int(inside.sum()),
                bads=int(bad[inside].sum()),
                low=float(pd[inside].min()),
                high=float(pd[inside].max()),
                mean_pd=float(pd[inside].mean()),
                bad_rate=float(bad[inside].mean()),
            )
        )
    return tuple(rows)
