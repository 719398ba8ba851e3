"""Where two paths meet: a product (gates) and a sum (residual)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_se.contract import Array, check_op, op
from numpy_se.sums import pixel_dot, pixel_sum


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


@op("N C H W, N 1 H W -> N C H W")
def pixel_scale(x: Array, s: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """Scale every pixel of ``x`` by its gate.

        y[n,c,h,w] = s[n,0,h,w] * x[n,c,h,w]

    The product rule, as in ``channel_scale``. A gate is shared by all C channels:

        dx[n,c,h,w] = s[n,0,h,w] * dy[n,c,h,w]
        ds[n,0,h,w] = sum_c dy[n,c,h,w] * x[n,c,h,w]

    x (N, C, H, W) and s (N, 1, H, W) give y (N, C, H, W). Keeps ``x`` and ``s``.
    Source: the spatial gates of Roy et al., arXiv 1803.02579, and Woo et al., arXiv 1807.06521.
    """
    y = x * s  # (N, C, H, W)

    def backward(dy: Array) -> tuple[Array, Array]:
        dx = dy * s  # (N, C, H, W)
        ds = np.einsum("nchw,nchw->nhw", dy, x)[:, None]  # (N, 1, H, W)
        return dx, ds

    return y, backward


@op("N C H W, N C -> N C H W")
def channel_shift(x: Array, v: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """Add to every channel of ``x`` its own number.

        y[n,c,h,w] = x[n,c,h,w] + v[n,c]
        dx = dy        dv[n,c] = sum_hw dy[n,c,h,w]      (v is shared by all H*W pixels)

    x (N, C, H, W) and v (N, C) give y (N, C, H, W). Keeps nothing.
    """
    y = x + v[:, :, None, None]  # (N, C, H, W)

    def backward(dy: Array) -> tuple[Array, Array]:
        return dy.copy("K"), pixel_sum(dy)

    return y, backward


def gated(
    x: Array,
    s: Array,
    back_gates: Callable[[Array], Any],
    scale: Callable[[Array, Array], Any] = channel_scale,
) -> tuple[Array, Callable[[Array], Any]]:
    """Scale ``x`` by gates ``s`` that were decided from ``x`` itself: the rule of two paths.

        s, back_gates = gates(x, w, ...)
        y, backward = gated(x, s, back_gates)

    ``x`` is used twice. It is scaled, and it decides the gates, so its gradient is a sum:

        dx = s * dy                  scale path: the gates are held fast
           + back_gates(ds)          gate path: the gates move, x in the product is held fast

    ``back_gates(ds)`` gives dx, or (dx, dw, ...) where the gates have weights. ``backward`` gives
    the same. ``scale`` joins the two, an operation such as ``channel_scale`` or ``pixel_scale``.
    Keeps what these keep.
    Raises TypeError for what is no function, and ValueError, in ``backward``, where
    ``back_gates`` gives a dx of another shape.
    """
    check_op("gated: back_gates", back_gates)
    check_op("gated: scale", scale)
    y, back_scale = scale(x, s)

    def backward(dy: Array) -> Any:
        dx, ds = back_scale(dy)  # scale path
        gradients = back_gates(ds)
        dx_gates, *dweights = gradients if isinstance(gradients, tuple) else (gradients,)
        if np.shape(dx_gates) != dx.shape:
            got = f"back_gates gives dx of shape {np.shape(dx_gates)}"
            raise ValueError(f"gated: {got}; it wants {dx.shape}, that of x")
        dx += dx_gates  # x is used twice: add both
        return (dx, *dweights) if dweights else dx

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
        return dy.copy("K"), dy.copy("K")

    return y, backward
