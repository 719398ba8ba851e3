"""Backwards in other styles, as functions ``y, backward = op(*args)`` that can be checked.

gradcheck(from_cache(affine_forward, affine_backward), x, w, b)
gradcheck(from_class(Affine, w="dw", b="db"), x, w, b)
gradcheck(from_layer(net, params), x, *params.values())

Each op has the names of its arguments in its signature, and how it is made in ``op.written``.
"""

from __future__ import annotations

import ast
import functools
import inspect
import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from numpy_se.checker.layers import (
    check_place,
    class_line,
    forward_names,
    gradients_of,
    has_both,
    in_order,
    make_layer,
    put,
    quoted,
    title_of,
    unchecked,
)
from numpy_se.checker.shapes import argument_names
from numpy_se.checker.words import in_short, listed, one_line, plural
from numpy_se.contract import Array, kind_of

Op: TypeAlias = Callable[..., Any]
NOT_CALLED = object()


def from_cache(forward: Op, backward: Op) -> Op:
    """Take ``out, cache = forward(x, w)`` with ``dx, dw = backward(dout, cache)``.

    ``backward`` may also give a dict with a gradient for each name: ``{"dx": dx, "dw": dw}``. The
    op raises TypeError where ``forward`` gives no pair.
    """
    title = title_of(forward)
    names = argument_names(forward)

    @functools.wraps(forward)
    def op(*args: Any) -> tuple[Any, Op]:
        result = forward(*args)
        if not _is_pair(result):
            raise TypeError(f"from_cache: {title} gives {_given(result)}; it must give out, cache")
        out, cache = result
        return out, lambda dout: in_order(backward(dout, cache), names, args)

    return _dressed(op, f"from_cache({title}, {title_of(backward)})")


def from_class(make: Any, /, *sizes: Any, **gradients: str) -> Op:
    """Take an object with ``forward(x)`` and ``backward(dy)``, such as a layer of a framework.

    ``make`` is the class, with the ``sizes`` that it takes; a function without arguments that makes
    the object; or the object, of which copies are used. ``gradients`` names the parameters, which
    the op takes behind the arguments of ``forward``: w="dw" says that the object has its parameter
    in the attribute ``w`` (or in ``params["w"]``), and ``backward`` leaves the gradient in ``dw``
    (or in ``grads``, under "dw" or "w"). w="grads['w']", w="grads[0]" and w="w.grad" can be
    written, too. A note of the report names the arrays of the object that are left out.

    What ``backward`` returns are the gradients of the arguments of ``forward``: one, or several in
    a tuple, list or dict; or those of all arguments. Where ``forward`` returns None, ``y`` is in
    ``output``; where ``backward`` does, the gradient of x is in ``dx``. NumPy's global random
    numbers are the same in each ``__init__``.

    Raises TypeError for what has no forward and backward, and for a class that does not take
    ``sizes``; ValueError for a gradient that does not read.
    """
    for name, place in gradients.items():
        check_place(name, place)
    op = class_op(lambda: make_layer(make, sizes), gradients)
    op.__name__ = title_of(make)
    made = op.__name__ if inspect.isclass(make) else "an object"
    words = [made, *map(repr, sizes), *(f"{k}={quoted(v)}" for k, v in gradients.items())]
    return _dressed(op, f"from_class({', '.join(words)})")


def class_op(
    make: Callable[[], Any], gradients: Mapping[str, str], inputs: Sequence[str] | None = None
) -> Op:
    """The op of an object that ``make`` makes, as ``from_class`` takes it.

    ``inputs`` are names for the arguments of ``forward``; else, its parameters without a default.
    """
    first = make()
    names = forward_names(first) if inputs is None else list(inputs)

    def op(*args: Any) -> tuple[Any, Op]:
        count = len(args) - len(gradients)
        if count < 0:
            wanted = f"{listed(gradients)}, behind the arguments of forward"
            raise TypeError(
                f"from_class: there is {plural(len(args), 'argument')}; it wants {wanted}"
            )
        layer = make()
        for (name, place), value in zip(gradients.items(), args[count:], strict=True):
            put(layer, name, place, value)
        y = layer.forward(*args[:count])
        if y is None:  # as in Neural Networks from Scratch
            y = getattr(layer, "output", None)
        return y, lambda dy: gradients_of(layer, dy, names, args, gradients)

    if left := unchecked(first, gradients):
        how = 'name it, such as W="dW" or W="grads[0]"'
        op.note = f"no gradient of {listed(left)} was checked: {how}"  # type: ignore[attr-defined]
    return _named(op, [*names, *gradients])


