"""Where two paths meet: a product (channel scale) and a sum (residual)."""

from __future__ import annotations

from collections.abc import Callable

from numpy_se.contract import Array, op
from numpy_se.sums import pixel_dot


@op("N C H W, N C -> N C H W")
def channel_scale(x: Array, s: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """Scale every channel of ``x`` by its gate.

        y[n,c,h,w] = s[n,c] * x[n,c,h,w]

    ``x`` and ``s`` both feed ``y``, so the product rule gives each its own gradient:

        dx[n,c,h,w] = s[n,c] * dy[n,c,h,w]
        ds[n,c]     = sum_hw dy[n,c,h,w] * x[n,c,h,w]      (s is shared by all H*W pixels)

    x (N, C, H, W) and s (N, C) give y (N, C, H, W). Keeps ``x`` and ``s``.
    Source: the paper's eq. 4 (F_scale).
    """
    y = x * s[:, :, None, None]  # (N, C, H, W)

    def backward(dy: Array) -> tuple[Array, Array]:
        dx = dy * s[:, :, None, None]  # (N, C, H, W)
        ds = pixel_dot(dy, x)  # (N, C)
        return dx, ds

    return y, backward


@op("..., ... -> ...")
def add(x: Array, skip: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """Add two arrays of one shape, as at the end of a residual block.

        y = x + skip
        dx = dy        dskip = dy

    The two gradients are equal and are two arrays, so that neither changes with the other.
    Keeps nothing. Source: He et al., arXiv 1512.03385, eq. 1.
    """
    y = x + skip

    def backward(dy: Array) -> tuple[Array, Array]:
        return dy.copy(), dy.copy()

    return y, backward
