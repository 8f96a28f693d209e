"""When records are accepted: by the log's clock, and never before the same entity's last one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class AcceptanceClock:
    """The moments of one batch: max(log clock, the entity's previous ``accepted_at``).

    Where the clock is not behind the log, all records are accepted at its moment and nothing is looked up. Where it
    stepped back, only entities that have records from ahead of it wait for it; all others go by the clock at once.

    Args:
        now_us: The log's clock, µs.
        newest: The greatest ``accepted_at`` the log has given.
        previous: Gives an entity's newest ``accepted_at``, 0 where it has none; asked only while the clock is behind.

    >>> clock = AcceptanceClock(5, 9, {"account:A": 7}.get)
    >>> clock.moment(["account:A"]), clock.moment(["account:B"])
    (7, 5)
    """

    def __init__(self, now_us: int, newest: int, previous: Callable[[str], int | None]) -> None:
        self.behind = now_us < newest
        self._now = now_us
        self._previous = previous
        self._own: dict[str, int] = {}

    def moment(self, entities: Collection[str]) -> int:
        """Return when a record of some entities is accepted, µs."""
        if not self.behind:
            return self._now
        return max(self._now, *(self._own.get(key) or self._previous(key) or 0 for key in entities))

    def accepted(self, entities: Collection[str], moment: int) -> None:
        """Note that a record of some entities was accepted."""
        if self.behind:
            self._own.update(dict.fromkeys(entities, moment))
