"""Leak checks: no feature may know the outcome.

(a) Features recomputed from the log cut at the row's knowledge are identical. (b) What hindsight would add to each
feature's AUC is shown. (c) A single feature, or the flag of its being null, that ranks outcomes too well is refused.
(d) A feature that ranks outcomes well on closed imported rows, while young rows look safer by it, is refused: outcomes
were written into the past.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from streamgauge.errors import LeakFound
from streamgauge.models.metrics import auc_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streamgauge.definitions.specs import FeatureSpec
    from streamgauge.models.dataset import Dataset
    from streamgauge.outcomes.events import Ints, Mask


REFUSED_AUC: Final = 0.90
SUSPECT_AUC: Final = 0.75
REFUSED_Z: Final = 3.0
_MOST_ROWS: Final = 100_000
_LEAST_OF_EACH: Final = 20


class FeatureLeak(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks found of one feature.

    Attributes:
        feature: The feature.
        auc: Its AUC by itself on closed rows, in the better direction (a category by its levels' bad rates on others).
        null_auc: The AUC of the flag that it is null, in the better direction.
        hindsight_auc: What knowing everything at the same moments would add to its AUC; None where not looked at.
        maturity_z: By how many standard errors (by entity) young imported rows look safer than the closed ones before
            them; None where there is nothing to compare or the AUC is too low to matter.
        verdict: ``clear``, ``leak`` or ``waived``.
        finding: What is wrong, or an empty string.
        waiver: The reason given for waiving it, or an empty string.
    """

    feature: str
    auc: float
    null_auc: float
    hindsight_auc: float | None = None
    maturity_z: float | None = None
    verdict: str = "clear"
    finding: str = ""
    waiver: str = ""


def check_leaks(dataset: Dataset, hindsight: tuple[Ints, NDArray[np.float64]] | None = None) -> list[FeatureLeak]:
    """Check every feature of a dataset; return the table, worst AUC first.

    Args:
        dataset: The rows.
        hindsight: Rows (their numbers) and their features as known at the end, float64[m, features], or None.

    Raises:
        LeakFound: A feature knows the outcome and has no waiver.
    """
    rows = _sampled(np.flatnonzero(dataset.usable))
    bad = dataset.bad[rows]
    found = []
    if min(bad.sum(), len(bad) - bad.sum()) > 0:
        found = [_judge(dataset, j, feature, rows, hindsight) for j, feature in enumerate(dataset.model.features)]
    found.sort(key=lambda leak: -max(leak.auc, leak.null_auc))
    if leaks := [leak for leak in found if leak.verdict == "leak"]:
        shown = "\n".join(f"  {leak.feature}: {leak.finding}" for leak in leaks[:5])
        more = f"\n  and {len(leaks) - 5} more" if len(leaks) > 5 else ""  # noqa: PLR2004 - errors show five
        raise LeakFound(
            f'Model "{dataset.model.name}" is not trained, for a feature knows the outcome:\n{shown}{more}\n'
            "Correct when its events became known, or leave it out. If it is right as it is, say why: "
            'sg.feature(…, leak_waiver="why").'
        )
    return found


def cut_rows(dataset: Dataset, most: int, seed: int = 0) -> Ints:
    """Return a sample of rows to recompute, by number, spread over all rows; int64[at most ``most``], ascending."""
    rng = np.random.Generator(np.random.PCG64(seed))
    n = len(dataset)
    return np.sort(rng.choice(n, size=min(most, n), replace=False)).astype(np.int64)


def _judge(
    dataset: Dataset,
    j: int,
    feature: FeatureSpec,
    rows: Ints,
    hindsight: tuple[Ints, NDArray[np.float64]] | None,
) -> FeatureLeak:
    bad = dataset.bad[rows]
    column = dataset.X[rows, j]
    risk = _risk(feature, dataset.X[:, j], rows, dataset)
    auc = auc_of(risk[rows], bad)
    null_auc = _better(auc_of(np.isnan(column).astype(np.float64), bad))
    z = maturity_contrast(dataset, risk) if auc > SUSPECT_AUC else None
    finding = ""
    if max(auc, null_auc) > REFUSED_AUC:
        what = "it" if auc >= null_auc else "whether it is null"
        finding = f"{what} ranks outcomes by itself with an AUC of {max(auc, null_auc):.3f}, above {REFUSED_AUC:.2f}"
    elif z is not None and z > REFUSED_Z:
        finding = (
            f"AUC {auc:.3f} by itself on closed imported rows, and young rows look safer by it (z = {z:.1f}, above "
            f"{REFUSED_Z:.0f}): outcomes seem to have been written into the past"
        )
    waiver = feature.leak_waiver or ""
    return FeatureLeak(
        feature=feature.name,
        auc=auc,
        null_auc=null_auc,
        hindsight_auc=_hindsight(dataset, j, feature, hindsight),
        maturity_z=z,
        verdict="clear" if not finding else "waived" if waiver else "leak",
        finding=finding,
        waiver=waiver if finding else "",
    )


