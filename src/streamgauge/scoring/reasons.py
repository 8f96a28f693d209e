"""Why a score is what it is: contributions against applicants just inside the cutoff, as adverse action reasons."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec
import numpy as np
import numpy.typing as npt

from streamgauge.errors import AdditivityError, ModelError
from streamgauge.scoring.ensemble import Floats

TOLERANCE = 1e-9
MOST_REASONS = 4
BASELINE_ROWS = 200
MISSING_SUFFIX = "M"


class Baseline(msgspec.Struct, frozen=True):
    """What contributions are measured against; it belongs to a policy's version.

    Attributes:
        contributions: Mean Shapley value of each feature over the rows.
        margin: Mean margin over the rows.
        rows: How many rows.
        approve_below: The cutoff they lie nearest below, or None where there is no policy.
        sha256: Hex SHA-256 of the rows, float64 little-endian in order.
    """

    contributions: tuple[float, ...]
    margin: float
    rows: int
    approve_below: float | None
    sha256: str

    def differences(self, contributions: Floats, margin: float) -> Floats:
        """Return one row's contributions against the baseline, float64[features].

        Raises:
            AdditivityError: They do not add up to the margin's difference within 1e-9: no reason may be given.
        """
        out: Floats = np.asarray(contributions, dtype=np.float64) - _array(self.contributions)
        gap = abs(math.fsum(out.tolist()) - (margin - self.margin))
        if not gap <= TOLERANCE:
            raise AdditivityError(
                f"Contributions differ from the margin by {gap:.3g}, more than {TOLERANCE:g}: no reason is given. "
                "Run `streamgauge verify`; the explainer and the model do not belong together."
            )
        return out


class ReasonCode(msgspec.Struct, frozen=True):
    """A reason's code and text."""

    code: str
    text: str


class Reason(msgspec.Struct, frozen=True):
    """One principal reason of a decision.

    Attributes:
        code: Its code.
        text: Its text.
        contribution: How much it raised the margin against the baseline.
        features: Those of its features that raised it, the greatest first.
    """

    code: str
    text: str
    contribution: float
    features: tuple[str, ...]


def reason_codes(names: Sequence[str], declared: Mapping[str, tuple[str, str]]) -> tuple[ReasonCode, ...]:
    """Return the code of each feature: the declared one, else one made of the feature's name.

    Raises:
        ModelError: A declared code is another one's code for missing data.

    >>> reason_codes(["CashFlow.burn", "CashFlow.top_payer_90d"], {"CashFlow.burn": ("R03", "Spending is high")})[1]
    ReasonCode(code='CashFlow.top_payer_90d', text='Top payer 90d')
    """
    codes = {code for code, _ in declared.values()}
    for code in sorted(codes):
        if code + MISSING_SUFFIX in codes:
            raise ModelError(
                f'The reason code "{code}{MISSING_SUFFIX}" is taken: it says that "{code}" lacks data. Rename it.'
            )
    return tuple(ReasonCode(*declared[name]) if name in declared else ReasonCode(name, _spoken(name)) for name in names)


def _spoken(name: str) -> str:
    words = name.rpartition(".")[2].replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def missing_text(text: str) -> str:
    """Return a reason's text where it is missing data that speaks.

    >>> missing_text("Income is low")
    'Income is low: not enough data'
    """
    return f"{text}: not enough data"


def nearest_below(pd: Floats, approve_below: float | None, rows: int = BASELINE_ROWS) -> npt.NDArray[np.int64]:
    """Return the rows of a baseline: those nearest below the cutoff, all of them without one.

    Equal PDs are taken in their order.

    Raises:
        ModelError: There are no rows, or none below the cutoff.
    """
    if not len(pd):
        raise ModelError("A baseline needs rows: the calibration part is empty.")
    if approve_below is None:
        return np.arange(len(pd), dtype=np.int64)
    inside = np.flatnonzero(pd < approve_below)
    if not len(inside):
        raise ModelError(
            f"No row of calibration and test has a PD below {approve_below:g}: nothing to measure reasons against. "
            "Raise approve_below, or give the model more history."
        )
    nearest: npt.NDArray[np.int64] = np.sort(inside[np.argsort(-pd[inside], kind="stable")[:rows]])
    return nearest


def principal_reasons(
    names: Sequence[str],
    codes: Sequence[ReasonCode],
    differences: Floats,
    nulls: npt.NDArray[np.bool_],
    groups: Sequence[tuple[str, list[int]]] | None = None,
) -> list[Reason]:
    """Return at most four reasons, the greatest first: contributions summed per code, those that raise risk only.

    What a null feature contributes counts for the code's own reason of missing data.

    Args:
        names: The features in order.
        codes: The code of each feature.
        differences: float64[features], from `Baseline.differences`.
        nulls: bool[features], which values the model could not see.
        groups: `groups_of` the codes, where they are at hand.
    """
    parts: list[float] = differences.tolist()
    is_null: list[bool] = nulls.tolist()
    found: list[tuple[float, str, list[int]]] = []
    for code, members in groups_of(codes) if groups is None else groups:
        if len(members) == 1:
            [j] = members
            if parts[j] > 0.0:
                found.append((-parts[j], code + MISSING_SUFFIX if is_null[j] else code, members))
            continue
        for null in (False, True):
            together = [j for j in members if is_null[j] == null]
            total = math.fsum([parts[j] for j in together])
            if total > 0.0:
                found.append((-total, code + MISSING_SUFFIX if null else code, together))
    return [
        _reason(names, code, -negative, codes[members[0]].text, is_null[members[0]], members, parts)
        for negative, code, members in heapq.nsmallest(MOST_REASONS, found)
    ]


def _reason(
    names: Sequence[str],
    code: str,
    total: float,
    text: str,
    null: bool,  # noqa: FBT001 - the parts of one reason
    members: list[int],
    parts: list[float],
) -> Reason:
    raising = [j for j in members if parts[j] > 0.0]
    raising.sort(key=lambda j: (-parts[j], j))
    return Reason(
        code=code,
        text=missing_text(text) if null else text,
        contribution=total,
        features=tuple(names[j] for j in raising),
    )


def groups_of(codes: Sequence[ReasonCode]) -> list[tuple[str, list[int]]]:
    """Return the features of each code, codes in the order of their first feature."""
    groups: dict[str, list[int]] = {}
    for j, one in enumerate(codes):
        groups.setdefault(one.code, []).append(j)
    return list(groups.items())


@lru_cache(maxsize=64)
def _array(values: tuple[float, ...]) -> Floats:
    return np.array(values)
