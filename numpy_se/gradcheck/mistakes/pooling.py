"""Mistakes in pooling: who gets the gradient, and how much of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from numpy_se.contract import Array
from numpy_se.gradcheck.mistakes.common import Mistakes


def _windows(height: int, width: int, size: int, stride: int) -> Iterator[tuple[Any, int, int]]:
    for p, q in product(range((height - size) // stride + 1), range((width - size) // stride + 1)):
        window = np.s_[:, :, p * stride : p * stride + size, q * stride : q * stride + size]
        yield window, p, q


def max_pool2d(args: tuple[Array], dy: Array, sizes: Any, *, size: int, stride: int) -> Mistakes:
    x = args[0]
    rules: dict[str, Callable[[Array, Array], Array]] = {
        "the average in place of the maximum": lambda tile, d: d + 0 * tile / tile[0, 0].size,
        "the whole window gets the gradient": lambda tile, d: d + 0 * tile,
        "the minimum in place of the maximum": lambda tile, d: d * _first(-tile),
        "all ties get the gradient": lambda tile, d: d * (tile == tile.max((2, 3), keepdims=True)),
        "the first entry of the window in place of the maximum": lambda tile, d: d * _first(0 * tile),
    }
    rules["the average in place of the maximum"] = lambda tile, d: (d + 0 * tile) / tile[0, 0].size
    for cause, rule in rules.items():
        dx = np.zeros_like(x)
        for window, p, q in _windows(*x.shape[2:], size, stride):
            dx[window] += rule(x[window], dy[:, :, p : p + 1, q : q + 1])
        yield cause, (dx,)
    whole, winners = np.zeros_like(x), np.zeros_like(x)
    for window, p, q in _windows(*x.shape[2:], size, stride):
        d, first = dy[:, :, p : p + 1, q : q + 1], _first(x[window])
        whole[window] = d * first
        np.copyto(winners[window], d * first, where=first)
    for dx in (whole, winners):
        yield "written with = where += is needed: windows overlap", (dx,)
    spread = dy.mean(axis=(2, 3), keepdims=True) + 0 * x
    yield "one dy is used for the whole map", (spread,)


def _first(tile: Array) -> Array:
    """Mark the first maximum of every window (N, C, size, size)."""
    flat = tile.reshape(*tile.shape[:2], -1)
    return (np.arange(flat.shape[2]) == flat.argmax(axis=2)[..., None]).reshape(tile.shape)


def global_max_pool(args: tuple[Array], dy: Array, sizes: Any) -> Mistakes:
    tile, d = args[0], dy[:, :, None, None]
    yield "the average in place of the maximum", ((d + 0 * tile) / tile[0, 0].size,)
    yield "the whole map gets the gradient", (d + 0 * tile,)
    yield "the minimum in place of the maximum", (d * _first(-tile),)
    yield "all ties get the gradient", (d * (tile == tile.max((2, 3), keepdims=True)),)


def global_avg_pool(args: tuple[Array], dy: Array, sizes: Any) -> Mistakes:
    x, d = args[0], dy[:, :, None, None]
    yield "the rule of max pooling: the maximum alone gets the gradient", (d * _first(x),)
    yield (
        "the rule of max pooling: the maximum alone gets the gradient",
        (d * _first(x) / x[0, 0].size,),
    )
