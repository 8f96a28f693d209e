"""Labels: what became of each observation, judged with all that is known by the dataset's last position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from streamgauge.definitions.schema import NULL
from streamgauge.outcomes.closing import closes_at, window_end

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from streamgauge.definitions.specs import LabelSpec, OutcomeRows
    from streamgauge.outcomes.events import Ints, Mask, StreamEvents

LABELS: Final = ("good", "bad", "indeterminate", "unexposed", "open")
GOOD, BAD, INDETERMINATE, UNEXPOSED, OPEN = range(len(LABELS))


@dataclass(frozen=True, slots=True)
class Labels:
    """What became of n observations.

    Attributes:
        code: int8[n], the place of each label in ``LABELS``. A row is open until it closes, whatever is known earlier.
        start: int64[n], where the outcome window begins, µs; ``NULL`` where nothing exposed the observation.
        closes_at: int64[n], when the row closes, µs; ``NULL`` for never.
        bad_at: int64[n], the event time of the first bad row in the window, closed or not; ``NULL`` for none, and for
            every row of a label of an absence: nothing is bad by it before its window has passed.
    """

    code: NDArray[np.int8]
    start: Ints
    closes_at: Ints
    bad_at: Ints

    @property
    def usable(self) -> Mask:
        """Which rows are closed and good or bad, bool[n]: what a model may learn from."""
        return self.code <= BAD

    @property
    def bad(self) -> NDArray[np.float64]:
        """1 for bad, 0 for good, NaN for the others, float64[n]."""
        return np.where(self.code == BAD, 1.0, np.where(self.code == GOOD, 0.0, np.nan))


def judge_labels(
    label: LabelSpec,
    streams: Mapping[str, StreamEvents],
    entity: Ints,
    t: Ints,
    reference: Ints,
    moment: int,
) -> Labels:
    """Judge observations.

    Args:
        label: The label.
        streams: The live events of the streams it reads, by name.
        entity: int64[n], the number of each observation's entity, as in ``streams``.
        t: int64[n], the moment of each observation, µs.
        reference: int64[n], the hash of the observed event's id, as references hold it; any number without an event.
        moment: The dataset's moment, µs.

    Returns:
        One label each. An observation that nothing exposed is open until the window would have closed, then unexposed.
    """
    start = t.copy() if label.starts_stream is None else _starts(label, streams, entity, reference)
    end, closes = window_end(label, start), closes_at(label, start)
    rows = pl.DataFrame({"entity": entity, "reference": reference, "start": start, "end": end})
    occurred = _first_within(label, label.bad, streams, rows)
    code = np.where((occurred != NULL) ^ label.absent, BAD, GOOD)
    if label.indeterminate is not None:
        doubtful = _first_within(label, label.indeterminate, streams, rows) != NULL
        code = np.where((code == GOOD) & doubtful, INDETERMINATE, code)
    unexposed = start == NULL
    due = np.where(unexposed, closes_at(label, t), closes)
    code = np.where(due > moment, OPEN, np.where(unexposed, UNEXPOSED, code))
    bad_at = np.full(len(t), NULL, np.int64) if label.absent else occurred
    return Labels(code.astype(np.int8), start, closes, bad_at)


def _starts(label: LabelSpec, streams: Mapping[str, StreamEvents], entity: Ints, reference: Ints) -> Ints:
    events = streams[str(label.starts_stream)]
    found = pl.DataFrame(
        {
            "entity": events.entity,
            "reference": events.units[:, events.stream.column(str(label.starts_field))],
            "start": events.time,
        }
    )
    first = found.group_by("entity", "reference").agg(pl.col("start").min())
    rows = pl.DataFrame({"entity": entity, "reference": reference})
    joined = rows.join(first, on=["entity", "reference"], how="left", maintain_order="left")
    return joined["start"].fill_null(NULL).to_numpy().astype(np.int64)


def _first_within(
    label: LabelSpec, outcome: OutcomeRows, streams: Mapping[str, StreamEvents], rows: pl.DataFrame
) -> Ints:
    """Return the time of each row's first outcome in (start, end], ``NULL`` where there is none."""
    events = streams[outcome.stream]
    kept = events.kept(outcome.where)
    columns = {"entity": events.entity[kept], "at": events.time[kept]}
    keys = ["entity"]
    if label.match is not None:
        columns["reference"] = events.units[kept, events.stream.column(label.match)]
        keys.append("reference")
    found = pl.DataFrame(columns).sort("at")
    asked = rows.with_row_index("row").sort("start")
    joined = asked.join_asof(
        found,
        left_on="start",
        right_on="at",
        by=keys,
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    ).sort("row")
    at = joined["at"].fill_null(NULL).to_numpy().astype(np.int64)
    start, end = rows["start"].to_numpy(), rows["end"].to_numpy()
    return np.where((start == NULL) | (at > end), NULL, at)
