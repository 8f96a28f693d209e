"""The principal reasons of a decision, taken and replayed by the same rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamgauge.decisions.record import Reason
from streamgauge.scoring.reasons import MISSING_SUFFIX, MOST_REASONS, missing_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streamgauge.scoring.policy import Rule, Verdict
    from streamgauge.scoring.reasons import Baseline
    from streamgauge.scoring.reasons import Reason as Scored
    from streamgauge.scoring.scorer import Scorer


def reasons_of(
    scorer: Scorer, baseline: Baseline, verdict: Verdict, X: NDArray[np.float64], margin: float
) -> tuple[Reason, ...]:
    """Return the reasons of one decision; see `reasons_of_many`, with X float64[1, features]."""
    return reasons_of_many(scorer, baseline, [verdict], X, [margin])[0]


def reasons_of_many(
    scorer: Scorer,
    baseline: Baseline,
    verdicts: Sequence[Verdict],
    X: NDArray[np.float64],
    margins: Sequence[float],
) -> list[tuple[Reason, ...]]:
    """Return at most four reasons a row, those of the stage that decided; additivity is checked in any case.

    A rule that fired because what it reads is null has the code and the text of missing data.

    Args:
        scorer: The model.
        baseline: What contributions are measured against.
        verdicts: What the policy said of each row.
        X: float64[n, features], the decided rows.
        margins: The rows' margins as scored.

    Raises:
        AdditivityError: A row's contributions do not add up to its margin: no reason may be given.
    """
    scored = scorer.reasons(X, np.array(margins), baseline)
    return [_reasons(verdict, row) for verdict, row in zip(verdicts, scored, strict=True)]


def _reasons(verdict: Verdict, scored: Sequence[Scored]) -> tuple[Reason, ...]:
    ruled = [_ruled(rule, missing=rule in verdict.unknown) for rule in verdict.fired if rule.outcome == verdict.outcome]
    if verdict.stage == "rule":
        return tuple(ruled[:MOST_REASONS])
    by_score = [
        Reason(code=one.code, text=one.text, contribution=one.contribution, features=one.features) for one in scored
    ]
    return tuple([*ruled, *by_score][:MOST_REASONS])


def _ruled(rule: Rule, *, missing: bool) -> Reason:
    if missing:
        code, text = rule.code + MISSING_SUFFIX, missing_text(rule.reason)
        return Reason(code=code, text=text, contribution=0.0, features=())
    return Reason(code=rule.code, text=rule.reason, contribution=0.0, features=())
