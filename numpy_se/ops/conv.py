"""2-D convolution, one kernel row at a time, as matrix products.

The work is done on channels-last memory (N, H, W, C), where the KW neighbours that a kernel row
needs lie next to each other: copying them out makes each kernel row one matrix product with KW*C
terms per output. The output is that memory seen as (N, F, OH, OW).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from numpy_se.contract import Array, check_count, op


@op("N C H W, F C KH KW, F -> N F OH OW")
def conv2d(
    x: Array, w: Array, b: Array | None = None, *, stride: int = 1, padding: int = 0
) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
    """Correlate ``x`` with ``F`` kernels ("convolution" in the field's words: no flip).

        y[n,f,p,q] = b[f] + sum_cij w[f,c,i,j] * X[n,c, p*stride + i, q*stride + j]

    where X is ``x`` with ``padding`` rows and columns of zeros on each side. The weight is shared
    by all samples and output pixels, and so is the bias:

        dw[f,c,i,j] = sum_npq dy[n,f,p,q] * X[n,c, p*stride + i, q*stride + j]
        db[f]       = sum_npq dy[n,f,p,q]

    Pixel (r, t) of X feeds every output (p, q) whose window covers it, through the kernel's entry
    i = r - p*stride, j = t - q*stride. Let D be dy spread out on zeros, as high as X plus KH - 1
    and as wide as X plus KW - 1:

        D[n,f, KH-1 + p*stride, KW-1 + q*stride] = dy[n,f,p,q]

    Then the sum over those windows is a correlation of D with the kernel turned by 180 degrees, its
    two channel axes swapped:

        dX[n,c,r,t] = sum_fij w[f,c, KH-1-i, KW-1-j] * D[n,f, r + i, t + j]

    and dx is dX without the padding.

    x (N, C, H, W), w (F, C, KH, KW), b (F,) or None give y (N, F, OH, OW) with
    OH = (H + 2*padding - KH) // stride + 1, likewise OW.
    Raises ValueError when the kernel does not fit into the padded map. Keeps ``x`` and ``w``.
    """
    check_count("conv2d", "stride", stride, at_least=1)
    check_count("conv2d", "padding", padding, at_least=0)
    height, width = x.shape[2] + 2 * padding, x.shape[3] + 2 * padding
    kh, kw = w.shape[2:]
    if kh > height or kw > width:
        raise ValueError(
            f"conv2d: w has kernels of {kh} x {kw}; it wants at most {height} x {width}, "
            f"the map of x {x.shape} with padding {padding}"
        )
    n, f, oh, ow = len(x), len(w), (height - kh) // stride + 1, (width - kw) // stride + 1

    def input_columns() -> list[Array]:
        canvas = _on_canvas(x, (height, width), (padding, padding))
        return _columns(canvas, kh, kw, stride)

    y = _correlate(input_columns(), w)  # (N, OH*OW, F)
    if b is not None:
        y += b

    def backward(dy: Array) -> tuple[Array, ...]:
        spread = _on_canvas(dy, (height + kh - 1, width + kw - 1), (kh - 1, kw - 1), stride)
        within = spread[:, padding : len(spread[0]) - padding, padding : spread.shape[2] - padding]
        turned = w[:, :, ::-1, ::-1].swapaxes(0, 1)  # (C, F, KH, KW)
        dx = _correlate(_columns(within, kh, kw), turned)  # (N, H*W, C)

        dy = np.moveaxis(dy, 1, 3).reshape(n, oh * ow, f)  # (N, OH*OW, F)
        dw = np.stack([(row.swapaxes(1, 2) @ dy).sum(axis=0) for row in input_columns()])
        dw = dw.reshape(kh, kw, -1, f).transpose(3, 2, 0, 1)  # (KH, KW*C, F) -> (F, C, KH, KW)

        dx = _channels_first(dx, x.shape[2:])  # (N, C, H, W)
        return (dx, dw) if b is None else (dx, dw, dy.sum(axis=(0, 1)))  # db: (F,)

    return _channels_first(y, (oh, ow)), backward


def _channels_first(a: Array, size: tuple[int, ...]) -> Array:
    """See (N, H*W, C) as (N, C, H, W)."""
    return np.moveaxis(a.reshape(len(a), *size, -1), 3, 1)


def _on_canvas(a: Array, size: tuple[int, int], corner: tuple[int, int], step: int = 1) -> Array:
    """Lay (N, C, H, W) on channels-last zeros, from ``corner`` on, every ``step`` pixels."""
    (n, c, h, w), (top, left) = a.shape, corner
    canvas = np.zeros((n, *size, c), a.dtype)
    canvas[:, top : top + step * h : step, left : left + step * w : step] = np.moveaxis(a, 1, 3)
    return canvas


def _columns(canvas: Array, kh: int, kw: int, stride: int = 1) -> list[Array]:
    """For each kernel row, the KW*C inputs of every output: KH arrays (N, OH*OW, KW*C).

    All are cut from one copy, which repeats each input KW times and not KH*KW times. For stride 1
    they are views of it.
    """
    windows = sliding_window_view(canvas, kw, axis=2)[:, :, ::stride]  # (N, H, OW, C, KW)
    taps = np.ascontiguousarray(windows.swapaxes(3, 4))  # (N, H, OW, KW, C)
    n, h, _, _, c = taps.shape
    last = h - kh + 1
    return [taps[:, i : i + last : stride].reshape(n, -1, kw * c) for i in range(kh)]


def _correlate(columns: list[Array], w: Array) -> Array:
    """Multiply the columns by the kernel, row by row, and add up: (N, OH*OW, F)."""
    f, c, _, kw = w.shape
    rows = w.transpose(2, 3, 1, 0).reshape(-1, kw * c, f)  # (KH, KW*C, F)
    y: Array = columns[0] @ rows[0]
    for column, row in zip(columns[1:], rows[1:], strict=True):
        y += column @ row
    return y
