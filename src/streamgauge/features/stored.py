"""Features of many stored states as of one moment: one call unpacks and evaluates them all, and keeps none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.errors import StateDamaged
from streamgauge.features.block import CAPACITY, COUNT, FOLDED_FIRST, HEAD, SUMMARY, address_of, blank_of
from streamgauge.features.codec import Outline, outline
from streamgauge.features.compute import finish_rows
from streamgauge.features.evaluating import evaluate_entity
from streamgauge.features.opcodes import FOLD_WIDTH
from streamgauge.features.packing import unpack_block
from streamgauge.features.stream_state import shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.features.bind import BoundProgram
    from streamgauge.features.layout import Layout

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def compute_stored(bound: BoundProgram, states: Sequence[bytes | None], t: int, up_to: int) -> tuple[Floats, Mask]:
    """Return the features of states as of a moment, float64[n, features], and which states could tell them, bool[n].

    A state cannot that is absent or damaged, knows a record after the cut, or has folded what the moment needs: those
    rows are of no value, and the log tells.

    Args:
        bound: The program, which reads one role, bound to the layout of the states.
        states: What `streamgauge.features.codec.encode_state` returned, or None.
        t: The moment, µs.
        up_to: The position of the cut.
    """
    part = bound.only
    layout, digest = part.layout, bytes.fromhex(part.layout.digest)
    found = np.zeros(len(states), np.bool_)
    blocks: list[tuple[int, int, int, int]] = []
    starts = [0]
    kept: list[bytes] = []
    at = 0
    for number, data in enumerate(states):
        told = None if data is None else _told(layout, digest, data, t, up_to)
        if data is None or told is None:
            continue
        found[number] = True
        blocks += [(index, events, folded, at + told.end) for index, events, folded in _blocks(layout, told)]
        starts.append(len(blocks))
        kept.append(data)
        at += len(data)
    told_rows = np.empty((len(kept), bound.features), np.float64)
    aggregates = _aggregates(bound, b"".join(kept), blocks, starts, t)
    finish_rows(bound, aggregates, told_rows)
    rows = np.full((len(states), bound.features), np.nan)
    rows[found] = told_rows
    return rows, found


def _told(layout: Layout, digest: bytes, data: bytes, t: int, up_to: int) -> Outline | None:
    """Return the outline of a state that can tell, else None."""
    try:
        told = outline(data)
    except StateDamaged:
        return None
    if told.layout != digest or told.last_position > up_to:
        return None
    for stream in told.streams:
        index = layout.index(stream.name)
        if index >= 0 and stream.folded_last != NULL and t < stream.folded_last + layout.streams[index].horizon_us:
            return None
    return told


def _blocks(layout: Layout, told: Outline) -> list[tuple[int, int, int]]:
    """Return of each packed block its stream, its events and whether accumulators come with it."""
    return [
        (index, stream.events, stream.folded_last != NULL)
        for stream in told.streams
        if (index := layout.index(stream.name)) >= 0 and (stream.events or stream.folded_last != NULL)
    ]


def _aggregates(
    bound: BoundProgram, data: bytes, blocks: list[tuple[int, int, int, int]], starts: list[int], t: int
) -> Floats:
    """Return the aggregates of states whose bytes lie one behind another, float64[entities, aggregates]."""
    part = bound.only
    held, firsts = np.array(blocks, np.int64).reshape(len(blocks), 4), np.array(starts, np.int64)
    shapes = np.array([shape_of(stream) for stream in part.layout.streams], np.int64).reshape(-1, 3)
    blanks = np.array([blank_of(stream) for stream in part.layout.streams], np.int64)
    arena = np.empty(_room(held, firsts, shapes), np.int64)
    scratch = np.empty(part.scratch_size(int(held[:, 1].max(initial=0))), np.int64)
    packed = np.frombuffer(data or b"\0", np.uint8)
    out = np.empty((len(starts) - 1, bound.aggregates), np.float64)
    where = address_of(arena)
    _evaluate_all(part.packed, packed, held, firsts, shapes, blanks, arena, where, t, scratch, out)
    return out


def _room(held: Ints, starts: Ints, shapes: Ints) -> int:
    """Return how many int64 values the blocks of any one entity take."""
    words, columns, folds = shapes[held[:, 0]].T
    sizes = np.concatenate(([0], np.cumsum(HEAD + folds * FOLD_WIDTH + held[:, 1] * (2 + words + columns))))
    return int(np.diff(sizes[starts]).max(initial=1))


@njit(
    types.void(
        types.int64[::1],
        types.Array(types.uint8, 1, "C", readonly=True),
        types.int64[:, ::1],
        types.int64[::1],
        types.int64[:, ::1],
        types.int64[::1],
        types.int64[::1],
        types.int64,
        types.int64,
        types.int64[::1],
        types.float64[:, ::1],
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def _evaluate_all(
    part: Ints,
    packed: NDArray[np.uint8],
    held: Ints,
    starts: Ints,
    shapes: Ints,
    blanks: Ints,
    arena: Ints,
    address: int,
    t: int,
    scratch: Ints,
    out: Floats,
) -> None:
    """Write the aggregates of entities whose blocks are packed one behind another, using one entity's memory for all.

    Args:
        part: `streamgauge.features.evaluating.packed_tables`.
        packed: uint8[…], the states.
        held: int64[blocks, 4], of each: its stream's number, events, whether accumulators are packed, and where the
            first block of its entity begins.
        starts: int64[entities + 1], the first block of each entity.
        shapes: int64[streams, 3], words, columns and accumulators.
        blanks: int64[streams], the addresses of blocks without events.
        arena: int64[≥ the blocks of one entity], overwritten.
        address: Where the arena lies.
        t: The moment, µs.
        scratch: int64[≥ `BoundPart.scratch_size`], overwritten.
        out: float64[entities, aggregates], written.
    """
    addresses = np.empty(len(blanks), np.int64)
    for entity in range(len(starts) - 1):
        for number in range(len(blanks)):
            addresses[number] = blanks[number]
        used = 0
        at = held[starts[entity], 3] if starts[entity] < starts[entity + 1] else 0
        for number in range(starts[entity], starts[entity + 1]):
            index, n, folded = held[number, 0], held[number, 1], held[number, 2]
            words, columns, folds = shapes[index, 0], shapes[index, 1], shapes[index, 2]
            size = HEAD + folds * FOLD_WIDTH + n * (2 + words + columns)
            block = arena[used : used + size]
            block[: HEAD + folds * FOLD_WIDTH] = 0
            block[COUNT] = n
            block[CAPACITY] = n
            block[FOLDED_FIRST] = NULL
            block[SUMMARY] = 0
            at = unpack_block(packed, at, n, words, columns, folds if folded else 0, block)
            addresses[index] = address + 8 * used
            used += size
        evaluate_entity(part, addresses, t, -1, -1, scratch, out[entity])
