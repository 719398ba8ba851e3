"""Across the channels: a map from all of them, neighbours among them, and their common scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from numpy_se.contract import Array, check_eps, op
from numpy_se.parallel import by_size, in_order

CHUNK = 2**20  # bytes of a chunk: it stays in the cache


@op("N C H W, C, 1 -> N 1 H W")
def one_map(
    x: Array, w: Array, b: Array | None = None
) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
    """Mix all channels of every pixel into one number: a 1x1 convolution with one filter.

        u[n,0,h,w] = sum_c w[c] * x[n,c,h,w] + b

    One weight is shared by all pixels, and the bias by all of them:

        dx[n,c,h,w] = w[c] * du[n,0,h,w]
        dw[c]       = sum_nhw x[n,c,h,w] * du[n,0,h,w]        db = sum_nhw du[n,0,h,w]

    x (N, C, H, W), w (C,), b (1,) or None give u (N, 1, H, W). ``backward`` gives (dx, dw), then db
    where the bias was given. Keeps ``w``, and ``x``, or a copy of it where its pixels do not lie
    evenly in memory.
    """
    n, c, height, width = x.shape
    biased = b is not None
    rows = x.reshape(n, c, -1)  # (N, C, H*W)
    u = (w @ rows).reshape(n, 1, height, width)
    if b is not None:
        u += b

    def backward(du: Array) -> tuple[Array, ...]:
        dx = du * w[:, None, None]  # (N, C, H, W)
        dw = (rows @ du.reshape(n, -1, 1)).sum(axis=0)[:, 0]  # (C,)
        return (dx, dw, du.sum(axis=(2, 3)).sum(axis=0)) if biased else (dx, dw)

    return u, backward


@op("N C H W -> N 2 H W")
def channel_mean_max(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Describe every pixel by the mean and the largest of its channels.

        y[n,0,h,w] = 1/C * sum_c x[n,c,h,w]
        y[n,1,h,w] = x[n,c*,h,w]      where c* is the first channel with the largest value

    ``x`` feeds both. Each channel has the share 1/C in the mean; the winner has all of the maximum:

        dx[n,c,h,w] = 1/C * dy[n,0,h,w] + (dy[n,1,h,w] if c == c* else 0)

    x (N, C, H, W) gives y (N, 2, H, W). Keeps the number of every winner.
    Source: the squeeze of CBAM's spatial gate, Woo et al., arXiv 1807.06521, eq. 3.
    """
    n, c, height, width = x.shape
    y = np.empty((n, 2, height, width), x.dtype)
    winner = np.empty((n, 1, height, width), np.intp)

    def forward(part: slice) -> None:
        np.mean(x[part], axis=1, out=y[part, 0])
        winner[part] = x[part].argmax(axis=1, keepdims=True)  # this copies
        y[part, 1:] = np.take_along_axis(x[part], winner[part], axis=1)

    in_order(forward, by_size(n, x.nbytes, CHUNK))

    def backward(dy: Array) -> Array:
        dx = np.repeat(dy[:, :1] / c, c, axis=1)  # (N, C, H, W)
        of_winner = np.take_along_axis(dx, winner, axis=1) + dy[:, 1:]
        np.put_along_axis(dx, winner, of_winner, axis=1)
        return dx

    return y, backward


@op("N C, K -> N C")
def channel_correlate(
    z: Array, w: Array, *, circular: bool = False
) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """Mix each channel with its neighbours, by the same K weights for all of them.

        u[n,c] = sum_k w[k] * Z[n, c + k - (K-1)/2]

    where Z is ``z`` with zeros beside it, or with its other end where ``circular``. Channel c feeds
    the K channels around it. Its left neighbour sees it on the right: on the way back, w is turned.

        dz[n,c] = sum_k w[k] * DU[n, c - k + (K-1)/2]        DU: du, continued as Z is
        dw[k]   = sum_nc du[n,c] * Z[n, c + k - (K-1)/2]

    z (N, C), w (K,) give u (N, C). Raises ValueError for an even K. Keeps Z and ``w``.
    Source: Wang et al., ECA-Net, arXiv 1910.03151, eq. 7.
    """
    if len(w) % 2 == 0:
        raise ValueError(f"channel_correlate: w has {len(w)} weights; it wants an odd number")
    near = _neighbours(z, len(w), circular)  # (N, K, C)

    def backward(du: Array) -> tuple[Array, Array]:
        dz = w[::-1] @ _neighbours(du, len(w), circular)  # (N, C)
        dw = np.einsum("nc,nkc->k", du, near)  # (K,)
        return dz, dw

    return w @ near, backward


def _neighbours(z: Array, size: int, circular: bool) -> Array:
    """See (N, C) as (N, size, C): the neighbours of each channel, from left to right."""
    mode: Any = "wrap" if circular else "constant"
    wide = np.pad(z, ((0, 0), (size // 2, size // 2)), mode)
    return sliding_window_view(wide, z.shape[1], axis=1)


@op("N C -> N C")
def channel_normalise(e: Array, *, eps: float = 1e-5) -> tuple[Array, Callable[[Array], Array]]:
    """Divide the channels of a sample by their root mean square, so that they compete.

        y[n,c] = e[n,c] / sigma[n]        sigma = sqrt(mean_c e^2 + eps)

    ``e`` feeds y directly, and through sigma: dsigma/de = e / (C sigma), so

        de = dy / sigma - e / (C sigma) * sum_c dy * e / sigma^2
           = (dy - y * mean_c(dy * y)) / sigma

    e (N, C) gives y (N, C). Keeps y and sigma.
    Source: Yang et al., Gated Channel Transformation, arXiv 1909.11519, eq. 2, with eps in the mean
    as in the authors' code; the paper's eps is in the sum.
    """
    check_eps("channel_normalise", eps)
    sigma = np.sqrt(np.mean(e * e, axis=1, keepdims=True) + e.dtype.type(eps))  # (N, 1)
    y = e / sigma

    def backward(dy: Array) -> Array:
        de: Array = (dy - y * np.mean(dy * y, axis=1, keepdims=True)) / sigma
        return de

    return y, backward
