"""Pooling: one number for each channel, or for each small window of the map."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpy_se.contract import Array, check_count, op
from numpy_se.layout import layout_of
from numpy_se.parallel import by_size, in_order
from numpy_se.sums import pixel_sum

CHUNK = 2**20  # bytes of a chunk: it stays in the cache


@op("N C H W -> N C")
def global_avg_pool(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Squeeze every channel of ``x`` to its mean.

        z[n,c] = 1/(H*W) * sum_hw x[n,c,h,w]

    Every pixel has the same weight 1/(H*W) in the mean, so every pixel gets the same gradient:

        dx[n,c,h,w] = 1/(H*W) * dz[n,c]

    x (N, C, H, W) gives z (N, C). Keeps only the shape of ``x``, and its layout.
    Source: Hu et al., arXiv 1709.01507, eq. 2 (F_sq).
    """
    layout = layout_of(x)
    pixels = x.shape[2] * x.shape[3]
    z = pixel_sum(x) / pixels  # (N, C)

    def backward(dz: Array) -> Array:
        dx = layout.empty(len(dz), dz.dtype)  # (N, C, H, W), in the layout of x
        dx[...] = (dz / pixels)[:, :, None, None]
        return dx

    return z, backward


@op("N C H W -> N C")
def global_max_pool(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Squeeze every channel of ``x`` to its largest value.

        z[n,c] = x[n,c,h*,w*]   where (h*, w*) is the first maximum, in reading order

    Only the winner feeds ``z``, so only the winner gets a gradient:

        dx[n,c,h,w] = dz[n,c] if (h, w) == (h*, w*) else 0

    Convention at ties: the first maximum, as in PyTorch.
    x (N, C, H, W) gives z (N, C). Keeps the index of every winner.
    Source: the paper's ablation of the squeeze, Table 11.
    """
    shape = n, c, h, w = x.shape
    z = np.empty((n, c), x.dtype)
    winner = np.empty((n, c, 1), np.intp)

    def forward(part: slice) -> None:
        pixels = x[part].reshape(-1, c, h * w)  # (N, C, H*W), a copy where x is channels last
        winner[part] = pixels.argmax(axis=2, keepdims=True)
        z[part] = np.take_along_axis(pixels, winner[part], axis=2)[:, :, 0]

    in_order(forward, by_size(n, x.nbytes, CHUNK))

    def backward(dz: Array) -> Array:
        dx = np.zeros((n, c, h * w), dz.dtype)  # (N, C, H*W)
        np.put_along_axis(dx, winner, dz[:, :, None], axis=2)
        return dx.reshape(shape)  # (N, C, H, W)

    return z, backward


@op("N C H W -> N C OH OW")
def max_pool2d(
    x: Array, *, size: int = 2, stride: int | None = None
) -> tuple[Array, Callable[[Array], Array]]:
    """Keep the largest value of every ``size`` x ``size`` window of ``x``.

        y[n,c,p,q] = max_ij x[n,c, p*stride + i, q*stride + j]      0 <= i, j < size

    Only the winner of a window feeds ``y``. A pixel may win several windows when they overlap, so
    its gradient is the sum over the windows that it won:

        dx[n,c,h,w] = sum over windows (p,q) won by (h,w) of dy[n,c,p,q]

    Convention at ties: the first maximum in reading order, as in PyTorch. A NaN in a window makes
    its output NaN; where in the window the gradient then goes is not defined.
    x (N, C, H, W) gives y (N, C, OH, OW) with OH = (H - size) // stride + 1, likewise OW. Rows and
    columns that fill no window get a zero gradient. ``stride`` is ``size`` unless given.
    Raises ValueError when the window does not fit into ``x``.
    Keeps the number of the winner for every entry of ``y``, in one byte for sizes below 16.
    """
    stride = size if stride is None else stride
    check_count("max_pool2d", "size", size, at_least=1)
    check_count("max_pool2d", "stride", stride, at_least=1)
    shape, (h, w) = x.shape, x.shape[2:]
    if size > min(h, w):
        raise ValueError(
            f"max_pool2d: size is {size}; it wants at most {min(h, w)} for x {x.shape}"
        )
    oh, ow = (h - size) // stride + 1, (w - size) // stride + 1

    # Where the candidates of all windows lie, for each place in the window, in reading order.
    places = [
        np.s_[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]
        for i in range(size)
        for j in range(size)
    ]
    y = np.empty_like(x[places[0]], subok=False)  # (N, C, OH, OW), in the layout of x
    winner = np.zeros_like(y, dtype=np.min_scalar_type(size * size))
    parts = by_size(len(x), y.nbytes, CHUNK)

    def forward(part: slice) -> None:
        best, number_of_best = y[part], winner[part]
        best[...] = x[part][places[0]]
        for number, place in enumerate(places[1:], start=1):
            candidate = np.copy(x[part][place])  # what follows is faster on neighbours in memory
            won = candidate > best  # strict: the first maximum stays
            # A later winner has a larger number. This is faster than to write where ``won``.
            np.maximum(number_of_best, won * winner.dtype.type(number), out=number_of_best)
            np.maximum(best, candidate, out=best)

    in_order(forward, parts)

    def backward(dy: Array) -> Array:
        dx = np.zeros_like(winner, dy.dtype, shape=shape)  # (N, C, H, W), in the layout of x

        def backward_of(part: slice) -> None:
            upstream = np.empty_like(winner[part], dy.dtype)  # in the layout of x, too
            upstream[...] = dy[part]
            for number, place in enumerate(places):
                won = upstream * (winner[part] == number)
                if stride < size:  # windows overlap
                    dx[part][place] += won
                else:
                    dx[part][place] = won

        in_order(backward_of, parts)
        return dx

    return y, backward
