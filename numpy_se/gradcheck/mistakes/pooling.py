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
        "the average in place of the maximum": lambda tile, d: (d + 0 * tile) / tile[0, 0].size,
        "the whole window gets the gradient": lambda tile, d: d + 0 * tile,
        "the minimum in place of the maximum": lambda tile, d: d * _first(-tile),
        "all ties get the gradient": lambda tile, d: d * (tile == tile.max((2, 3), keepdims=True)),
        "y in place of the mask": lambda tile, d: d * _first(tile) * tile,
        "it is size*size times too small": lambda tile, d: d * _first(tile) / size**2,
        "row and column of the winner are swapped: axes H and W of the window": (
            lambda tile, d: d * _first(tile).swapaxes(2, 3)
        ),
        "the first entry of the window in place of the maximum": lambda tile, d: (
            d * _first(0 * tile)
        ),
    }
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
    means = _first_of_windows(x.mean(axis=0, keepdims=True) + 0 * x, dy, size, stride)
    yield "the winners are those of the batch averaged over N", (means,)
    if stride != size:
        yield "the stride is ignored: windows lie side by side", (
            _first_of_windows(x, dy, size, stride, size),)  # fmt: skip
    best = _first(x)
    yield "only one window counts: the winner is looked for in the whole map", (
        np.where(best, _first_of_windows(x, dy, size, stride), 0),)  # fmt: skip


def _first_of_windows(
    x: Array, dy: Array, size: int, stride: int, step: int | None = None
) -> Array:
    """Route ``dy`` to the first maxima of the windows, put back every ``step`` pixels."""
    step, dx = step or stride, np.zeros_like(x)
    for window, p, q in _windows(*x.shape[2:], size, stride):
        there = dx[:, :, p * step : p * step + size, q * step : q * step + size]
        first = _first(x[window])[:, :, : there.shape[2], : there.shape[3]]
        there += dy[:, :, p : p + 1, q : q + 1] * first
    return dx


def _first(tile: Array) -> Array:
    """Mark the first maximum of every window (N, C, size, size)."""
    flat = tile.reshape(*tile.shape[:2], -1)
    return (np.arange(flat.shape[2]) == flat.argmax(axis=2)[..., None]).reshape(tile.shape)


def global_max_pool(args: tuple[Array], dy: Array, sizes: Any) -> Mistakes:
    tile, d = args[0], dy[:, :, None, None]
    yield "the average in place of the maximum", ((d + 0 * tile) / tile[0, 0].size,)
    yield "every pixel of the map gets the gradient", (d + 0 * tile,)
    yield "the minimum in place of the maximum", (d * _first(-tile),)
    yield "all ties get the gradient", (d * (tile == tile.max((2, 3), keepdims=True)),)
    yield "the maximum of the whole array alone gets the gradient", (d * (tile == tile.max()),)
    yield "the winner of channel 0 is used for all channels", (d * _first(tile)[:, :1],)
    yield "the winner of sample 0 is used for all samples", (d * _first(tile)[:1],)
    yield "y in place of the mask", (d * _first(tile) * tile,)


def global_avg_pool(args: tuple[Array], dy: Array, sizes: Any) -> Mistakes:
    x, d = args[0], dy[:, :, None, None]
    yield "the maximum in place of the average: the rule of max pooling", (d * _first(x),)
    yield (
        "the maximum in place of the average: the rule of max pooling",
        (d * _first(x) / x[0, 0].size,),
    )
