"""Exact 128-bit arithmetic for Numba, and the one rounding to float64 that every value goes through.

A 128-bit integer is a pair of int64 (high, low), two's complement; `add`, `sub` and `mul` wrap at 2**128. They are
written as LLVM instructions, where a product of two words is one machine instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import numpy as np
from llvmlite import ir
from numba import int64, njit, types, uint64
from numba.extending import intrinsic

Int128: TypeAlias = tuple[int, int]

PAIR = types.UniTuple(types.int64, 2)
_I64 = ir.IntType(64)
_I128 = ir.IntType(128)
_POWERS = 2.0 ** np.arange(67)  # exact


def _pack(builder: Any, pair: Any) -> Any:  # noqa: ANN401 - llvmlite values
    high = builder.zext(builder.extract_value(pair, 0), _I128)
    low = builder.zext(builder.extract_value(pair, 1), _I128)
    return builder.or_(builder.shl(high, ir.Constant(_I128, 64)), low)


def _unpack(context: Any, builder: Any, value: Any) -> Any:  # noqa: ANN401 - llvmlite values
    high = builder.trunc(builder.lshr(value, ir.Constant(_I128, 64)), _I64)
    low = builder.trunc(value, _I64)
    return context.make_tuple(builder, PAIR, [high, low])


def _operation(name: str) -> Any:  # noqa: ANN401 - Numba's pair of signature and code generator
    def codegen(context: Any, builder: Any, _: Any, args: Any) -> Any:  # noqa: ANN401 - llvmlite values
        result = getattr(builder, name)(_pack(builder, args[0]), _pack(builder, args[1]))
        return _unpack(context, builder, result)

    return PAIR(PAIR, PAIR), codegen


def _add(typingctx: Any, a: Any, b: Any) -> Any:  # noqa: ANN401, ARG001 - Numba's protocol
    return _operation("add")


def _sub(typingctx: Any, a: Any, b: Any) -> Any:  # noqa: ANN401, ARG001 - Numba's protocol
    return _operation("sub")


def _mul(typingctx: Any, a: Any, b: Any) -> Any:  # noqa: ANN401, ARG001 - Numba's protocol
    return _operation("mul")


def _bit_length(typingctx: Any, a: Any) -> Any:  # noqa: ANN401, ARG001 - Numba's protocol
    def codegen(context: Any, builder: Any, _: Any, args: Any) -> Any:  # noqa: ANN401, ARG001 - llvmlite values
        zeros = builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(_I64, 64), zeros)

    return types.int64(types.int64), codegen


_Operation: TypeAlias = Callable[[Int128, Int128], Int128]

add: _Operation = cast("_Operation", intrinsic(_add))
sub: _Operation = cast("_Operation", intrinsic(_sub))
mul: _Operation = cast("_Operation", intrinsic(_mul))
_length: Callable[[int], int] = cast("Callable[[int], int]", intrinsic(_bit_length))  # of the word without a sign


@njit(cache=True, error_model="numpy", forceinline=True)
def wide(x: int) -> Int128:
    """Return an int64 as a pair."""
    return x >> 63, x


@njit(cache=True, error_model="numpy", forceinline=True)
def product(x: int, y: int) -> Int128:
    """Return the exact product of two int64 as a pair."""
    return mul((x >> 63, x), (y >> 63, y))


@njit(cache=True, error_model="numpy", forceinline=True)
def rn(value: Int128) -> float:
    """Round a 128-bit integer to the nearest float64, ties to even.

    The magnitude is cut to its 62 highest bits, with one sticky bit for the rest; that many are rounded once, by the
    processor's own conversion from int64, and scaled by a power of two, which is exact.

    Source: IEEE 754-2019, section 5.4.1 (convertFromInt, roundTiesToEven).
    """
    high, low = value
    if high == low >> 63:
        return float(low)
    negative = high < 0
    if negative:
        high, low = sub((0, 0), (high, low))
    shift = _length(high) + 2  # at most 66
    upper = uint64(high)
    lower = uint64(low)
    if shift < 64:  # noqa: PLR2004 - bits of a word
        kept = (upper << uint64(64 - shift)) | (lower >> uint64(shift))
        lost = lower << uint64(64 - shift)
    else:
        kept = upper >> uint64(shift - 64)
        lost = lower | (upper & ((uint64(1) << uint64(shift - 64)) - uint64(1)))
    if lost != uint64(0):
        kept |= uint64(1)
    result = float(int64(kept)) * float(_POWERS[shift])
    return -result if negative else result
