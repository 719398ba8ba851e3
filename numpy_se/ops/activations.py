"""Activations: functions of one entry at a time, for arrays of any shape.

For all of them ``y = f(x)`` entry by entry, so the gradient is ``dx = f'(x) * dy``. A formula of
several steps takes them in place, so that no array is made apart from its result.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpy_se.contract import Array, op
from numpy_se.parallel import by_size, in_order

CHUNK = 2**20  # bytes of a chunk: it stays in the cache


@op("... -> ...")
def relu(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Pass what is positive and nothing else.

        y  = max(x, 0)
        dx = dy where x > 0, else 0

    Convention at the kink: no gradient at exactly 0, as in PyTorch.
    Keeps one byte (the mask) for every entry of ``x``.
    """
    y = np.maximum(x, np.zeros_like(x[:1]))  # NumPy is twice as fast with an array as with a 0
    mask = x > 0

    def backward(dy: Array) -> Array:
        return dy * mask

    return y, backward


@op("... -> ...")
def sigmoid(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Map every number to the interval from 0 to 1.

        y  = 1 / (1 + exp(-x))
        dx = y * (1 - y) * dy

    as d/dx (1 + exp(-x))^-1 = exp(-x) / (1 + exp(-x))^2, and exp(-x) / (1 + exp(-x)) = 1 - y.

    exp(-x) overflows to infinity where x is below -88 (float32) or -709 (float64). There y is 0,
    and the true value is below the smallest normal number. Elsewhere y has full precision.
    Keeps ``y``. Source: the gate of the paper's eq. 3.
    """
    y = np.negative(x)
    with np.errstate(over="ignore"):
        np.exp(y, out=y)
    y += 1
    np.reciprocal(y, out=y)

    def backward(dy: Array) -> Array:
        dx = 1 - y
        dx *= y
        dx *= dy
        return dx

    return y, backward


@op("... -> ...")
def tanh(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Map every number to the interval from -1 to 1.

        y  = tanh(x) = 2 * sigmoid(2x) - 1
        dx = (1 - y^2) * dy

    as with t = sigmoid(2x), the derivative is 4 t (1 - t) = 1 - (2t - 1)^2.
    Keeps ``y``. Source: a gate of the paper's Table 12.
    """
    y: Array = np.tanh(x)

    def backward(dy: Array) -> Array:
        dx = y * y
        np.subtract(1, dx, out=dx)
        dx *= dy
        return dx

    return y, backward


@op("... -> ...")
def hard_sigmoid(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Approximate the sigmoid by three straight lines.

        y  = min(max(x + 3, 0), 6) / 6
        dx = dy / 6 where -3 < x < 3, else 0

    Convention at the kinks: no gradient at exactly -3 and 3, as in PyTorch.
    Keeps one byte (the mask) for every entry of ``x``.
    Source: the gate of MobileNetV3, Howard et al., arXiv 1905.02244, section 5.2.
    """
    y = x + 3
    np.clip(y, 0, 6, out=y)
    y /= 6
    mask = (x > -3) & (x < 3)

    def backward(dy: Array) -> Array:
        dx = dy * mask
        dx /= 6
        return dx

    return y, backward


@op("... -> ...")
def silu(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Let every number through as far as its own sigmoid opens: "swish", a smooth ReLU.

        s  = sigmoid(x) = 1 / (1 + exp(-x))
        y  = x * s
        dx = (s + y * (1 - s)) * dy

    by the product rule, as ds/dx = s * (1 - s) and x * s = y.

    exp(-x) overflows to infinity where x is below -88 (float32) or -709 (float64). There y is 0,
    and the true value lies between -1e-36 (float32) and 0.
    Keeps ``x``. ``backward`` computes s again, a few samples at a time, as to keep s would take an
    array as large as ``x``.
    Sources: Elfwing et al., arXiv 1702.03118, eq. 7; the activation of EfficientNet, Tan and Le,
    arXiv 1905.11946.
    """
    y, _ = sigmoid(x)
    y *= x

    def backward(dy: Array) -> Array:
        dx = np.empty_like(dy)

        def backward_of(part: slice) -> None:
            s, _ = sigmoid(x[part])
            there = np.subtract(1, s, out=dx[part])
            there *= x[part]
            there += 1
            there *= s  # s + x s (1 - s)
            there *= dy[part]

        in_order(backward_of, by_size(len(x), x.nbytes, CHUNK))
        return dx

    return y, backward
