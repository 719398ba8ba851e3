"""Depthwise convolution: every channel has a kernel of its own.

There is no matrix product to be had, as no two channels meet. The work is done on channels-last
memory (N, H, W, C), where a row of the image is one stretch of W*C numbers, and so are its
neighbours for a tap of the kernel, C numbers further. ``einsum`` multiplies such stretches by the
tap and adds them up in one pass. A stride of s takes the convolution apart into s*s of stride 1,
one for each phase of the pixels, as ``conv2d`` does for its dx.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from numpy_se.contract import Array, check_count, op
from numpy_se.ops.conv import on_canvas
from numpy_se.parallel import add_up, by_size, in_order

CHUNK = 2**19  # bytes of x in a chunk: all that is made of it stays in the cache


@op("N C H W, C KH KW -> N C OH OW")
def depthwise_conv2d(
    x: Array, w: Array, *, stride: int = 1, padding: int = 0
) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """Correlate every channel of ``x`` with its own kernel: a convolution in C groups.

        y[n,c,p,q] = sum_ij w[c,i,j] * X[n,c, p*stride + i, q*stride + j]

    where X is ``x`` with ``padding`` rows and columns of zeros on each side. No channel meets
    another one. As in ``conv2d``, a weight is shared by all samples and windows, and a pixel feeds
    all windows that cover it:

        dw[c,i,j]   = sum_npq dy[n,c,p,q] * X[n,c, p*stride + i, q*stride + j]
        dX[n,c,h,w] = sum of w[c,i,j] * dy[n,c,p,q] over p*stride + i = h and q*stride + j = w

    dx is dX without the padding.

    x (N, C, H, W), w (C, KH, KW) give y (N, C, OH, OW), of the size that ``conv2d`` gives. Raises
    ValueError when the kernel does not fit into the padded map. Keeps ``x`` and ``w``.
    """
    check_count("depthwise_conv2d", "stride", stride, at_least=1)
    check_count("depthwise_conv2d", "padding", padding, at_least=0)
    (n, c, h, width), (kh, kw) = x.shape, w.shape[1:]
    oh, ow = (h + 2 * padding - kh) // stride + 1, (width + 2 * padding - kw) // stride + 1
    if min(oh, ow) < 1:
        raise ValueError(
            f"depthwise_conv2d: w has kernels of {kh} x {kw}; it wants at most "
            f"{h + 2 * padding} x {width + 2 * padding}, the map of x {x.shape} with its padding"
        )
    parts = by_size(n, x.nbytes, CHUNK)
    kernel = w.transpose(1, 2, 0)  # (KH, KW, C)
    y = np.empty((n, oh, ow, c), x.dtype)

    phases = _phases((kh, kw), stride, padding)

    def canvas(part: slice, phase: _Phase) -> Array:
        size = oh + phase.size[0] - 1, ow + phase.size[1] - 1
        return on_canvas(x[part, :, *phase.pixels], size, phase.before)

    kernels = [_along_rows(kernel[phase.taps], ow) for phase in phases]

    def forward(part: slice) -> None:
        out = y[part]
        out[...] = 0
        for phase, along_rows in zip(phases, kernels, strict=True):
            out += _correlate(canvas(part, phase), along_rows)

    in_order(forward, parts)

    def backward(dy: Array) -> tuple[Array, Array]:
        dx = np.empty((n, h, width, c), x.dtype)
        if stride > min(kh, kw):
            dx[...] = 0  # some pixels meet no tap
        places = [dx[:, *phase.pixels] for phase in phases]
        # A large kernel on a small map: most of a canvas would be 0.
        turned = [
            None
            if oh * ow < math.prod(phase.size)
            else _along_rows(kernel[phase.taps][::-1, ::-1], place.shape[2])
            for phase, place in zip(phases, places, strict=True)
        ]

        def backward_of(part: slice) -> list[Array]:
            upstream, dw = dy[part].transpose(0, 2, 3, 1), np.empty(kernel.shape, x.dtype)
            for phase, place, along_rows in zip(phases, places, turned, strict=True):
                (ku, kv), (above, left) = phase.size, phase.before
                dw[phase.taps] = _sum_products(canvas(part, phase), upstream)
                if along_rows is None:
                    spread = _spread(upstream, kernel[phase.taps])[:, above:, left:]
                    place[part] = 0
                    covered = np.s_[part, : spread.shape[1], : spread.shape[2]]
                    place[covered] = spread[:, : place.shape[1], : place.shape[2]]
                    continue
                size = place.shape[1] + ku - 1, place.shape[2] + kv - 1
                around = on_canvas(dy[part], size, (ku - 1 - above, kv - 1 - left))
                place[part] = _correlate(around, along_rows)
            return [dw]

        (dw,) = add_up(in_order(backward_of, parts))
        return dx.transpose(0, 3, 1, 2), dw.transpose(2, 0, 1)

    return y.transpose(0, 3, 1, 2), backward


@dataclass(frozen=True)
class _Phase:
    """Every stride-th tap of the kernel: they meet every stride-th pixel, at stride 1."""

    taps: tuple[slice, slice]  # where they lie in the kernel
    size: tuple[int, int]  # and how many they are
    pixels: tuple[slice, slice]  # where the pixels lie in x
    before: tuple[int, int]  # the rows and columns of padding before them


def _phases(kernel: tuple[int, int], stride: int, padding: int) -> list[_Phase]:
    phases = []
    kh, kw = kernel
    for a, b in np.ndindex(min(stride, kh), min(stride, kw)):  # no tap meets the others
        row, column = (a - padding) % stride, (b - padding) % stride  # the first ones in x
        phases.append(
            _Phase(
                taps=np.s_[a::stride, b::stride],
                size=(len(range(a, kh, stride)), len(range(b, kw, stride))),
                pixels=np.s_[row::stride, column::stride],
                before=((row + padding) // stride, (column + padding) // stride),
            )
        )
    return phases


def _windows(a: Array, kh: int, kw: int) -> Array:
    """View contiguous (N, H, W, C) so that a tap meets a stretch of it: (N, OH, KH, KW, OW*C)."""
    n, h, w, c = a.shape
    sn, sh, sw, sc = a.strides
    shape, strides = (n, h - kh + 1, kh, kw, (w - kw + 1) * c), (sn, sh, sh, sw, sc)
    return np.ndarray(shape, a.dtype, a, strides=strides)


def _along_rows(kernel: Array, width: int) -> Array:
    """Repeat the entries of each tap along a row of outputs: (KH, KW, C) gives (KH, KW, OW*C)."""
    return np.tile(kernel, (1, 1, width))


def _correlate(a: Array, along_rows: Array) -> Array:
    """Correlate maps (N, H, W, C) with kernels (KH, KW, OW*C), at stride 1: (N, OH, OW, C)."""
    n, h, _, c = a.shape
    kh, kw, row = along_rows.shape
    y: Array = np.einsum("nhijp,ijp->nhp", _windows(a, kh, kw), along_rows)
    return y.reshape(n, h - kh + 1, row // c, c)


def _spread(dy: Array, kernel: Array) -> Array:
    """Give what ``_correlate`` passes back to its map, one output after the other."""
    (n, oh, ow, c), (kh, kw) = dy.shape, kernel.shape[:2]
    dx = np.zeros((n, oh + kh - 1, ow + kw - 1, c), dy.dtype)
    for p, q in np.ndindex(oh, ow):
        dx[:, p : p + kh, q : q + kw] += dy[:, p, q, None, None] * kernel
    return dx


def _sum_products(a: Array, dy: Array) -> Array:
    """Sum, for each tap, dy (N, OH, OW, C) times what the tap meets in ``a``: (KH, KW, C)."""
    n, oh, ow, c = dy.shape
    kh, kw = a.shape[1] - oh + 1, a.shape[2] - ow + 1
    sums = np.einsum("nhijp,nhp->ijp", _windows(a, kh, kw), dy.reshape(n, oh, -1))
    total: Array = sums.reshape(kh, kw, ow, c).sum(axis=2)
    return total
