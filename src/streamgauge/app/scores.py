"""The feed of published scores, resumable from any of its numbers.

A score's number in the feed is its position, so that numbers go on when states are rebuilt under another layout.
Where one event led to several scores, all but the last carry the number before: whoever resumes between two of them is
sent the whole group again, and drops the repeats by their id.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from streamgauge.features.store import StateStore


class _Position(msgspec.Struct):
    position: int


_POSITION: Final = msgspec.json.Decoder(_Position)
_GROUP: Final = 16


class ScoreFeed:
    """Published scores, read from the outbox of the state store."""

    def __init__(self, store: StateStore) -> None:
        """Read from a store."""
        self._store = store
        self._place: tuple[int, int] = (0, 0)

    def after(self, number: int, limit: int) -> list[tuple[int, bytes]]:
        """Return scores with a position after a number, oldest first, whole groups.

        Args:
            number: The number of the last score that was seen; 0 for the oldest that is kept.
            limit: About how many to return.
        """
        entries = self._store.outbox_after(self._entry(number), limit + _GROUP)
        found = [(_POSITION.decode(body).position, body) for _, body in entries]
        if len(found) == limit + _GROUP:
            # The last group may be cut: leave it for the next call, unless it is all there is.
            last = found[-1][0]
            whole = [one for one in found if one[0] != last]
            found = whole or found
        if found:
            self._place = (found[-1][0], entries[len(found) - 1][0])
        following = [position for position, _ in found[1:]]
        return [
            (position - 1 if position == after else position, body)
            for (position, body), after in zip_longest(found, following)
        ]

    def newest(self) -> int:
        """Return the number after which nothing is published yet."""
        entries = self._store.outbox_after(self._store.outbox_newest() - 1, 1)
        return _POSITION.decode(entries[-1][1]).position if entries else 0

    def _entry(self, number: int) -> int:
        """Return the outbox entry of the last score at or before a position, by bisection."""
        position, entry = self._place
        if position == number and self._position(entry) == number:
            return entry
        first = self._store.outbox_after(0, 1)
        if not first:
            return 0
        low, high = first[0][0], self._store.outbox_newest()
        while low <= high:
            middle = (low + high) // 2
            found = self._position(middle)
            if found is not None and found <= number:
                low = middle + 1
            else:
                high = middle - 1
        return low - 1

    def _position(self, entry: int) -> int | None:
        """Return the position of an entry, or of the next one that is there."""
        found = self._store.outbox_after(entry - 1, 1)
        return _POSITION.decode(found[0][1]).position if found else None
