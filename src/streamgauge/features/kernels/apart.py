"""Calling a kernel that is compiled once, instead of compiling it again into each kernel that calls it."""

from __future__ import annotations

import hashlib
from functools import wraps
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, TypeVar, cast

from llvmlite import binding
from numba import int64, njit
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
    binding.add_symbol(symbol, pointer(kernel))

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
        kind = context.call_conv.get_function_type(signature.return_type, signature.args)
        function = cgutils.get_or_insert_function(builder.module, kind, symbol)
        return _called(context, builder, function, signature, arguments)

    return cast("Kernel", call)


def pointer(kernel: Callable[..., Any]) -> int:
    """Return where a kernel's code lies, which was compiled with one signature; whoever keeps it keeps the kernel."""
    (overload,) = cast("Any", kernel).overloads.values()
    return int(overload.library.get_pointer_to_function(overload.fndesc.llvm_func_name))


def at_address(signature: Any) -> Callable[..., Any]:  # noqa: ANN401 - Numba's own
    """Return what calls a kernel of a signature that lies at an address, its first argument: for other kernels.

    The kernel may be compiled long after those that call it.

    Args:
        signature: As given to `numba.njit`.
    """
    names = [f"a{number}" for number in range(len(signature.args) + 1)]
    parameters = Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names])

    def call(*_arguments: Any) -> Any:  # noqa: ANN401 - whatever the kernel takes
        raise TypeError("A kernel at an address is called by kernels alone.")

    cast("Any", call).__signature__ = parameters

    @type_callable(call)
    def typed(_context: Any) -> Any:  # noqa: ANN401 - Numba's own
        def typed_call(*_arguments: Any) -> Any:  # noqa: ANN401 - the same
            return signature.return_type(int64, *signature.args)

        cast("Any", typed_call).__signature__ = parameters
        return typed_call

    @cast("Callable[[Any], Any]", lower_builtin(call, int64, *signature.args))
    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - Numba's own
        kind = context.call_conv.get_function_type(signature.return_type, signature.args)
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        return _called(context, builder, function, signature, arguments[1:])

    return call


def _called(context: Any, builder: Any, function: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
    """Build the call of a function, with its error passed on."""
    convention = context.call_conv
    status, result = convention.call_function(builder, function, signature.return_type, signature.args, arguments)
    with cgutils.if_unlikely(builder, status.is_error):
        convention.return_status_propagate(builder, status)
    return result
