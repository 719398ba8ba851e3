"""The contract of every operation, ``y, backward = op(x, ...)``, and the checks that keep it.

An operation takes arrays and returns its output together with a function:

    y, backward = op(x, w)      # arrays in, array out
    dx, dw = backward(dy)       # one gradient per float array, in the order of the arguments

``dy`` is the upstream gradient dL/dy: how much a loss L changes with each entry of ``y``. It has
the shape of ``y``. ``dx`` is dL/dx, in the shape of ``x``; so for every name with d.

An operation with one float array returns its gradient bare: ``dx = backward(dy)``. Labels, and an
optional array that is not given, have no gradient. What holds for all operations:

- ``backward`` is pure. It may be called again, with another ``dy``, whatever ran in between.
- Nothing that was passed in is changed, and no result shares memory with it.
- Results belong to the caller: they can be changed, so none is a read-only view.
- float32 in, float32 out, float32 gradients; float64 likewise. Both in one call are refused.
- Any strides are legal. A channels-last array seen through ``np.moveaxis`` is a legal input.
- ``backward`` keeps references to arrays, not copies. Do not change an input or ``y`` in place
  between the two passes.

The first call of an operation in a process lets the C library of Linux keep freed memory for the
arrays of the next calls, see ``memory``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

from numpy_se.memory import keep_freed_memory

Array: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.integer[Any]]

ARRAYS = (np.ndarray, np.memmap)  # no other subclass: np.matrix multiplies otherwise
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
MOST_ACCEPTED = 1000  # dtypes and shapes that an operation remembers

Function = TypeVar("Function", bound=Callable[..., Any])


def op(signature: str) -> Callable[[Function], Function]:
    """Declare the axes of an operation, and check its arrays against them at each call.

    The signature names the axes of each array argument in order. What follows the arrow tells the
    reader the axes of the output; it is not checked.

        @op("N C H W, N C -> N C H W")
        def channel_scale(x, s): ...

    Equal names stand for equal sizes, and a number for itself, as in "N 1 H W". ``...`` stands for
    one or more axes, the same each time.
    ``int N`` is an array of integers. An argument whose default is ``None`` may be left out.
    The upstream gradient is checked too: ``dy`` must have the shape and the dtype of ``y``.
    What the function gives after ``y, backward`` is handed on.

    The decorated function raises TypeError for what is not a NumPy array or has the wrong dtype,
    and ValueError for a wrong shape. The message names the argument, what it got and what it wants.
    It carries the signature as the attribute ``signature``.
    """
    terms = [term.split() for term in signature.split("->")[0].split(",")]

    def decorate(function: Function) -> Function:
        parameters = list(inspect.signature(function).parameters.values())[: len(terms)]
        axes = {p.name: term for p, term in zip(parameters, terms, strict=True)}
        optional = {p.name for p in parameters if p.default is None}
        title = function.__name__
        accepted: set[tuple[Any, ...]] = set()  # dtypes and shapes that need no second look

        @functools.wraps(function)
        def checked(*args: Any, **options: Any) -> tuple[Any, ...]:
            arrays = dict(zip(axes, args, strict=False))
            arrays |= {name: options[name] for name in axes if name in options}
            given = {k: a for k, a in arrays.items() if a is not None or k not in optional}
            kinds = tuple(
                [(k, a.dtype, a.shape) if type(a) in ARRAYS else None for k, a in given.items()]
            )
            if kinds not in accepted:
                _check_arrays(title, axes, given)
                keep_freed_memory()
                if len(accepted) == MOST_ACCEPTED:
                    accepted.clear()
                accepted.add(kinds)
            y, backward, *more = function(*args, **options)
            return y, _checked_backward(title, backward, y.shape, y.dtype), *more

        checked.signature = signature  # type: ignore[attr-defined]
        return cast(Function, checked)

    return decorate


def run_op(subject: str, op: Callable[..., Any], *args: Any) -> tuple[Any, Callable[..., Any]]:
    """Call an operation that a user passed in; refuse one that gives no ``y, backward``."""
    check_op(subject, op)
    result = op(*args)
    if not (isinstance(result, tuple) and len(result) == 2 and callable(result[1])):
        raise TypeError(f"{subject} gives {kind_of(result)}; it must give y, backward")
    if not isinstance(result[0], np.ndarray | np.generic):
        raise TypeError(f"{subject} gives {kind_of(result[0])} for y; it must give a NumPy array")
    return result


def kind_of(value: object) -> str:
    """Say what a function gave in place of what is wanted."""
    if value is None:
        return "None (is a return missing?)"
    return typed(value)


def typed(value: object) -> str:
    """The type of a value, with its article."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeio' or name == 'ndarray' else 'a'} {name}"


def in_short(value: object) -> str:
    """Say a value in one short line: as it is written, or else its type."""
    text = repr(value)
    return text if len(text) < 40 and "\n" not in text and " at 0x" not in text else kind_of(value)


