"""How Numba calls the arrays that kernels take: with them a kernel is compiled once, when it is imported.

Without a signature Numba compiles a kernel when it is called first, and again for an array that may not be written.
"""

from __future__ import annotations

from typing import Final

from numba import types

READ_INTS: Final = types.Array(types.int64, 1, "C", readonly=True)
READ_INTS2: Final = types.Array(types.int64, 2, "C", readonly=True)
READ_WORDS2: Final = types.Array(types.uint64, 2, "C", readonly=True)
READ_BYTES: Final = types.Array(types.uint8, 1, "C", readonly=True)
READ_FLAGS: Final = types.Array(types.boolean, 1, "C", readonly=True)
READ_CELLS: Final = types.Tuple((READ_BYTES, READ_INTS, READ_INTS))
"""`Cells` without the class: the buffer, where each row begins, and how long it is."""

INTS: Final = types.int64[::1]
INTS2: Final = types.int64[:, ::1]
WORDS: Final = types.uint64[::1]
WORDS2: Final = types.uint64[:, ::1]
BYTES: Final = types.uint8[::1]
FLAGS: Final = types.boolean[::1]
FLOATS: Final = types.float64[::1]
FLOATS2: Final = types.float64[:, ::1]

INT: Final = types.int64
NONE: Final = types.void
