"""The memory of one stream of one entity: one int64 array, found by its address, so that one call reaches many.

The array begins with `HEAD` scalars, then come the accumulators, then the columns, each with room for `CAPACITY`
events: event times, sequences, the words of the masks (one event after another) and the layout's columns.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from llvmlite import ir
from numba import carray, njit, types  # type: ignore[attr-defined]
from numba.extending import intrinsic
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features.kernels.opcodes import FOLD_WIDTH

if TYPE_CHECKING:
    from streamgauge.features.layout import StreamLayout

HEAD: Final = 4
COUNT: Final = 0
CAPACITY: Final = 1
FOLDED_FIRST: Final = 2
SUMMARY: Final = 3

Ints = NDArray[np.int64]


def block_size(words: int, columns: int, folds: int, capacity: int) -> int:
    """Return how many int64 values a block has."""
    return HEAD + folds * FOLD_WIDTH + capacity * (2 + words + columns)


def new_block(words: int, columns: int, folds: int, capacity: int) -> Ints:
    """Return a block without events."""
    block = np.empty(block_size(words, columns, folds, capacity), np.int64)
    block[:HEAD] = (0, capacity, NULL, 0)
    block[HEAD : HEAD + folds * FOLD_WIDTH] = 0
    return block


def address_of(block: Ints) -> int:
    """Return where a block lies; whoever keeps the address keeps the block."""
    return int(block.__array_interface__["data"][0])


@cache
def _blank(words: int, columns: int, folds: int) -> Ints:
    return new_block(words, columns, folds, 0)


def blank_of(layout: StreamLayout) -> int:
    """Return the address of a block that stands for a stream without events; nothing may be written to it."""
    return address_of(_blank(layout.words, len(layout.columns), len(layout.folds)))


@intrinsic
def _pointer(typing: Any, address: Any) -> Any:  # noqa: ANN401, ARG001 - Numba's own types
    """Return an address as a pointer to int64."""
    kind = types.CPointer(types.int64)

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401, ARG001
        return builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())

    return kind(types.int64), build


@njit(cache=True, nogil=True, forceinline=True)
def ints_at(address: int, item: int, length: int) -> Ints:
    """Return ``length`` int64 values from item ``item`` of the block at an address."""
    return carray(_pointer(address + 8 * item), (length,))  # type: ignore[call-arg]
