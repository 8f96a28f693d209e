"""When the outcome of an observation is settled, good or bad alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamgauge.definitions.schema import NULL

if TYPE_CHECKING:
    from streamgauge.definitions.specs import LabelSpec
    from streamgauge.outcomes.events import Ints


def window_end(label: LabelSpec, start: Ints) -> Ints:
    """Return the last moment at which an outcome counts, int64[n] in µs; ``NULL`` where nothing started.

    >>> from streamgauge.definitions.specs import LabelSpec, OutcomeRows
    >>> window_end(LabelSpec("x", OutcomeRows("Default"), within_us=90), np.array([10, NULL])).tolist()[0]
    100
    """
    end = start + label.within_us if label.until_us is None else np.full(len(start), label.until_us, np.int64)
    return np.where(start == NULL, NULL, end)


def closes_at(label: LabelSpec, start: Ints) -> Ints:
    """Return when rows close, int64[n] in µs: ``start + within + settle``, or ``until + settle``; ``NULL`` for never.

    >>> from streamgauge.definitions.specs import LabelSpec, OutcomeRows
    >>> closes_at(LabelSpec("x", OutcomeRows("Default"), within_us=90, settle_us=5), np.array([10])).tolist()
    [105]
    """
    end = window_end(label, start)
    return np.where(end == NULL, NULL, end + label.settle_us)


def closing_span(label: LabelSpec) -> int:
    """Return how long after its start a row closes, µs; 0 where the label has a fixed end."""
    return label.within_us + label.settle_us if label.until_us is None else 0
