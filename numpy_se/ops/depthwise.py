"""Depthwise convolution: every channel has a kernel of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from numpy_se.contract import Array, check_count, op
from numpy_se.parallel import add_up, by_size, in_order
from numpy_se.sums import pixel_dot

CHUNK = 2**20  # bytes of a chunk: it stays in the cache


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
    rows, columns = -(-(h + 2 * padding) // stride), -(-(width + 2 * padding) // stride)
    inside = np.s_[:, padding : padding + h, padding : padding + width]
    parts = by_size(n, x.nbytes, CHUNK)

    def phases(part: Array) -> Array:
        """Lay maps on zeros, channels last, and sort the pixels.

        What a tap meets, every ``stride``-th pixel, then lies together: (stride, stride, N, ...).
        """
        canvas = np.zeros((len(part), rows * stride, columns * stride, c), x.dtype)
        canvas[inside] = part.transpose(0, 2, 3, 1)
        split = canvas.reshape(len(part), rows, stride, columns, stride, c)
        return np.ascontiguousarray(split.transpose(2, 4, 0, 1, 3, 5))

    def taps() -> Iterator[tuple[int, int, Any]]:
        """Each entry of the kernel, and the pixels that meet it."""
        for i, j in np.ndindex(kh, kw):
            (row, a), (column, b) = divmod(i, stride), divmod(j, stride)
            yield i, j, np.s_[a, b, :, row : row + oh, column : column + ow]

    kernel = np.ascontiguousarray(w.transpose(1, 2, 0))  # (KH, KW, C): one loop over the channels
    y = np.empty((n, oh, ow, c), x.dtype)

    def forward(part: slice) -> None:
        pixels, out = phases(x[part]), y[part]
        out[...] = 0
        for i, j, place in taps():
            out += pixels[place] * kernel[i, j]

    in_order(forward, parts)

    def backward(dy: Array) -> tuple[Array, Array]:
        dx = np.empty((n, h, width, c), x.dtype)

        def backward_of(part: slice) -> list[Array]:
            pixels = phases(x[part])
            upstream = np.ascontiguousarray(dy[part].transpose(0, 2, 3, 1))  # (N, OH, OW, C)
            dpixels, dw = np.zeros_like(pixels), np.empty_like(w)
            for i, j, place in taps():
                dw[:, i, j] = _channel_dot(upstream, pixels[place])
                dpixels[place] += upstream * kernel[i, j]
            together = dpixels.transpose(2, 3, 0, 4, 1, 5)
            dx[part] = together.reshape(-1, rows * stride, columns * stride, c)[inside]
            return [dw]

        (dw,) = add_up(in_order(backward_of, parts))
        return dx.transpose(0, 3, 1, 2), dw

    return y.transpose(0, 3, 1, 2), backward


def _channel_dot(a: Array, b: Array) -> Array:
    """Sum the product of two arrays (N, H, W, C) over all but the channels."""
    total: Array = pixel_dot(a.transpose(0, 3, 1, 2), b.transpose(0, 3, 1, 2)).sum(axis=0)
    return total
