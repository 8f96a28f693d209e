"""Encoded states one behind another in one array, so that one call reaches them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamgauge.features.checksums import PADDING

if TYPE_CHECKING:
    from collections.abc import Sequence

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PackedStates:
    """What `streamgauge.features.codec.encode_state` returned, of several states.

    Attributes:
        data: uint8[…], the states, and `PADDING` bytes behind them.
        starts: int64[states], where each begins.
        ends: int64[states], where each ends: where it begins, for one that is not there.
    """

    data: NDArray[np.uint8]
    starts: Ints
    ends: Ints

    @classmethod
    def of(cls, states: Sequence[bytes | None]) -> PackedStates:
        """Pack some states; None is one that is not there."""
        ends = np.cumsum([0 if state is None else len(state) for state in states], dtype=np.int64)
        starts = np.concatenate((np.zeros(min(1, len(states)), np.int64), ends[:-1]))
        data = b"".join([*(state for state in states if state is not None), bytes(PADDING)])
        return cls(np.frombuffer(data, np.uint8), starts, ends)

    @property
    def address(self) -> int:
        """Where the states lie."""
        return int(self.data.__array_interface__["data"][0])

    def without(self, numbers: Sequence[int]) -> PackedStates:
        """Return them as if some were not there."""
        if not numbers:
            return self
        ends = self.ends.copy()
        ends[numbers] = self.starts[numbers]
        return PackedStates(self.data, self.starts, ends)


@dataclass(frozen=True, slots=True)
class StatePage:
    """The states of some entities.

    Attributes:
        keys: The entities' keys.
        states: Their states, in that order.
    """

    keys: list[str]
    states: PackedStates
