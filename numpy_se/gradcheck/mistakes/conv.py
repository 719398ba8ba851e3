"""Mistakes in convolution, tap by tap: each entry (i, j) of the kernel adds a shifted copy."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from numpy_se.contract import Array
from numpy_se.gradcheck.mistakes.common import Mistakes
from numpy_se.gradcheck.promises import is_float


def conv2d(args: tuple[Any, ...], dy: Array, sizes: Any, *, stride: int, padding: int) -> Mistakes:
    x, w, *bias = args
    rest = (None,) * sum(map(is_float, bias))
    f, _, kh, kw = w.shape
    oh, ow = dy.shape[2:]
    n, c, height, width = x.shape
    canvas = np.zeros((n, c, height + 2 * padding, width + 2 * padding))
    canvas[:, :, padding : padding + height, padding : padding + width] = x

    def tap(i: int, j: int, step: int = stride) -> Any:
        return np.s_[:, :, i : i + step * oh : step, j : j + step * ow : step]

    def spread(w: Array, step: int = stride, skip: Any = (), overwrite: bool = False) -> Array:
        total = np.zeros_like(canvas)
        for i, j in product(range(kh), range(kw)):
            if (i, j) not in skip:
                part = np.einsum("nfpq,fc->ncpq", dy, w[:, :, i, j])
                total[tap(i, j, step)] = part if overwrite else total[tap(i, j, step)] + part
        return total

    def cropped(total: Array, down: int = 0, right: int = 0) -> Array:
        top, left = padding + down, padding + right
        return total[:, :, top : top + height, left : left + width]

    def correlate(canvas: Array, step: int = stride) -> Array:
        dw = np.zeros_like(w)
        for i, j in product(range(kh), range(kw)):
            dw[:, :, i, j] = np.einsum("nfpq,ncpq->fc", dy, canvas[tap(i, j, step)])
        return dw

    yield "the kernel is not turned", (cropped(spread(w[:, :, ::-1, ::-1])), None, *rest)
    if kh == kw:
        swapped = w.swapaxes(2, 3)
        yield "the kernel axes i and j are swapped", (cropped(spread(swapped)), None, *rest)
        yield "the kernel axes i and j are swapped", (
            cropped(spread(swapped[:, :, ::-1, ::-1])), None, *rest)  # fmt: skip
    if f == c:
        axes = w.swapaxes(0, 1)
        yield "the channel axes of w are swapped", (cropped(spread(axes)), None, *rest)
        yield "the channel axes of w are not swapped for the correlation of dy", (
            cropped(spread(axes)), None, *rest)  # fmt: skip
    if stride > 1:
        yield "the stride is ignored", (cropped(spread(w, step=1)), None, *rest)
        yield "the stride is ignored", (None, correlate(canvas, step=1), *rest)
        spaced = cropped(spread(w, step=1))
        yield "the stride is ignored", (spaced, correlate(canvas, step=1), *rest)
    yield "written with = where += is needed: windows overlap", (
        cropped(spread(w, overwrite=True)), None, *rest)  # fmt: skip
    for i, j in product(range(kh), range(kw)):
        yield f"the tap w[:, :, {i}, {j}] is lost", (cropped(spread(w, skip=[(i, j)])), None, *rest)
        lost = correlate(canvas)
        lost[:, :, i, j] = 0
        yield f"the tap w[:, :, {i}, {j}] is lost", (None, lost, *rest)
    for corner, place in (("first", (0, 0)), ("last", (kh - 1, kw - 1))):
        yield f"the {corner} tap of the kernel is lost", (
            cropped(spread(w, skip=[place])), None, *rest)  # fmt: skip
    for down, right in product((-1, 0, 1), repeat=2):
        shifted = cropped(np.pad(spread(w), ((0, 0), (0, 0), (1, 1), (1, 1))), 1 + down, 1 + right)
        if (down, right) != (0, 0):
            yield "it is shifted: the crop is off by one", (shifted, None, *rest)
    if padding:
        total, moved = spread(w), np.zeros_like(canvas)
        yield "the padding is ignored: it is not cropped from all sides", (
            total[:, :, :height, :width], None, *rest)  # fmt: skip
        moved[:, :, :height, :width] = x
        yield "the padding is ignored", (None, correlate(moved), *rest)
        moved = np.zeros_like(canvas)
        moved[:, :, 2 * padding :, 2 * padding :] = x
        yield "the padding is ignored: it lies on one side only", (None, correlate(moved), *rest)
        edge = np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2), mode="edge")
        yield "the padding is wrong: edge values in place of zeros", (None, correlate(edge), *rest)
