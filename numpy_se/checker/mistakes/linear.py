"""Mistakes in the linear layer and in the channel scale: sums of products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy_se.contract import Array
from numpy_se.checker.mistakes.common import RATES, Mistakes


def linear(args: tuple[Any, ...], dy: Array, sizes: Mapping[str, int]) -> Mistakes:
    """Give wrong gradients of y = x @ w.T + b."""
    x, w, b = (*args, None)[:3]
    dw = dy.T @ x
    for rate in RATES:
        yield "w was updated before dx was computed from it", {0: dy @ (w - rate * dw)}
    for turned in (w.reshape(w.shape[::-1]).T, w.T.copy().reshape(w.shape)):
        yield "w is reshaped where it should be transposed", {0: dy @ turned}
    if w.shape[0] == w.shape[1]:
        y = x @ w.T if b is None else x @ w.T + b
        yield "w is transposed in dx: dy @ w.T in place of dy @ w", {0: dy @ w.T}
        yield "y in place of x", {1: dy.T @ y}


def channel_scale(args: tuple[Array, Array], dy: Array, sizes: Mapping[str, int]) -> Mistakes:
    """Give wrong gradients of y = s x."""
    x, s = args

    def scaled(gates: Array) -> Array:
        return dy * gates[:, :, None, None]

    yield "s is missing: it is dy", {0: dy}
    yield "s is averaged over N: samples are mixed", {0: scaled(s.mean(axis=0, keepdims=True))}
    yield "s is averaged over C: channels are mixed", {0: scaled(s.mean(axis=1, keepdims=True))}
    yield "s of sample 0 is used for all", {0: scaled(s[:1])}
    yield "divided by s where it should be multiplied by it", {0: scaled(1 / s)}
    yield "x in place of s", {0: dy * x}
    if x.shape[2:] == s.shape:
        yield "the axes of s are swapped: pixel (h, w) gets gate s[h, w]", {0: dy * s}

    def summed(a: Array) -> Array:
        total: Array = a.sum(axis=(2, 3))
        return total

    yield "x is missing: it is the sum of dy", {1: summed(dy)}
    yield "x is missing: it is the mean of dy", {1: dy.mean(axis=(2, 3))}
    yield (
        "the sums of dy and x are multiplied, not their products summed",
        {1: summed(dy) * summed(x)},
    )
    yield "y in place of x", {1: summed(scaled(s) * x)}
    yield (
        "a factor s (1 - s) too much: the derivative of the sigmoid",
        {1: summed(dy * x) * s * (1 - s)},
    )
