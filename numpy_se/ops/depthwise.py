"""Depthwise convolution: every channel has a kernel of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from numpy_se.contract import Array, check_count, op
from numpy_se.parallel import by_size, in_order
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
    inside = np.s_[:, :, padding : padding + h, padding : padding + width]
    parts = by_size(n, x.nbytes, CHUNK)

    def on_zeros(part: Array) -> Array:
        canvas = np.zeros_like(part, shape=(*part.shape[:2], h + 2 * padding, width + 2 * padding))
        canvas[inside] = part
        return canvas

    def taps() -> Iterator[tuple[int, int, tuple[slice, ...]]]:
        """Each entry of the kernel, and the pixels that meet it."""
        for i, j in np.ndindex(kh, kw):
            rows, columns = slice(i, i + stride * oh, stride), slice(j, j + stride * ow, stride)
            yield i, j, np.s_[:, :, rows, columns]

    y = np.empty_like(x, shape=(n, c, oh, ow))

    def forward(part: slice) -> None:
        canvas, out = on_zeros(x[part]), y[part]
        out[...] = 0
        for i, j, place in taps():
            out += canvas[place] * w[:, i, j, None, None]

    in_order(forward, parts)

    def backward(dy: Array) -> tuple[Array, Array]:
        dx = np.empty_like(x)

        def backward_of(part: slice) -> Array:
            canvas, dcanvas = on_zeros(x[part]), on_zeros(0 * x[part])
            dw = np.empty_like(w)
            for i, j, place in taps():
                dw[:, i, j] = pixel_dot(dy[part], canvas[place]).sum(axis=0)
                dcanvas[place] += dy[part] * w[:, i, j, None, None]
            dx[part] = dcanvas[inside]
            return dw

        return dx, np.sum(in_order(backward_of, parts), axis=0)

    return y, backward
