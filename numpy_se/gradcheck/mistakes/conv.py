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

    def tap(i: int, j: int, steps: tuple[int, int]) -> Any:
        down, right = steps
        return np.s_[:, :, i : i + down * oh : down, j : j + right * ow : right]

    def spread(
        w: Array, steps: Any = (stride, stride), skip: Any = (), overwrite: bool = False
    ) -> Array:
        total = np.zeros_like(canvas)
        for i, j in product(range(kh), range(kw)):
            if (i, j) not in skip:
                part = np.einsum("nfpq,fc->ncpq", dy, w[:, :, i, j])
                total[tap(i, j, steps)] = part if overwrite else total[tap(i, j, steps)] + part
        return total

    def cropped(total: Array, down: int = 0, right: int = 0) -> Array:
        top, left = padding + down, padding + right
        return total[:, :, top : top + height, left : left + width]

    def correlate(canvas: Array, steps: Any = (stride, stride), upstream: Array = dy) -> Array:
        dw = np.zeros_like(w)
        for i, j in product(range(kh), range(kw)):
            dw[:, :, i, j] = np.einsum("nfpq,ncpq->fc", upstream, canvas[tap(i, j, steps)])
        return dw

    yield "the kernel is not turned", (cropped(spread(w[:, :, ::-1, ::-1])), None, *rest)
    for axis, letter in ((2, "KH"), (3, "KW")):
        half = np.flip(w, axis)
        yield f"the kernel is not turned along {letter}", (cropped(spread(half)), None, *rest)
    if kh == kw:
        swapped = w.swapaxes(2, 3)
        yield "the kernel axes i and j are swapped", (cropped(spread(swapped)), None, *rest)
        yield "the kernel axes i and j are swapped", (
            cropped(spread(swapped[:, :, ::-1, ::-1])), None, *rest)  # fmt: skip
    if f == c:
        axes = w.swapaxes(0, 1)
        yield "the channel axes of w are swapped", (cropped(spread(axes)), None, *rest)
    if stride > 1:
        for steps in ((1, 1), (stride, 1), (1, stride)):
            dx, dw = cropped(spread(w, steps)), correlate(canvas, steps)
            for both in ((dx, None), (None, dw), (dx, dw)):
                yield "the stride is ignored", (*both, *rest)
    by_window = np.zeros_like(canvas)
    for p, q in product(range(oh), range(ow)):
        at = np.s_[:, :, p * stride : p * stride + kh, q * stride : q * stride + kw]
        by_window[at] = np.einsum("nf,fcij->ncij", dy[:, :, p, q], w)
    for dx in (by_window, spread(w, overwrite=True)):
        yield "written with = where += is needed: windows overlap", (cropped(dx), None, *rest)
    lost = {
        "the first tap of the kernel is lost": [(0, 0)],
        "the last tap of the kernel is lost": [(kh - 1, kw - 1)],
        "the top right tap of the kernel is lost": [(0, kw - 1)],
        "the bottom left tap of the kernel is lost": [(kh - 1, 0)],
        "the first row of the kernel is lost": [(0, j) for j in range(kw)],
        "the last row of the kernel is lost": [(kh - 1, j) for j in range(kw)],
        "the first column of the kernel is lost": [(i, 0) for i in range(kh)],
        "the last column of the kernel is lost": [(i, kw - 1) for i in range(kh)],
    }
    for cause, taps in lost.items():
        dx, dw = cropped(spread(w, skip=taps)), correlate(canvas)
        dw[:, :, [i for i, _ in taps], [j for _, j in taps]] = 0
        for both in ((dx, None), (None, dw), (dx, dw)):
            yield cause, (*both, *rest)
    for down, right in product((-1, 0, 1), repeat=2):
        shifted = cropped(np.pad(spread(w), ((0, 0), (0, 0), (1, 1), (1, 1))), 1 + down, 1 + right)
        if (down, right) != (0, 0):
            yield "it is shifted: the crop is off by one", (shifted, None, *rest)
    if padding:
        down, right = np.arange(oh) * stride, np.arange(ow) * stride
        clear_rows = (down >= padding) & (down <= padding + height - kh)
        clear_columns = (right >= padding) & (right <= padding + width - kw)
        inside = dy * np.outer(clear_rows, clear_columns)
        yield "the padding is ignored: windows that reach into it are left out", (
            None, correlate(canvas, upstream=inside), *rest)  # fmt: skip
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
