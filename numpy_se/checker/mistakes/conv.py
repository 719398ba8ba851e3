"""Mistakes in convolution, tap by tap: each entry (i, j) of the kernel adds a shifted copy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import product
from typing import Any

import numpy as np

from numpy_se.contract import Array
from numpy_se.checker.mistakes.common import Mistakes


class _Taps:
    """The two gradients of a convolution as loops over the taps, in which things can go wrong."""

    def __init__(self, x: Array, w: Array, dy: Array, stride: int, padding: int) -> None:
        self.x, self.w, self.dy, self.padding = x, w, dy, padding
        self.steps = (stride, stride)
        self.taps = list(product(*map(range, w.shape[2:])))
        self.canvas = np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))

    def view(self, tap: tuple[int, int], steps: tuple[int, int]) -> Any:
        """The entries of the padded input that a tap meets."""
        rows, columns = (
            slice(start, start + step * count, step)
            for start, step, count in zip(tap, steps, self.dy.shape[2:], strict=True)
        )
        return np.s_[:, :, rows, columns]

    def whole_dx(
        self,
        w: Array | None = None,
        steps: tuple[int, int] | None = None,
        lost: Collection[tuple[int, int]] = (),
        overwrite: bool = False,
    ) -> Array:
        """The gradient of the padded input."""
        total, w = np.zeros_like(self.canvas), self.w if w is None else w
        for i, j in self.taps:
            if (i, j) not in lost:
                view = total[self.view((i, j), steps or self.steps)]
                part = np.einsum("nfpq,fc->ncpq", self.dy, w[:, :, i, j])
                view[...] = part if overwrite else view + part
        return total

    def dx(self, **changes: Any) -> Array:
        return self.cropped(self.whole_dx(**changes))

    def cropped(self, total: Array, down: int = 0, right: int = 0) -> Array:
        top, left = self.padding + down, self.padding + right
        inside: Array = total[:, :, top : top + self.x.shape[2], left : left + self.x.shape[3]]
        return inside

    def dw(
        self,
        canvas: Array | None = None,
        steps: tuple[int, int] | None = None,
        lost: Collection[tuple[int, int]] = (),
        dy: Array | None = None,
    ) -> Array:
        dw = np.zeros_like(self.w)
        canvas, dy = self.canvas if canvas is None else canvas, self.dy if dy is None else dy
        for i, j in self.taps:
            if (i, j) not in lost:
                view = canvas[self.view((i, j), steps or self.steps)]
                dw[:, :, i, j] = np.einsum("nfpq,ncpq->fc", dy, view)
        return dw


def conv2d(
    args: tuple[Any, ...], dy: Array, sizes: Mapping[str, int], *, stride: int, padding: int
) -> Mistakes:
    """Give wrong gradients of a convolution."""
    x, w = args[:2]
    taps = _Taps(x, w, dy, stride, padding)
    for change, dx, dw in _in_both(taps, stride):
        for grads in ({0: dx}, {1: dw}, {0: dx, 1: dw}):
            yield change, grads
    yield "the kernel is not turned", {0: taps.dx(w=np.flip(w, (2, 3)))}
    yield "the kernel is not turned along KH", {0: taps.dx(w=np.flip(w, 2))}
    yield "the kernel is not turned along KW", {0: taps.dx(w=np.flip(w, 3))}
    if w.shape[2] == w.shape[3]:
        swapped, cause = w.swapaxes(2, 3), "the kernel axes i and j are swapped"
        yield cause, {0: taps.dx(w=swapped)}
        yield cause, {0: taps.dx(w=np.flip(swapped, (2, 3)))}
    reshaped = w.reshape(w.shape[1], w.shape[0], *w.shape[2:]).swapaxes(0, 1)
    yield "w is reshaped where its channel axes should be swapped", {0: taps.dx(w=reshaped)}
    if w.shape[0] == w.shape[1]:
        yield "the channel axes of w are swapped", {0: taps.dx(w=w.swapaxes(0, 1))}
    for dx in (taps.dx(overwrite=True), taps.cropped(_overwritten_windows(taps, stride))):
        yield "written with = where += is needed: windows overlap", {0: dx}
    whole = np.pad(taps.whole_dx(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    for down, right in product((-1, 0, 1), repeat=2):
        if (down, right) != (0, 0):
            shifted = taps.cropped(whole, 1 + down, 1 + right)
            yield "it is shifted: the crop is off by one", {0: shifted}
    if padding:
        yield from _with_padding(taps, stride)


def _in_both(taps: _Taps, stride: int) -> list[tuple[str, Array, Array]]:
    """Mistakes that can be made in dx, in dw, or in both."""
    found = []
    if stride > 1:
        for steps in ((1, 1), (stride, 1), (1, stride)):
            found.append(("the stride is ignored", taps.dx(steps=steps), taps.dw(steps=steps)))
    kh, kw = taps.w.shape[2:]
    ends = {"first": 0, "last": -1}
    rows, columns = range(kh), range(kw)
    lost = {f"{end} row": [(rows[k], j) for j in columns] for end, k in ends.items()}
    lost |= {f"{end} column": [(i, columns[k]) for i in rows] for end, k in ends.items()}
    lost |= {f"{end} tap": [(rows[k], columns[k])] for end, k in ends.items()}
    lost |= {"top right tap": [(0, kw - 1)], "bottom left tap": [(kh - 1, 0)]}
    for name, places in lost.items():
        cause = f"the {name} of the kernel is lost"
        found.append((cause, taps.dx(lost=places), taps.dw(lost=places)))
    return found


def _overwritten_windows(taps: _Taps, stride: int) -> Array:
    total, (kh, kw) = np.zeros_like(taps.canvas), taps.w.shape[2:]
    for p, q in product(*map(range, taps.dy.shape[2:])):
        top, left = p * stride, q * stride
        part = np.einsum("nf,fcij->ncij", taps.dy[:, :, p, q], taps.w)
        total[:, :, top : top + kh, left : left + kw] = part
    return total


def _with_padding(taps: _Taps, stride: int) -> Mistakes:
    x, padding = taps.x, taps.padding
    clear = [
        (np.arange(count) * stride >= padding)
        & (np.arange(count) * stride <= padding + length - size)
        for count, length, size in zip(
            taps.dy.shape[2:], x.shape[2:], taps.w.shape[2:], strict=True
        )
    ]
    inside = taps.dy * np.outer(*clear)
    yield "the padding is ignored: windows that reach into it are left out", {1: taps.dw(dy=inside)}
    yield (
        "the padding is ignored: it is not cropped from all sides",
        {0: taps.cropped(taps.whole_dx(), -padding, -padding)},
    )
    for side, cause in (((0, 2 * padding), ""), ((2 * padding, 0), ": it lies on one side only")):
        canvas = np.pad(x, ((0, 0), (0, 0), side, side))
        yield f"the padding is ignored{cause}", {1: taps.dw(canvas=canvas)}
    edge = np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2), mode="edge")
    yield "the padding is wrong: edge values in place of zeros", {1: taps.dw(canvas=edge)}
