"""Mistakes in pooling: who gets the gradient, and how much of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from numpy_se.checker.mistakes.linear import MAPS
from numpy_se.checker.mistakes.registry import Rule, known, mistake, wrong_forward
from numpy_se.contract import Array
from numpy_se.ops import global_avg_pool, global_max_pool, max_pool2d

known(global_avg_pool, *MAPS)
known(global_max_pool, *MAPS)
known(max_pool2d, size=(2, 3, 4), stride=(2, 1, 3, 4))

# What a tile of x (N, C, height, width), and the d (N, C, 1, 1) of its output, give its entries.
TileRule = Callable[[Array, Array], Any]


def _first(tile: Array) -> Array:
    """Mark the first maximum of every tile."""
    flat = tile.reshape(*tile.shape[:2], -1)
    marked: Array = np.arange(flat.shape[2]) == flat.argmax(axis=2)[..., None]
    return marked.reshape(tile.shape)


def _all_ties(tile: Array) -> Array:
    marked: Array = tile == tile.max(axis=(2, 3), keepdims=True)
    return marked


def _swapped(tile: Array, d: Array) -> Any:
    return d * _first(tile).swapaxes(2, 3) if tile.shape[2] == tile.shape[3] else None


TILES: list[tuple[str, str, TileRule]] = [
    ("average", "the average in place of the maximum", lambda t, d: (d + 0 * t) / t[0, 0].size),
    ("minimum", "the minimum in place of the maximum", lambda t, d: d * _first(-t)),
    ("all-ties", "all ties get the gradient", lambda t, d: d * _all_ties(t)),
    ("y-for-mask", "{y} in place of the mask", lambda t, d: d * _first(t) * t),
    ("sample-0", "the winner of sample 0 is used for all", lambda t, d: d * _first(t)[:1]),
    ("channel-0", "the winner of channel 0 is used for all", lambda t, d: d * _first(t)[:, :1]),
    ("first-entry", "the first entry in place of the maximum", lambda t, d: d * _first(0 * t)),
    ("relu", "the mask {x} > 0 of a ReLU in place of the maximum", lambda t, d: d * (t > 0)),
    ("swapped", "row and column of the winner are swapped", _swapped),
]
MAPS_ONLY: list[tuple[str, str, TileRule]] = [
    ("everywhere", "every pixel of the map gets the gradient", lambda t, d: d + 0 * t),
    (
        "whole-array",
        "the maximum of the whole array alone gets the gradient",
        lambda t, d: d * (t == t.max()),
    ),
]
WINDOWS_ONLY: list[tuple[str, str, TileRule]] = [
    ("everywhere", "the whole window gets the gradient", lambda t, d: d + 0 * t),
    (
        "divided",
        "it is size*size times too small",
        lambda t, d: d * _first(t) / t[0, 0].size,
    ),
]

for code, says, rule in [
    ("", "", lambda x, d: d * _first(x)),
    ("-divided", ", and divided", lambda x, d: d * _first(x) / x[0, 0].size),
]:
    mistake(
        f"global-avg-pool.maximum{code}",
        of=global_avg_pool,
        says=f"the maximum in place of the average: the rule of max pooling{says}",
    )(lambda args, dy, rule=rule: {0: rule(args[0], dy[:, :, None, None])})


for code, says, rule in TILES + MAPS_ONLY:

    @mistake(f"global-max-pool.{code}", of=global_max_pool, says=says)
    def in_map(args: tuple[Array], dy: Array, rule: TileRule = rule) -> dict[int, Array] | None:
        dx = rule(args[0], dy[:, :, None, None])
        return None if dx is None else {0: dx}


for code, says, rule in TILES + WINDOWS_ONLY:

    @mistake(f"max-pool2d.{code}", of=max_pool2d, says=says)
    def in_windows(
        args: tuple[Array],
        dy: Array,
        size: int = 2,
        stride: int | None = None,
        rule: TileRule = rule,
    ) -> dict[int, Array]:
        return {0: _put_back(args[0], dy, rule, size, stride or size)}


def _pool(code: str, says: str) -> Callable[[Rule], Rule]:
    """Register ``rule(x, dy, size, stride)`` for dx."""

    def enter(rule: Rule) -> Rule:
        @mistake(f"max-pool2d.{code}", of=max_pool2d, says=says)
        def wrong(
            args: tuple[Array], dy: Array, size: int = 2, stride: int | None = None
        ) -> dict[int, Array] | None:
            dx = rule(args[0], dy, size, stride or size)
            return None if dx is None else {0: dx}

        return rule

    return enter


@_pool("mean-sample", "the winners are those of {x} averaged over N")
def mean_sample(x: Array, dy: Array, size: int, stride: int) -> Array:
    return _put_back(x.mean(axis=0, keepdims=True) + 0 * x, dy, _to_first, size, stride)


@_pool("stride-ignored", "the stride is ignored: windows are put back side by side")
def side_by_side(x: Array, dy: Array, size: int, stride: int) -> Array | None:
    return _put_back(x, dy, _to_first, size, stride, size) if stride != size else None


@_pool(
    "first-corner", "the offset of the windows is forgotten: all are put back into the first corner"
)
def first_corner(x: Array, dy: Array, size: int, stride: int) -> Array:
    return _put_back(x, dy, _to_first, size, stride, 0)


@_pool("whole-map", "only one window counts: the winner is looked for in the whole map")
def whole_map(x: Array, dy: Array, size: int, stride: int) -> Array:
    return np.where(_first(x), _put_back(x, dy, _to_first, size, stride), 0)


OVERLAP = "written with = where += is needed: windows overlap"


@_pool("windows-overwritten", OVERLAP)
def windows_overwritten(x: Array, dy: Array, size: int, stride: int) -> Array | None:
    dx = np.zeros_like(x)
    for window, d in _windows(x, dy, size, stride):
        dx[window] = d * _first(x[window])
    return dx if stride < size else None


@_pool("winners-overwritten", OVERLAP)
def winners_overwritten(x: Array, dy: Array, size: int, stride: int) -> Array | None:
    dx = np.zeros_like(x)
    for window, d in _windows(x, dy, size, stride):
        first = _first(x[window])
        np.copyto(dx[window], d * first, where=first)
    return dx if stride < size else None


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


# Wrong forward passes.
OF_MAPS: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "mean": ("the mean", lambda x: x.mean(axis=(2, 3))),
    "maximum": ("the maximum", lambda x: x.max(axis=(2, 3))),
    "sum": ("the sum", lambda x: x.sum(axis=(2, 3))),
    "minimum": ("the minimum", lambda x: x.min(axis=(2, 3))),
    "median": ("the median", lambda x: np.median(x, axis=(2, 3))),
    "root-mean-square": (
        "the root of the mean square",
        lambda x: np.sqrt((x**2).mean(axis=(2, 3))),
    ),
    "magnitude": ("the mean of abs({x})", lambda x: np.abs(x).mean(axis=(2, 3))),
    "deviation": ("the standard deviation", lambda x: x.std(axis=(2, 3))),
    "first": ("the first pixel", lambda x: x[:, :, 0, 0].copy()),
    "over-h": ("the mean over H alone", lambda x: x.mean(axis=2)),
    "over-w": ("the mean over W alone", lambda x: x.mean(axis=3)),
    "sum-by-h": ("the sum over H*W by H", lambda x: x.sum(axis=(2, 3)) / x.shape[2]),
    "sum-by-w": ("the sum over H*W by W", lambda x: x.sum(axis=(2, 3)) / x.shape[3]),
}
for name, op, own in [
    ("global-avg-pool", global_avg_pool, "mean"),
    ("global-max-pool", global_max_pool, "maximum"),
]:
    for code, (title, formula) in OF_MAPS.items():
        if code != own:
            wrong_forward(f"{name}.forward.{code}", of=op, says=f"{title} in place of the {own}")(
                lambda args, formula=formula: formula(args[0])
            )

for code, says, reduce in [
    ("average", "the average in place of the maximum", np.mean),
    ("minimum", "the minimum in place of the maximum", np.min),
    ("sum", "the sum in place of the maximum", np.sum),
]:

    @wrong_forward(f"max-pool2d.forward.{code}", of=max_pool2d, says=says)
    def other_windows(
        args: tuple[Array], size: int = 2, stride: int | None = None, reduce: Any = reduce
    ) -> Array:
        x, step = args[0], stride or size
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
        y: Array = reduce(windows[:, :, ::step, ::step], axis=(4, 5))
        return y
