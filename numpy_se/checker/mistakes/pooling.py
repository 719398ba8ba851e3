"""Mistakes in pooling: who gets the gradient, and how much of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from numpy_se.contract import Array
from numpy_se.checker.mistakes.common import Mistakes

# What a tile of x (N, C, height, width), and the d (N, C, 1, 1) of its output, give its entries.
TileRule = Callable[[Array, Array], Array]


def _first(tile: Array) -> Array:
    """Mark the first maximum of every tile."""
    flat = tile.reshape(*tile.shape[:2], -1)
    marked: Array = np.arange(flat.shape[2]) == flat.argmax(axis=2)[..., None]
    return marked.reshape(tile.shape)


def _all_ties(tile: Array) -> Array:
    marked: Array = tile == tile.max(axis=(2, 3), keepdims=True)
    return marked


MAXIMUM_RULES: dict[str, TileRule] = {
    "the average in place of the maximum": lambda tile, d: (d + 0 * tile) / tile[0, 0].size,
    "the minimum in place of the maximum": lambda tile, d: d * _first(-tile),
    "all ties get the gradient": lambda tile, d: d * _all_ties(tile),
    "y in place of the mask": lambda tile, d: d * _first(tile) * tile,
    "the winner of sample 0 is used for all": lambda tile, d: d * _first(tile)[:1],
    "the winner of channel 0 is used for all": lambda tile, d: d * _first(tile)[:, :1],
}
WINDOW_RULES: dict[str, TileRule] = {
    **MAXIMUM_RULES,
    "the whole window gets the gradient": lambda tile, d: d + 0 * tile,
    "the first entry of the window in place of the maximum": lambda tile, d: d * _first(0 * tile),
    "row and column of the winner are swapped": lambda t, d: d * _first(t).swapaxes(2, 3),
    "the mask x > 0 of a ReLU in place of the maximum": lambda tile, d: d * (tile > 0),
    "it is size*size times too small": lambda tile, d: d * _first(tile) / tile[0, 0].size,
}


def global_avg_pool(args: tuple[Array], dy: Array, sizes: Mapping[str, int]) -> Mistakes:
    """Give wrong gradients of the mean of a map."""
    x, d = args[0], dy[:, :, None, None]
    cause = "the maximum in place of the average: the rule of max pooling"
    yield cause, {0: d * _first(x)}
    yield cause, {0: d * _first(x) / x[0, 0].size}


def global_max_pool(args: tuple[Array], dy: Array, sizes: Mapping[str, int]) -> Mistakes:
    """Give wrong gradients of the maximum of a map."""
    x, d = args[0], dy[:, :, None, None]
    for cause, rule in MAXIMUM_RULES.items():
        yield cause, {0: rule(x, d)}
    yield "every pixel of the map gets the gradient", {0: d + 0 * x}
    yield "the maximum of the whole array alone gets the gradient", {0: d * (x == x.max())}


def max_pool2d(
    args: tuple[Array], dy: Array, sizes: Mapping[str, int], *, size: int, stride: int
) -> Mistakes:
    """Give wrong gradients of the maxima of windows."""
    x = args[0]
    for cause, rule in WINDOW_RULES.items():
        yield cause, {0: _put_back(x, dy, rule, size, stride)}
    mean = x.mean(axis=0, keepdims=True) + 0 * x
    yield (
        "the winners are those of x averaged over N",
        {0: _put_back(mean, dy, _to_first, size, stride)},
    )
    yield (
        "the stride is ignored: windows are put back side by side",
        {0: _put_back(x, dy, _to_first, size, stride, step=size)},
    )
    yield (
        "the offset of the windows is forgotten: all are put back into the first corner",
        {0: _put_back(x, dy, _to_first, size, stride, step=0)},
    )
    yield (
        "only one window counts: the winner is looked for in the whole map",
        {0: np.where(_first(x), _put_back(x, dy, _to_first, size, stride), 0)},
    )
    overwritten, winners_overwritten = np.zeros_like(x), np.zeros_like(x)
    for window, d in _windows(x, dy, size, stride):
        first = _first(x[window])
        overwritten[window] = d * first
        np.copyto(winners_overwritten[window], d * first, where=first)
    for dx in (overwritten, winners_overwritten):
        yield "written with = where += is needed: windows overlap", {0: dx}


def _to_first(tile: Array, d: Array) -> Array:
    to_first: Array = d * _first(tile)
    return to_first


def _put_back(
    x: Array, dy: Array, rule: TileRule, size: int, stride: int, step: int | None = None
) -> Array:
    """Give every window of ``x`` its share of ``dy``, and add them up, ``step`` pixels apart."""
    dx = np.zeros_like(x)
    places = (window for window, _ in _windows(x, dy, size, stride if step is None else step))
    for place, (window, d) in zip(places, _windows(x, dy, size, stride), strict=False):
        there = dx[place]
        there += rule(x[window], d)[:, :, : there.shape[2], : there.shape[3]]
    return dx


def _windows(x: Array, dy: Array, size: int, step: int) -> Iterator[tuple[Any, Array]]:
    """For every output, its window, ``step`` pixels from the one before, and its ``dy``."""
    for p, q in product(*map(range, dy.shape[2:])):
        window = np.s_[:, :, p * step : p * step + size, q * step : q * step + size]
        yield window, dy[:, :, p : p + 1, q : q + 1]
