"""Time is injected, never read: the core asks a `Clock` for the moment."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Where the core gets the time from."""

    def now_us(self) -> int:
        """Return the present moment, UTC, in µs since the epoch."""


class FixedClock:
    """A clock that stands still until it is moved.

    >>> clock = FixedClock(1_000_000)
    >>> clock.advance(5)
    >>> clock.now_us()
    1000005
    """

    def __init__(self, now_us: int) -> None:
        """Start at a moment in µs since the epoch."""
        self._now_us = now_us

    def now_us(self) -> int:
        """Return the moment the clock stands at."""
        return self._now_us

    def set(self, now_us: int) -> None:
        """Move to a moment, forwards or backwards."""
        self._now_us = now_us

    def advance(self, by_us: int) -> None:
        """Move by some µs."""
        self._now_us += by_us
