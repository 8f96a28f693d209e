"""Features of many stored states as of one moment: one call unpacks and evaluates them all, and keeps none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from streamgauge.features.block import CAPACITY, FOLDED_FIRST, HEAD, blank_of, ints_at
from streamgauge.features.compute import finish_rows
from streamgauge.features.kernels.opcodes import FOLD_WIDTH, GROUP_WIDTH, SPAN_WIDTH, TABLE_WIDTH
from streamgauge.features.kernels.outlines import B_AT, B_EVENTS, B_FOLDED, B_STREAM, BLOCK_WIDTH, outlines
from streamgauge.features.kernels.present import LEVEL_WIDTH, evaluate_present, reads_of
from streamgauge.features.kernels.unpacking import unpack_present
from streamgauge.features.stream_state import shape_of

if TYPE_CHECKING:
    from streamgauge.features.bind import BoundPart, BoundProgram
    from streamgauge.features.packed_states import PackedStates

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Of each stream of the layout: words, columns and accumulators of its blocks, where the program's tables of it begin
# (-1 where it reads none), and how many spans, groups and aggregates they have.
_SHAPE: Final = 7
_TABLES: Final = 3


class StoredFeatures:
    """Computes the features of a program, which reads one role, from states as they are stored."""

    def __init__(self, bound: BoundProgram) -> None:
        """Prepare the tables.

        Args:
            bound: The program, bound to the layout of the states.
        """
        self._bound = bound
        self._part = bound.only
        layout = self._part.layout
        self._shapes, self._tables = _tables(self._part)
        self._digest = np.frombuffer(bytes.fromhex(layout.digest), np.uint8)
        names = [stream.stream.name.encode() for stream in layout.streams]
        self._names = np.frombuffer(b"".join(names) or b"\0", np.uint8)
        self._ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        self._horizons = np.array([stream.horizon_us for stream in layout.streams], np.int64)
        self._blanks = np.array([blank_of(stream) for stream in layout.streams], np.int64)

    def compute(self, states: PackedStates, t: int, up_to: int) -> tuple[Floats, Mask]:
        """Return the features of states as of a moment, float64[n, features], and which could tell them, bool[n].

        A state cannot that is absent or damaged, knows a record after the cut, or has folded what the moment needs:
        those rows are of no value, and the log tells.

        Args:
            states: The states.
            t: The moment, µs.
            up_to: The position of the cut.
        """
        n = len(states.starts)
        data, address = states.data, states.address
        blocks = np.empty((n * len(self._shapes), BLOCK_WIDTH), np.int64)
        firsts = np.empty(n + 1, np.int64)
        found = np.empty(n, np.bool_)
        outline = (data, address, states.starts, states.ends, self._digest, self._names, self._ends, self._horizons)
        told = outlines(*outline, t, up_to, blocks, firsts, found)
        held, firsts = blocks[: firsts[told]], firsts[: told + 1]
        events = int(held[:, B_EVENTS].max(initial=0))
        arena = np.empty(_room(held, self._shapes) + LEVEL_WIDTH * events, np.int64)
        scratch = np.empty(self._part.scratch_size(events), np.int64)
        aggregates = np.empty((told, self._bound.aggregates), np.float64)
        ends = states.ends[found]
        fits = np.empty(told, np.bool_)
        tables = (self._shapes, self._tables, self._blanks)
        _evaluate_all(*tables, address, held, firsts, ends, arena, t, scratch, aggregates, fits)
        told_rows = np.empty((told, self._bound.features), np.float64)
        finish_rows(self._bound, aggregates, told_rows)
        if told == n and fits.all():
            return told_rows, found
        rows = np.full((n, self._bound.features), np.nan)
        rows[found] = told_rows
        found[found] = fits
        return rows, found


def _tables(part: BoundPart) -> tuple[Ints, Ints]:
    """Return the shapes of the layout's streams, int64[streams, _SHAPE], and the program's tables of them as one array.

    Those of a stream are its spans, its groups, what is read of each group, and its aggregates.
    """
    shapes = np.array([(*shape_of(stream), -1, 0, 0, 0) for stream in part.layout.streams], np.int64)
    tables: list[Ints] = [np.empty(0, np.int64)]
    begin = 0
    for stream in part.streams:
        shapes[stream.index, _TABLES:] = (begin, len(stream.spans), len(stream.groups), len(stream.table))
        own = [stream.spans.ravel(), stream.groups.ravel(), reads_of(stream), stream.table.ravel()]
        tables += own
        begin += sum(len(one) for one in own)
    return shapes.reshape(-1, _SHAPE), np.concatenate(tables)


def _room(held: Ints, shapes: Ints) -> int:
    """Return how many int64 values any one block takes."""
    words, columns, folds = shapes[held[:, B_STREAM], :3].T
    sizes = HEAD + folds * FOLD_WIDTH + held[:, B_EVENTS] * (2 + words + columns)
    return int(sizes.max(initial=1))


@njit(cache=True, nogil=True, error_model="numpy")
def _evaluate(shape: Ints, tables: Ints, block: Ints, t: int, level: Ints, scratch: Ints, out: Floats) -> None:
    """Write the aggregates of a stream of the program over a block."""
    words, columns, folds, at = shape[0], shape[1], shape[2], shape[3]
    spans = tables[at : at + shape[4] * SPAN_WIDTH].reshape(shape[4], SPAN_WIDTH)
    at += shape[4] * SPAN_WIDTH
    groups = tables[at : at + shape[5] * GROUP_WIDTH].reshape(shape[5], GROUP_WIDTH)
    at += shape[5] * GROUP_WIDTH
    reads = tables[at : at + shape[5]]
    at += shape[5]
    table = tables[at : at + shape[6] * TABLE_WIDTH].reshape(shape[6], TABLE_WIDTH)
    n = block[CAPACITY]
    fold = block[HEAD : HEAD + folds * FOLD_WIDTH].reshape(folds, FOLD_WIDTH)
    at = HEAD + folds * FOLD_WIDTH
    time = block[at : at + n]
    at += 2 * n
    bits = block[at : at + n * words].view(np.uint64)
    at += n * words
    cols = block[at : at + n * columns].reshape(columns, n)
    mask = bits.reshape(n, words)
    first = block[FOLDED_FIRST]
    evaluate_present(time, mask, bits, cols, n, fold, first, spans, groups, reads, table, t, level, scratch, out)


@njit(
    types.void(
        types.int64[:, ::1],
        types.int64[::1],
        types.int64[::1],
        types.int64,
        types.int64[:, ::1],
        types.int64[::1],
        types.int64[::1],
        types.int64[::1],
        types.int64,
        types.int64[::1],
        types.float64[:, ::1],
        types.boolean[::1],
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def _evaluate_all(
    shapes: Ints,
    tables: Ints,
    blanks: Ints,
    address: int,
    held: Ints,
    firsts: Ints,
    ends: Ints,
    arena: Ints,
    t: int,
    scratch: Ints,
    out: Floats,
    fits: Mask,
) -> None:
    """Write the aggregates of entities whose blocks are packed, using one block's memory for all.

    Args:
        shapes: int64[streams, _SHAPE].
        tables: The program's tables.
        blanks: int64[streams], the addresses of blocks without events.
        address: Where the states lie.
        held: int64[blocks, BLOCK_WIDTH], `streamgauge.features.kernels.outlines.outlines`.
        firsts: int64[entities + 1], the first block of each entity.
        ends: int64[entities], where each one's state ends.
        arena: int64[≥ any block, and LEVEL_WIDTH for each of its events], overwritten.
        t: The moment, µs.
        scratch: int64[≥ `BoundPart.scratch_size`], overwritten.
        out: float64[entities, aggregates], written.
        fits: bool[entities], written: whether each one's blocks end where its state does.
    """
    # Numba counts the references to an array at each slice of it, but not to memory that is known by its address.
    own = ints_at(tables.ctypes.data, 0, len(tables))
    memory = ints_at(arena.ctypes.data, 0, len(arena))
    free = ints_at(scratch.ctypes.data, 0, len(scratch))
    width = out.shape[1]
    blank = np.empty(width, np.float64)
    row = ints_at(blank.ctypes.data, 0, width).view(np.float64)
    for stream in range(len(shapes)):
        shape = ints_at(shapes.ctypes.data, stream * _SHAPE, _SHAPE)
        if shape[_TABLES] >= 0:
            block = ints_at(blanks[stream], 0, HEAD + shape[2] * FOLD_WIDTH)
            _evaluate(shape, own, block, t, memory, free, row)
    for entity in range(len(firsts) - 1):
        out[entity] = blank
        row = ints_at(out.ctypes.data, entity * width, width).view(np.float64)
        fits[entity] = True
        at = held[firsts[entity], B_AT] if firsts[entity] < firsts[entity + 1] else 0
        for number in range(firsts[entity], firsts[entity + 1]):
            stream, n = held[number, B_STREAM], held[number, B_EVENTS]
            shape = ints_at(shapes.ctypes.data, stream * _SHAPE, _SHAPE)
            words, columns, folds = shape[0], shape[1], shape[2]
            size = HEAD + folds * FOLD_WIDTH + n * (2 + words + columns)
            block = memory[:size]
            kept = folds * held[number, B_FOLDED]
            at = unpack_present(address, at, ends[entity], n, words, columns, folds, kept, block)
            if at < 0:
                fits[entity] = False
                break
            if shape[_TABLES] >= 0:
                _evaluate(shape, own, block, t, memory[size:], free, row)