def from_layer(layer: Any, params: Mapping[str, Array], train: int | None = None) -> Op:
    """Take a layer or net of ``numpy_se.nets``, as a function of its input and all parameters.

    Statistics of ``params`` stay as they are: they have no gradient. With ``train``, a seed, it is
    the layer as in training, with the same noise in each call.
    """
    held = {name: params[name] for name in layer.statistics}
    names = [name for name in params if name not in held]

    def op(x: Array, *arrays: Array) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
        own = dict(zip(names, arrays, strict=True)) | held
        if train is None:
            y, layer_backward = layer(own, x)
        else:
            y, layer_backward, _ = layer.train(own, x, np.random.default_rng(train))

        def backward(dy: Array) -> tuple[Array, ...]:
            dx, grads = layer_backward(dy)
            return dx, *(grads[name] for name in names)

        return y, backward

    op.__name__ = type(layer).__name__
    return _dressed(_named(op, ["x", *names]), "")


def _dressed(op: Op, written: str) -> Op:
    """Keep the expression that makes the op, "" where it cannot be written."""
    try:
        ast.parse(written, mode="eval")
    except SyntaxError:
        written = ""
    op.written = written  # type: ignore[attr-defined]
    return op


def _named(op: Op, names: Sequence[str]) -> Op:
    """Give the arguments of an op names, if these can be names of parameters."""
    plain = [re.sub(r"\W", "_", name) for name in names]
    usable = all(name.isidentifier() and not keyword.iskeyword(name) for name in plain)
    if usable and len(set(plain)) == len(plain) and not any(name[0] == "*" for name in names):
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, kind) for name in plain]
        op.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return op


# What is wrong with an op that cannot be checked.


def explain(op: Any, result: Any = NOT_CALLED, names: Sequence[str] = ()) -> str:
    """Say why ``op`` cannot be checked, and which line to write, without "gradcheck: " in front.

    ``result`` is what ``op(*args)`` gave or raised, and ``names`` are those of its arguments. It is
    "" where all is well: an op that gives ``y, backward``, or, where it was not called, one that
    can be called. The dots in the line stand for the arguments, or for ``shapes=``.
    """
    if _is_pair(result) and callable(result[1]):
        return ""
    if hasattr(op, "init") and hasattr(op, "names") and callable(op):
        return "op is a layer; write gradcheck(from_layer(op, params), ...)"
    if not callable(op) or (isinstance(op, type) and has_both(op)):
        return _explain_object(op)
    if has_both(owner := getattr(op, "__self__", None)):
        return f"op is a method of {title_of(owner)}; write {_class_check(type(owner))}"
    if result is NOT_CALLED:
        return ""
    if has_both(op) or isinstance(op, type):
        return _explain_object(op)
    if isinstance(result, BaseException):
        return f"{_name(op)} raises {in_short(result)}"
    return _explain_result(op, result, names)


def _explain_object(op: Any) -> str:
    cls = op if isinstance(op, type) else type(op)
    own = "None" if op is None else one_line(kind_of(op))
    what = f"op is the class {cls.__name__}" if cls is op else f"op is {own}"
    if has_both(op):
        check = _class_check(cls, "" if cls is op else "op")
        return f"{what} with forward and backward; write {check}"
    missing = [name for name in ("forward", "backward") if not hasattr(op, name)]
    without = f" without {listed(missing)}" if len(missing) == 1 or cls is op else ""
    return f"{what}{without}; it wants a function y, backward = op(x, ...)"


def _explain_result(op: Any, result: Any, names: Sequence[str]) -> str:
    title = _name(op)
    wanted = f"{title} gives {_given(result)}; it must give y, backward"
    if _is_output(result):
        grads = ", ".join(f"d{name}" for name in names) or "dx"
        return f"{wanted}, where {grads} = backward(dy). Does its return forget backward?"
    if _is_pair(result) and callable(result[0]):
        return f"{title} gives backward, y; it must give y, backward, in this order"
    if _is_pair(result) and _is_output(result[0]):
        return (
            f"{title} gives y and {one_line(kind_of(result[1]))}; it must give y, backward: the "
            "function, which is not called there. For "
            f"out, cache = {title}(...) with a backward of its own, write "
            f"gradcheck(from_cache({title}, {_backward_name(op, title)}), ...)"
        )
    return wanted


def _name(op: Op) -> str:
    name = title_of(op)
    return name if name.isidentifier() else "op"


def _class_check(cls: type, made: str = "") -> str:
    return f"gradcheck({class_line(cls, made)}, ...)"


def _given(result: Any) -> str:
    if isinstance(result, tuple):
        return f"a tuple of {len(result)}"
    return one_line(kind_of(result))


def _is_pair(result: Any) -> bool:
    return isinstance(result, tuple | list) and len(result) == 2


def _is_output(y: Any) -> bool:
    return isinstance(y, np.ndarray | np.floating | float)


def _backward_name(forward: Op, title: str) -> str:
    """What the backward of ``forward`` is called: what stands beside it, or a good guess."""
    others = [
        title.replace("forward", "backward"),
        title.replace("fwd", "bwd"),
        f"{title}_backward",
        f"{title}_bwd",
        f"{title}_grad",
        f"backward_{title}",
    ]
    others = [name for name in others if name != title]
    beside = getattr(inspect.unwrap(forward), "__globals__", {})
    return next((name for name in others if callable(beside.get(name))), others[0])