def check_count(title: str, name: str, value: object, at_least: int, hint: str = "") -> None:
    """Refuse a ``value`` that is not a whole number of at least ``at_least``."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{title}: {name} is {in_short(value)}; it wants a whole number{hint}")
    if value < at_least:
        raise ValueError(f"{title}: {name} is {value}; it wants at least {at_least}")


def check_number(title: str, name: str, value: object) -> None:
    """Refuse a ``value`` that is not a real number. Its range is up to the caller."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{title}: {name} is {in_short(value)}; it wants a number")


def check_eps(title: str, eps: object) -> None:
    """Refuse what cannot be added below a root: no number, a negative one, or infinity."""
    check_number(title, "eps", eps)
    if not 0 <= eps < np.inf:  # type: ignore[operator]
        raise ValueError(f"{title}: eps is {eps}; it wants 0 or more, and a finite number")


def check_op(subject: str, op: object) -> None:
    """Refuse what cannot be an operation, as it cannot be called."""
    if not callable(op):
        raise TypeError(f"{subject} is {in_short(op)}; it wants an operation such as relu")


def _check_arrays(title: str, terms: dict[str, list[str]], arrays: dict[str, Any]) -> None:
    for name, array in arrays.items():
        _check_dtype(title, name, array, integer=terms[name][0] == "int")
    _check_same_dtype(title, {k: a.dtype for k, a in arrays.items() if terms[k][0] != "int"})
    size_of: dict[str, tuple[int | tuple[int, ...], str]] = {}
    for name, array in arrays.items():
        integer, axes = terms[name][0] == "int", terms[name]
        if integer:
            axes = axes[1:]
        if array.size == 0:
            raise ValueError(
                f"{title}: {name} has shape {array.shape}; every axis wants at least 1 entry"
            )
        if array.ndim == 0:
            raise ValueError(f"{title}: {name} has no axis; it wants ({', '.join(axes)})")
        got = (array.shape,) if axes == ["..."] else array.shape
        fits = len(got) == len(axes)
        wrong, hint = [], _one_hot(name, array) if integer else ""
        for axis, size in zip(axes, got, strict=False):
            if axis.isdigit():
                fits &= size == int(axis)
                continue
            wanted, source = size_of.setdefault(axis, (size, name))
            if size != wanted:
                wrong.append(f"{axis} = {wanted} as in {source}")
                if axis == "C" and arrays[source].shape[3:] == (size,):
                    hint = f"; are the channels of {source} last? np.moveaxis({source}, -1, 1)"
        if wrong or not fits:
            reason = f" with {' and '.join(wrong)}" if wrong else ""
            raise ValueError(
                f"{title}: {name} has shape {array.shape}; it wants ({', '.join(axes)})"
                f"{reason}{hint}"
            )


def _check_dtype(title: str, name: str, array: Any, integer: bool = False) -> None:
    if type(array) not in ARRAYS:
        raise TypeError(f"{title}: {name} is {typed(array)}; it wants a NumPy array")
    dtype = array.dtype
    if integer and dtype.kind not in "iu":
        wanted = f"whole numbers (an integer dtype){_one_hot(name, array)}"
        raise TypeError(f"{title}: {name} is {dtype}; it wants {wanted}")
    if not integer and dtype not in FLOATS:
        raise TypeError(f"{title}: {name} is {dtype}; it wants float32 or float64")


def _check_same_dtype(title: str, dtypes: dict[str, np.dtype[Any]]) -> None:
    """Refuse two dtypes in one call: the one of fewer arrays, or else float64."""
    wide = [name for name, dtype in dtypes.items() if dtype == np.float64]
    narrow = [name for name in dtypes if name not in wide]
    if wide and narrow:
        wrong, others = (narrow, wide) if len(narrow) < len(wide) else (wide, narrow)
        got, wanted = dtypes[wrong[0]], dtypes[others[0]]
        raise TypeError(
            f"{title}: {wrong[0]} is {got}; it wants {wanted} as {others[0]}: "
            f"{wrong[0]}.astype(np.{wanted})"
        )


def _one_hot(name: str, array: Array) -> str:
    """What to write for labels that have a row for each sample."""
    return f"; is it one-hot? {name}.argmax(axis=1)" if array.ndim == 2 else ""


def _checked_backward(
    title: str, backward: Callable[..., Any], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Callable[..., Any]:
    def checked(dy: Any = None) -> Any:
        if dy is None:
            wanted = "a number: backward(1.0)" if shape == () else f"the gradient of y, {shape}"
            raise TypeError(f"{title}: dy is None; it wants {wanted}")
        if shape == () and isinstance(dy, int | float | np.floating):
            return backward(dtype.type(dy))
        if isinstance(dy, Real):
            raise TypeError(f"{title}: dy is {typed(dy)}; it wants the gradient of y, {shape}")
        _check_dtype(title, "dy", dy)
        if dy.dtype != dtype:
            raise TypeError(f"{title}: dy is {dy.dtype}; it wants {dtype}, the dtype of y")
        if dy.shape != shape:
            raise ValueError(f"{title}: dy has shape {dy.shape}; it wants {shape}, the shape of y")
        return backward(dy)

    return checked
