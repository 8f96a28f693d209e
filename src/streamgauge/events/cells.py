"""Byte strings of many rows in one buffer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamgauge.events import array_types as ty

if TYPE_CHECKING:
    from collections.abc import Sequence

Ints: TypeAlias = NDArray[np.int64]
Bytes: TypeAlias = NDArray[np.uint8]

_FEW = 64


@njit(ty.NONE(ty.READ_BYTES, ty.READ_INTS, ty.READ_INTS, ty.BYTES), cache=True, nogil=True)
def _gather(data: Bytes, start: Ints, size: Ints, out: Bytes) -> None:
    """Copy rows one behind the other."""
    at = 0
    for row in range(len(start)):
        first = start[row]
        for i in range(size[row]):
            out[at + i] = data[first + i]
        at += size[row]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The byte strings of one column.

    Attributes:
        data: uint8[b], the buffer; it may hold more than the rows.
        start: int64[n], where each row's bytes begin.
        size: int64[n], how many there are.
    """

    data: Bytes
    start: Ints
    size: Ints

    @classmethod
    def of(cls, values: Sequence[bytes]) -> Cells:
        """Return the cells of byte strings.

        >>> Cells.of([b"a", b"", b"cd"]).tolist()
        [b'a', b'', b'cd']
        """
        size = np.fromiter(map(len, values), np.int64, len(values))
        return cls(np.frombuffer(b"".join(values), np.uint8), starts_of(size), size)

    def __len__(self) -> int:
        return len(self.start)

    def take(self, rows: Ints | slice) -> Cells:
        """Return some rows; the buffer stays as it is."""
        return Cells(self.data, self.start[rows], self.size[rows])

    def packed(self) -> Cells:
        """Return the same rows in a buffer that holds nothing else."""
        out = np.empty(int(self.size.sum()), np.uint8)
        _gather(self.data, self.start, self.size, out)
        return Cells(out, starts_of(self.size), self.size)

    def tolist(self) -> list[bytes]:
        """Return the byte strings."""
        ends = (self.start + self.size).tolist()
        if len(self) <= _FEW:
            view = self.data.data
            return [bytes(view[first:last]) for first, last in zip(self.start.tolist(), ends, strict=True)]
        data = self.data.tobytes()
        return [data[first:last] for first, last in zip(self.start.tolist(), ends, strict=True)]

    def texts(self) -> list[str]:
        """Return the byte strings, which are UTF-8, as texts."""
        return [value.decode() for value in self.tolist()]

    @staticmethod
    def joined(parts: Sequence[Cells]) -> Cells:
        """Return the rows of several columns, one column after the other."""
        size = np.concatenate([part.size for part in parts])
        out = np.empty(int(size.sum()), np.uint8)
        at = 0
        for part in parts:
            width = int(part.size.sum())
            _gather(part.data, part.start, part.size, out[at : at + width])
            at += width
        return Cells(out, starts_of(size), size)


def starts_of(size: Ints) -> Ints:
    """Return where rows of some sizes begin when they lie one behind the other."""
    start = np.zeros(len(size), np.int64)
    np.cumsum(size[:-1], out=start[1:])
    return start
