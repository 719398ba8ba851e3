"""Claims about a gradient of the wrong shape: summed too little or too often, turned, not cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations, product

import numpy as np

from numpy_se.checker.claims.common import Claim, Claims, Gradient
from numpy_se.checker.words import listed
from numpy_se.contract import Array


def of_shape(g: Gradient) -> Claims:
    """Yield what can have given ``g`` its wrong shape."""
    given, right = g.given, g.right
    if given.size == right.size:
        long = [[n for n in a.shape if n > 1] for a in (given, right)]
        if long[0] == long[1] and given.ndim != right.ndim:
            more = given.ndim - right.ndim
            kept = "axes of size 1 are kept" if more > 1 else "an axis of size 1 is kept" * more
            yield Claim(
                "any.axis-kept" if kept else "any.axis-lost",
                kept if kept else "an axis of size 1 is lost",
                given.reshape(right.shape),
                right,
            )
        for order in permutations(range(right.ndim)):
            if order != tuple(range(right.ndim)):
                yield Claim("any.transposed", g.turned(order), given, right.transpose(order))
    yield from _not_summed(g)
    yield from _not_spread(g)
    yield from _too_often(g)
    if given.ndim == right.ndim and all(np.array(given.shape) >= right.shape):
        for start in {0, 1, 2, *(np.array(given.shape) - right.shape) // 2}:
            inner = tuple(
                slice(int(start) * (a != b), int(start) * (a != b) + b)
                for a, b in zip(given.shape, right.shape, strict=True)
            )
            yield Claim("any.not-cropped", "the padding is not cropped", given[inner], right)


def _not_summed(g: Gradient) -> Claims:
    for count in range(1, g.given.ndim + 1):
        for axes in combinations(range(g.given.ndim), count):
            total, mean = g.given.sum(axis=axes), g.given.mean(axis=axes)
            if total.size == g.right.size:
                for over in _letters(g, axes):
                    words = f"it is not summed over {over}"
                    yield Claim("any.not-summed", words, total.reshape(g.right.shape), g.right)
                    words += ", and too large by the size of it"
                    mean_ = mean.reshape(g.right.shape)
                    yield Claim("any.not-summed-and-large", words, mean_, g.right)


def _joined(letters: Sequence[str]) -> str:
    """Write H W, or x.shape[1] and axis 2 of y."""
    return " ".join(letters) if all(map(str.isidentifier, letters)) else listed(letters)


def _letters(g: Gradient, axes: tuple[int, ...]) -> Iterator[str]:
    """Name axes of a given gradient by all letters that have their size."""
    sizes = {**g.look.case.sizes, **dict(zip(g.y_axes, g.y.shape, strict=True))}
    fitting = [[x for x, size in sizes.items() if size == g.given.shape[k]] for k in axes]
    for letters in product(*fitting):
        if len(set(letters)) == len(letters):
            yield _joined(letters)


def _not_spread(g: Gradient) -> Claims:
    """The right gradient is the same for all of some axes, and was given once."""
    for count in range(1, g.right.ndim):
        for axes in combinations(range(g.right.ndim), count):
            once = g.right.mean(axis=axes, keepdims=True)
            if once.size < g.right.size and np.allclose(once, g.right, rtol=1e-6):
                over = _joined([g.axes[k] for k in axes])
                for size, how in ((1, ""), (g.right.size // once.size, f", nor divided by {over}")):
                    for one in (once, once.squeeze(axes)):
                        words = f"it is not spread over {over}{how}"
                        yield Claim("any.not-spread", words, g.given, one * size)


def _too_often(g: Gradient) -> Claims:
    long = [k for k in range(g.right.ndim) if g.right.shape[k] > 1]
    for count in range(1, len(long) + 1):
        for axes in combinations(long, count):
            over = _joined([g.axes[k] for k in axes])
            for keep in (False, True):
                total: Array = g.right.sum(axis=axes, keepdims=keep)
                mean = g.right.mean(axis=axes, keepdims=keep)
                often = f"it is summed over {over} too often"
                yield Claim("any.summed-too-often", often, g.given, total)
                yield Claim("any.averaged", f"it is averaged over {over}", g.given, mean)
    yield from sum_of_dy(g)


def sum_of_dy(g: Gradient) -> Claims:
    """The right gradient is a sum of ``dy`` over some axes; this is one over others."""
    every = range(g.dy.ndim)
    sums = {axes: g.dy.sum(axis=axes) for n in every for axes in combinations(every, n + 1)}
    if any(s.shape == g.right.shape and np.allclose(s, g.right) for s in sums.values()):
        for axes, total in sums.items():
            letters = [g.y_axes[k] for k in axes]
            own = len(set(g.y_axes)) == len(g.y_axes)
            over = _joined(letters) if own else f"axis {' '.join(map(str, axes))} of dy"
            words = f"it is the sum of dy over {over}: the wrong axis"
            yield Claim("any.wrong-axis", words, g.given, total)