def maturity_contrast(dataset: Dataset, risk: NDArray[np.float64]) -> float | None:
    """Return by how many standard errors young imported rows look safer than the closed ones just before them.

    Young rows are the imported ones less than half of whose way to closing is over: they have had little time to be
    written about. They are compared with the closed imported rows of the newest span as long as the one that is open,
    so that a slow drift of the portfolio weighs little. The standard error is clustered by entity.

    Args:
        dataset: The rows.
        risk: float64[n], how risky each row looks, by rank.

    Returns:
        The z value, positive where young rows look safer; None without rows to compare.
    """
    imported, closed = dataset.imported, dataset.usable
    closes = dataset.labels.closes_at
    open_rows = imported & (closes > dataset.moment)
    if not open_rows.any():
        return None
    young = open_rows & (dataset.t + (closes - dataset.t) // 2 > dataset.moment)
    begins, ends = int(dataset.t[open_rows].min()), int(dataset.t[open_rows].max())
    mature = imported & closed & (dataset.t < begins) & (dataset.t >= 2 * begins - ends)
    if min(young.sum(), mature.sum()) < _LEAST_OF_EACH:
        return None
    both = young | mature
    score, group = risk[both], young[both]
    means = np.where(group, score[group].mean(), score[~group].mean())
    weight = np.where(group, -1.0 / group.sum(), 1.0 / (~group).sum())
    _, owner = np.unique(dataset.entity[both], return_inverse=True)
    by_entity = np.bincount(owner, weights=weight * (score - means))
    error = float(np.sqrt((by_entity**2).sum()))
    difference = float(score[~group].mean() - score[group].mean())
    if error == 0.0:
        return None if difference == 0.0 else float(np.copysign(np.inf, difference))
    return difference / error


def _risk(feature: FeatureSpec, column: NDArray[np.float64], rows: Ints, dataset: Dataset) -> NDArray[np.float64]:
    """Return how risky each row looks by one feature alone: higher is riskier, nulls on the side that ranks better."""
    bad = dataset.bad[rows]
    if feature.levels is not None:
        return _category_risk(column, rows, bad, dataset.entity)
    finite = column[~np.isnan(column)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    below = np.where(np.isnan(column), low - 1.0, column)
    above = np.where(np.isnan(column), high + 1.0, column)
    auc_below = auc_of(below[rows], bad)
    auc_above = auc_of(above[rows], bad) if len(finite) < len(column) else auc_below
    values, auc = (above, auc_above) if _better(auc_above) > _better(auc_below) else (below, auc_below)
    return values if auc == _better(auc) else -values


def _category_risk(
    column: NDArray[np.float64], rows: Ints, bad: NDArray[np.float64], entity: Ints
) -> NDArray[np.float64]:
    """Return each row's level's bad rate on the entities of the other half, so that no row speaks for itself."""
    levels, code = np.unique(np.where(np.isnan(column), -1.0, column), return_inverse=True)
    half = entity % 2
    out = np.empty(len(column))
    overall = float(bad.mean())
    for side in (0, 1):
        other = half[rows] != side
        counts = np.bincount(code[rows][other], minlength=len(levels))
        bads = np.bincount(code[rows][other], weights=bad[other], minlength=len(levels))
        rate = (bads + overall) / (counts + 1.0)
        out[half == side] = rate[code[half == side]]
    return out


def _hindsight(
    dataset: Dataset, j: int, feature: FeatureSpec, hindsight: tuple[Ints, NDArray[np.float64]] | None
) -> float | None:
    if hindsight is None or feature.levels is not None:
        return None
    rows, known_later = hindsight
    keep = dataset.usable[rows]
    bad = dataset.bad[rows][keep]
    if min(bad.sum(), len(bad) - bad.sum()) < 1:
        return None
    then, later = dataset.X[rows, j][keep], known_later[keep, j]
    return _alone(later, bad) - _alone(then, bad)


def _alone(values: NDArray[np.float64], bad: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    lowest = float(known.min()) - 1.0 if len(known) else 0.0
    return _better(auc_of(np.where(np.isnan(values), lowest, values), bad))


def _better(auc: float) -> float:
    return max(auc, 1.0 - auc)


def _sampled(rows: Ints) -> Ints:
    """Return every k-th row where there are very many: an AUC needs no more."""
    return rows[:: max(1, -(-len(rows) // _MOST_ROWS))]


def same_bits(a: NDArray[np.float64], b: NDArray[np.float64]) -> Mask:
    """Return where two matrices hold the same values, bool[n, m]; null equals null."""
    same: Mask = (a == b) | (np.isnan(a) & np.isnan(b))
    return same


def refuse_differences(dataset: Dataset, rows: Ints, recomputed: NDArray[np.float64], names: Sequence[str]) -> None:
    """Refuse a dataset whose features differ from those computed from the log cut at each row's knowledge.

    Raises:
        LeakFound: A value differs; names the feature and the row.
    """
    differs = ~same_bits(dataset.X[rows], recomputed)
    if differs.any():
        i, j = (int(index[0]) for index in np.nonzero(differs))
        row = int(rows[i])
        raise LeakFound(
            f"{names[j]} of row {row} (as of {dataset.t[row]} µs) is {dataset.X[row, j]!r} in the dataset and "
            f"{recomputed[i, j]!r} from the log cut at what was known; {int(differs.sum())} values of {len(rows)} rows "
            "differ. This is a fault of the program, not of the project: report it."
        )
