"""Which segments of the archive become one."""

from __future__ import annotations

from math import log2

import pytest

from streamgauge.log.manifest import to_merge
from streamgauge.log.segment import Segment


def sealed(sealings: int, rows: int) -> tuple[list[int], int, int]:
    """Return the segments' rows after so many sealings, how many rows were written, and the most segments at a time."""
    segments: list[int] = []
    written = most = 0
    for _ in range(sealings):
        segments.append(rows)
        written += rows
        while found := to_merge([Segment("", 0, 0, size, 0, "", 0) for size in segments]):
            first, last = found
            segments[first:last] = [sum(segments[first:last])]
            written += segments[first]
        most = max(most, len(segments))
    return segments, written, most


@pytest.mark.parametrize("sealings", [10, 100, 1_000])
@pytest.mark.parametrize("rows", [40, 25_000, 250_000])
def test_a_record_is_written_again_as_often_as_the_log_doubles_at_most(sealings: int, rows: int) -> None:
    segments, written, most = sealed(sealings, rows)
    assert sum(segments) == sealings * rows
    assert written <= log2(sealings) * sealings * rows
    assert most <= log2(sealings) + 3


def test_a_long_segment_is_not_written_again_for_a_few_short_ones() -> None:
    assert sealed(7, 250_000)[0] == [1_000_000, 250_000, 250_000, 250_000]
