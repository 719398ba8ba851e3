"""Mistakes in the linear layer and in the channel scale: sums of products."""

from __future__ import annotations

from typing import Any

from numpy_se.contract import Array
from numpy_se.gradcheck.mistakes.common import RATES, Mistakes
from numpy_se.gradcheck.promises import is_float


def linear(args: tuple[Any, ...], dy: Array, sizes: Any) -> Mistakes:
    x, w, *bias = args
    rest = (None,) * sum(map(is_float, bias))
    for rate in RATES:
        updated = w - rate * (dy.T @ x)
        yield "w was updated before dx was computed from it", (dy @ updated, None, *rest)
    if w.shape[0] == w.shape[1]:
        y = x @ w.T + (bias[0] if rest else 0)
        yield "y in place of x", (None, dy.T @ y, *rest)
        yield "w is transposed in dx: dy @ w.T in place of dy @ w", (dy @ w.T, None, *rest)


def channel_scale(args: tuple[Array, Array], dy: Array, sizes: Any) -> Mistakes:
    x, s = args
    y = x * s[:, :, None, None]

    def spread(gates: Array) -> Array:
        return dy * gates[:, :, None, None]

    yield "s is missing: it is dy", (dy, None)
    yield "s is averaged over N: samples are mixed", (spread(s.mean(axis=0, keepdims=True)), None)
    yield "s is averaged over C: channels are mixed", (spread(s.mean(axis=1, keepdims=True)), None)
    yield "s of sample 0 is used for all", (spread(s[:1]), None)
    yield "divided by s where it should be multiplied by it", (spread(1 / s), None)
    if x.shape[2:] == s.shape:
        yield "the axes of s are swapped: pixel (h, w) gets gate s[h, w]", (dy * s, None)
    yield "x in place of s", (dy * x, None)
    yield "x is missing: it is the sum of dy", (None, dy.sum(axis=(2, 3)))
    yield "y in place of x", (None, (dy * y).sum(axis=(2, 3)))
    yield "x is missing: it is the mean of dy", (None, dy.mean(axis=(2, 3)))
    ds = (dy * x).sum(axis=(2, 3))
    yield "a factor s (1 - s) too much: the derivative of the sigmoid", (None, ds * s * (1 - s))
