"""Records that lie sorted in several places, as one sequence of whole entities."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from streamgauge.events.batch import RecordBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class _Source:
    """Batches of one place, in order of (entity, position); an entity may go on in the next batch."""

    def __init__(self, batches: Iterable[RecordBatch]) -> None:
        self._batches = iter(batches)
        self.parts: list[RecordBatch] = []
        self.ended = False
        self.more()

    def more(self) -> None:
        """Hold one more batch."""
        found = next(self._batches, None)
        if found is None:
            self.ended = True
        elif len(found):
            self.parts.append(found)
        else:
            self.more()

    @property
    def last(self) -> str:
        """The last entity held."""
        return self.parts[-1].entities[-1]

    def below(self, bound: str | None) -> list[RecordBatch]:
        """Give away the entities before one, or everything."""
        taken: list[RecordBatch] = []
        while self.parts and (bound is None or self.parts[0].entities[0] < bound):
            part = self.parts.pop(0)
            count = len(part.entities) if bound is None else bisect_left(part.entities, bound)
            taken.append(part.slice(0, count) if count < len(part.entities) else part)
            if count < len(part.entities):
                self.parts.insert(0, part.slice(count, len(part.entities)))
        return taken


def merged(places: Sequence[Iterable[RecordBatch]]) -> Iterator[RecordBatch]:
    """Yield whole entities in order of their keys; memory holds about one batch of each place.

    Args:
        places: Each sorted by (entity, position).
    """
    sources = [_Source(place) for place in places]
    while any(source.parts for source in sources):
        bound = min((source.last for source in sources if not source.ended), default=None)
        taken = [part for source in sources for part in source.below(bound)]
        if taken:
            yield RecordBatch.merged(taken)
        for source in sources:
            # The bound is where a source may go on; one that gave all away, or none could give, reads on.
            if not source.ended and (not source.parts or (not taken and source.last == bound)):
                source.more()
