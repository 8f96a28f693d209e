"""Calling a kernel that is compiled once, instead of compiling it again into each kernel that calls it."""

from __future__ import annotations

import hashlib
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from llvmlite import binding
from numba import njit
from numba.core import cgutils
from numba.extending import lower_builtin, type_callable

if TYPE_CHECKING:
    from collections.abc import Callable

Kernel = TypeVar("Kernel", bound="Callable[..., Any]")


def inner(kernel: Kernel) -> Kernel:
    """Compile a kernel that only kernels call: an entry for Python and one for C take long to compile."""
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast("Kernel", njit(cache=True, nogil=True, error_model="numpy", **options)(kernel))


def inlined(kernel: Kernel) -> Kernel:
    """Compile a kernel that only kernels call into each of them."""
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": True}
    return cast("Kernel", njit(cache=True, nogil=True, error_model="numpy", **options)(kernel))


def apart(kernel: Kernel) -> Kernel:
    """Return what calls a compiled kernel by its address.

    Numba links what a kernel calls into it, and optimizes both as one: a large kernel costs its whole compilation again
    in each that calls it. One that is called apart costs it once. What is computed is the same.

    Args:
        kernel: Compiled with one signature, which is given to `numba.njit`.
    """
    compiled = cast("Any", kernel)
    (overload,) = compiled.overloads.values()
    signature = overload.signature
    digest = hashlib.sha256(str(signature).encode()).hexdigest()[:16]
    # What calls it is cached too, in code that names this symbol; code with another signature would find none.
    symbol = f"{compiled.py_func.__module__}.{compiled.py_func.__qualname__}.{digest}"
    binding.add_symbol(symbol, overload.library.get_pointer_to_function(overload.fndesc.llvm_func_name))

    @wraps(compiled.py_func)
    def call(*arguments: Any) -> Any:  # noqa: ANN401 - whatever the kernel takes
        return kernel(*arguments)

    @type_callable(call)
    def typed(_context: Any) -> Any:  # noqa: ANN401 - Numba's own
        @wraps(compiled.py_func)  # which tells Numba how many arguments there are
        def typed_call(*_arguments: Any) -> Any:  # noqa: ANN401 - the same
            return signature

        return typed_call

    @cast("Callable[[Any], Any]", lower_builtin(call, *signature.args))
    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - Numba's own
        convention = context.call_conv
        kind = convention.get_function_type(signature.return_type, signature.args)
        function = cgutils.get_or_insert_function(builder.module, kind, symbol)
        status, result = convention.call_function(builder, function, signature.return_type, signature.args, arguments)
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return result

    return cast("Kernel", call)
