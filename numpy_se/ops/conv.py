"""2-D convolution as matrix products, in chunks that stay in the cache.

The work is done on channels-last memory (N, H, W, C), where the KW neighbours that a kernel row
needs lie next to each other. Copying them out makes each kernel row one matrix product with KW*C
terms per output; the KH rows share the copy, as each of them is a view of it. So an input is copied
KW times and not KH*KW times. Where there are few channels, KW*C terms are too few for a fast
product, and the whole kernel is one product. The output is that memory seen as (N, F, OH, OW).

A chunk of a few samples takes all steps before the next one begins, so that its copies stay in the
cache. The chunks can be shared among threads, see ``parallel.workers``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypedDict, Unpack, overload

import numpy as np

from numpy_se.contract import Array, check_count, op
from numpy_se.parallel import add_up, by_size, in_order
from numpy_se.sums import pixel_sum

CHUNK = 2**23  # bytes of copies that a chunk may make: they stay in the cache
SMALL = 2**19  # bytes of copies: to wake a thread for less takes longer than it saves
FEW = 32  # terms of a kernel row that are too few for a product of their own

# What is given, by whether there are biases; None2 and None3: dx is None, with input_grad=False.
Gives2: TypeAlias = tuple[Array, Callable[[Array], tuple[Array, Array]]]
Gives3: TypeAlias = tuple[Array, Callable[[Array], tuple[Array, Array, Array]]]
GivesNone2: TypeAlias = tuple[Array, Callable[[Array], tuple[None, Array]]]
GivesNone3: TypeAlias = tuple[Array, Callable[[Array], tuple[None, Array, Array]]]
GivesSome: TypeAlias = tuple[Array, Callable[[Array], tuple[Any, ...]]]


class Steps(TypedDict, total=False):
    """How the kernel goes over the map."""

    stride: int
    padding: int


@overload
def conv2d(
    x: Array, w: Array, b: None = None, *, input_grad: Literal[True] = True, **steps: Unpack[Steps]
) -> Gives2: ...
@overload
def conv2d(
    x: Array, w: Array, b: Array, *, input_grad: Literal[True] = True, **steps: Unpack[Steps]
) -> Gives3: ...
@overload
def conv2d(
    x: Array, w: Array, b: None = None, *, input_grad: Literal[False], **steps: Unpack[Steps]
) -> GivesNone2: ...
@overload
def conv2d(
    x: Array, w: Array, b: Array, *, input_grad: Literal[False], **steps: Unpack[Steps]
) -> GivesNone3: ...
@overload
def conv2d(
    x: Array, w: Array, b: Array | None = None, *, input_grad: bool = True, **steps: Unpack[Steps]
) -> GivesSome: ...


@op("N C H W, F C KH KW, F -> N F OH OW")
def conv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    input_grad: bool = True,
) -> GivesSome:
    """Correlate ``x`` with ``F`` kernels ("convolution" in the field's words: no flip).

        y[n,f,p,q] = b[f] + sum_cij w[f,c,i,j] * X[n,c, p*stride + i, q*stride + j]

    where X is ``x`` with ``padding`` rows and columns of zeros on each side. The weight is shared
    by all samples and output pixels, and so is the bias:

        dw[f,c,i,j] = sum_npq dy[n,f,p,q] * X[n,c, p*stride + i, q*stride + j]
        db[f]       = sum_npq dy[n,f,p,q]

    Pixel (r, t) of X feeds every output (p, q) whose window covers it, through the kernel's entry
    i = r - p*stride, j = t - q*stride. Only every stride-th row of the kernel meets row r: write
    r = m*stride + a and i = u*stride + a with 0 <= a < stride, then p = m - u. Likewise columns:

        dX[n,c, m*stride + a, l*stride + b]
            = sum_fuv w[f,c, u*stride + a, v*stride + b] * dy[n,f, m - u, l - v]

    summed where dy has an entry (m - u, l - v). For each phase (a, b) that is a correlation of dy
    with these entries of the kernel, turned by 180 degrees. dx is dX without the padding.

    x (N, C, H, W), w (F, C, KH, KW), b (F,) or None give y (N, F, OH, OW) with
    OH = (H + 2*padding - KH) // stride + 1, likewise OW.
    With ``input_grad=False``, ``x`` is data such as images: dx is not computed, it is None.
    Raises ValueError when the kernel does not fit into the padded map. Keeps ``x`` and ``w``.
    """
    check_count("conv2d", "stride", stride, at_least=1)
    same = f"; {w.shape[2] // 2} keeps the height of x at stride 1"
    check_count("conv2d", "padding", padding, at_least=0, hint=same)
    height, width = x.shape[2] + 2 * padding, x.shape[3] + 2 * padding
    (n, c), (f, _, kh, kw) = x.shape[:2], w.shape
    if kh > height or kw > width:
        raise ValueError(
            f"conv2d: w has kernels of {kh} x {kw}; it wants at most {height} x {width}, "
            f"the map of x {x.shape} with padding {padding}"
        )
    oh, ow = (height - kh) // stride + 1, (width - kw) // stride + 1
    # A sample needs copies of it and of dy, or a dw of its own.
    copies = (height + kh) * width * max(k * _copies(k, kh, kw) for k in (c, f))
    nbytes = n * max(copies, kw * c * f) * x.itemsize
    parts = by_size(n, nbytes, CHUNK, SMALL)
    y = np.empty((n, oh, ow, f), x.dtype)
    biased = b is not None

    def input_columns(part: slice) -> list[Array]:
        canvas = on_canvas(x[part], (height, width), (padding, padding))
        return _columns(canvas, kh, kw, stride)

    def forward(part: slice) -> None:
        _correlate(input_columns(part), w, y[part].reshape(-1, oh * ow, f))
        if b is not None:
            image_rows = y[part].reshape(-1, oh, ow * f)
            image_rows += np.tile(b, ow)  # a loop for every F entries would be slower

    in_order(forward, parts)

    def backward(dy: Array) -> tuple[Array | None, ...]:
        dx = np.empty((n, *x.shape[2:], c), x.dtype) if input_grad else None

        def backward_of(part: slice) -> list[Array]:
            if dx is not None:
                _input_gradient(dy[part], w, stride, padding, dx[part])
            pixels = dy[part].transpose(0, 2, 3, 1).reshape(-1, oh * ow, f)
            columns = input_columns(part)
            dw = np.stack([(column.swapaxes(1, 2) @ pixels).sum(axis=0) for column in columns])
            return [dw, pixel_sum(dy[part]).sum(axis=0)] if biased else [dw]

        dw, *db = add_up(in_order(backward_of, parts))
        dw = dw.reshape(kh, kw, c, f).transpose(3, 2, 0, 1)  # (F, C, KH, KW)
        return None if dx is None else dx.transpose(0, 3, 1, 2), dw, *db

    return y.transpose(0, 3, 1, 2), backward


def _input_gradient(dy: Array, w: Array, stride: int, padding: int, dx: Array) -> None:
    """Compute ``dx`` (N, H, W, C), one phase after the other."""
    kernel = w.shape[2:]
    if stride > min(kernel):
        dx[...] = 0  # no window covers some of the pixels
    for a, b in np.ndindex(*(min(stride, side) for side in kernel)):
        top, left = (a - padding) % stride, (b - padding) % stride
        phase = dx[:, top::stride, left::stride]
        m, l = (top + padding) // stride, (left + padding) // stride  # noqa: E741
        entries = w[:, :, a::stride, b::stride]  # (F, C, KU, KV)
        (rows, columns), (ku, kv) = phase.shape[1:3], entries.shape[2:]
        if 0 in (rows, columns):
            continue
        canvas = on_canvas(dy, (rows + ku - 1, columns + kv - 1), (ku - 1 - m, kv - 1 - l))
        turned = entries[:, :, ::-1, ::-1].swapaxes(0, 1)  # (C, F, KU, KV)
        phase[...] = _correlate(_columns(canvas, ku, kv), turned).reshape(phase.shape)


def on_canvas(a: Array, size: tuple[int, int], corner: tuple[int, int]) -> Array:
    """Lay (N, C, H, W) on channels-last zeros (N, *size, C), from ``corner`` on.

    What lies beside the canvas is left out; the corner may.
    """
    canvas = np.zeros((len(a), *size, a.shape[1]), a.dtype)
    (top, left), (h, w) = corner, a.shape[2:]
    inside = a[:, :, max(0, -top) : size[0] - top, max(0, -left) : size[1] - left]
    rows, columns = slice(max(0, top), top + h), slice(max(0, left), left + w)
    canvas[:, rows, columns] = inside.transpose(0, 2, 3, 1)
    return canvas


def _columns(canvas: Array, kh: int, kw: int, stride: int = 1) -> list[Array]:
    """Gather the inputs of every output: for each kernel row one array (N, OH*OW, KW*C).

    All are cut from one copy; for stride 1 they are views of it. Where there are few channels, one
    array (N, OH*OW, KH*KW*C) for the whole kernel.
    """
    n, h, w, c = canvas.shape
    oh, ow = (h - kh) // stride + 1, (w - kw) // stride + 1
    sn, sh, sw, sc = canvas.strides
    if _copies(c, kh, kw) > kw:
        shape = n, kh, kw, c, oh, ow
        taps = _overlapping(canvas, shape, (sn, sh, sw, sc, stride * sh, stride * sw))
        return [taps.reshape(n, -1, oh * ow).swapaxes(1, 2)]
    taps = _overlapping(canvas, (n, h, ow, kw * c), (sn, sh, stride * sw, sc))
    last = h - kh + 1
    return [taps[:, i : i + last : stride].reshape(n, oh * ow, kw * c) for i in range(kh)]


def _copies(c: int, kh: int, kw: int) -> int:
    """Give how often each pixel is copied: for each column of the kernel, or for each entry."""
    return kw if kw * c >= FEW else kh * kw


def _overlapping(canvas: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """Copy from the contiguous ``canvas`` with strides by which entries are met several times."""
    return np.ndarray(shape, canvas.dtype, canvas, strides=strides).copy()


def _correlate(columns: list[Array], w: Array, out: Array | None = None) -> Array:
    """Multiply the columns by their part of the kernel, and add up: (N, OH*OW, F)."""
    kernel = w.transpose(2, 3, 1, 0).reshape(len(columns), -1, len(w))  # (KH, KW*C, F)
    y: Array = np.matmul(columns[0], kernel[0], out=out)
    for column, part in zip(columns[1:], kernel[1:], strict=True):
        y += column @ part
    return y
