"""The principal reasons of a decision, taken and replayed by the same rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamgauge.decisions.record import Reason
from streamgauge.scoring.reasons import MISSING_SUFFIX, MOST_REASONS, missing_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamgauge.scoring.policy import Rule, Verdict
    from streamgauge.scoring.reasons import Baseline
    from streamgauge.scoring.scorer import Scorer


def reasons_of(
    scorer: Scorer, baseline: Baseline, verdict: Verdict, X: NDArray[np.float64], margin: float
) -> tuple[Reason, ...]:
    """Return at most four reasons, those of the stage that decided; the score's additivity is checked in any case.

    A rule that fired because what it reads is null has the code and the text of missing data.

    Args:
        scorer: The model.
        baseline: What contributions are measured against.
        verdict: What the policy said.
        X: float64[1, features], the decided row.
        margin: The row's margin as scored.

    Raises:
        AdditivityError: The contributions do not add up to the margin: no reason may be given.
    """
    [scored] = scorer.reasons(X, np.array([margin]), baseline)
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
