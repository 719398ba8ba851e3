"""Backwards in other styles, as functions ``y, backward = op(*args)`` that can be checked.

gradcheck(from_cache(affine_forward, affine_backward), x, w, b)
gradcheck(from_class(Affine, w="dw", b="db"), x, w, b)
gradcheck(from_layer(net, params), x, *params.values(), names=["x", *params])
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from numpy_se.contract import Array
from numpy_se.checker.slopes import Op


def from_cache(forward: Callable[..., Any], backward: Callable[..., Any]) -> Op:
    """Take ``out, cache = forward(x, w)`` with ``dx, dw = backward(dout, cache)``."""

    @functools.wraps(forward)
    def op(*args: Any) -> tuple[Any, Callable[[Any], Any]]:
        result = forward(*args)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"{forward.__name__} gives no pair out, cache")
        out, cache = result
        return out, lambda dout: backward(dout, cache)

    return op


def from_class(make: Any, **gradients: str) -> Op:
    """Take an object with ``forward(x)`` and ``backward(dy)``, such as a layer of a framework.

    ``make`` is the class, a function without arguments that makes the object, or the object, of
    which copies are used. ``gradients`` names the parameters: w="dw" says that the object has its
    parameter in the attribute ``w``, and ``backward`` leaves the gradient in ``dw``. The op then
    takes them as further arguments, in this order.
    """
    makes = inspect.isclass(make) or inspect.isroutine(make)

    def op(*args: Any) -> tuple[Any, Callable[[Any], Any]]:
        layer = make() if makes else copy.deepcopy(make)
        inputs = args[: len(args) - len(gradients)]
        for name, value in zip(gradients, args[len(inputs) :], strict=True):
            setattr(layer, name, value)

        def backward(dy: Any) -> Any:
            given = layer.backward(dy)
            dinputs = given if isinstance(given, tuple) else (given,)
            return *dinputs, *(getattr(layer, title) for title in gradients.values())

        return layer.forward(*inputs), backward

    op.__name__ = getattr(make, "__name__", type(make).__name__)
    return op


def from_layer(layer: Any, params: Mapping[str, Array]) -> Op:
    """Take a layer or net of ``numpy_se.nets``, as a function of its input and all parameters."""

    def op(x: Array, *arrays: Array) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
        y, layer_backward = layer(dict(zip(params, arrays, strict=True)), x)

        def backward(dy: Array) -> tuple[Array, ...]:
            dx, grads = layer_backward(dy)
            return dx, *(grads[name] for name in params)

        return y, backward

    return op
