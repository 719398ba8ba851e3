"""Mistakes in the linear layer and in the channel scale: sums of products."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpy_se.contract import Array
from numpy_se.gradcheck.mistakes.common import Mistakes
from numpy_se.gradcheck.promises import is_float


def linear(args: tuple[Any, ...], dy: Array, sizes: Any) -> Mistakes:
    x, w, *bias = args
    rest = (None,) * sum(map(is_float, bias))
    if w.shape[0] == w.shape[1]:
        yield "w is transposed in dx: dy @ w.T in place of dy @ w", (dy @ w.T, None, *rest)


def channel_scale(args: tuple[Array, Array], dy: Array, sizes: Any) -> Mistakes:
    x, s = args
    y = x * s[:, :, None, None]
    mixed = s.mean(axis=0, keepdims=True)[:, :, None, None]
    yield "s is missing: it is dy", (dy, None)
    yield "s is averaged over N, so samples are mixed", (dy * mixed, None)
    yield "x in place of s", (dy * x, None)
    yield "x is missing: it is the sum of dy", (None, dy.sum(axis=(2, 3)))
    yield "y in place of x", (None, (dy * y).sum(axis=(2, 3)))
    yield "x is missing: it is the mean of dy", (None, dy.mean(axis=(2, 3)))
