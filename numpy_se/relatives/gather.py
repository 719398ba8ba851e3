"""The gates of Gather-Excite: three ways to gather what lies around a place.

    z = gather(x)                    mean over the map or a window, or depthwise convolutions
    s = sigmoid(z), spread           to the size of x: the gate of a copy is the copy of a gate

Source: Hu, Shen, Albanie, Sun, Vedaldi, "Gather-Excite", NeurIPS 2018, arXiv 1810.12348, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_se.contract import Array, check_count, op
from numpy_se.ops import (
    avg_pool2d,
    depthwise_conv2d,
    global_avg_pool,
    relu,
    resize_nearest,
    sigmoid,
)

Backward = Callable[[Array], Array]


@op("N C H W -> N C")
def mean_gates(x: Array) -> tuple[Array, Backward]:
    """Compute one gate for each channel, from its own mean.

        z[n,c] = mean_hw x        s = sigmoid(z)        dx = ds s (1 - s) / (H*W)

    x (N, C, H, W) gives s (N, C); ``backward`` gives dx.
    """
    z, back_gather = global_avg_pool(x)
    s, back_gate = sigmoid(z)
    return s, lambda ds: back_gather(back_gate(ds))


@op("N C H W -> N C H W")
def window_gates(x: Array, *, extent: int) -> tuple[Array, Backward]:
    """Compute a gate for each channel and place, from what lies around it; nothing is learned.

        z = avg_pool2d(x, size=2*extent-1, stride=extent, padding=extent-1)
        s = resize_nearest(sigmoid(z))

    Each step is undone by its own backward: a gate has the sum of the gradients of its copies, and
    a pixel a share in all windows that cover it.
    x (N, C, H, W) gives s (N, C, H, W); ``backward`` gives dx.
    """
    check_count("window_gates", "extent", extent, at_least=1)
    z, back_gather = avg_pool2d(x, size=2 * extent - 1, stride=extent, padding=extent - 1)
    s, back_gate = sigmoid(z)
    spread, back_spread = resize_nearest(s, height=x.shape[2], width=x.shape[3])
    return spread, lambda ds: back_gather(back_gate(back_spread(ds)))


@op("N C H W, S C 3 3 -> N C H W")
def convolved_gates(x: Array, w: Array) -> tuple[Array, Any]:
    """Compute a gate for each channel and place, gathered by S depthwise convolutions.

        z_1 = depthwise(x, w[0])        z_k+1 = depthwise(relu(z_k), w[k])        stride 2 each
        s = resize_nearest(sigmoid(z_S))

    Their extent is 2^S. The authors' nets have batch norm behind each convolution; here is none.
    x (N, C, H, W), w (S, C, 3, 3) give s (N, C, H, W); ``backward`` gives (dx, dw).
    """
    z = x
    backs: list[tuple[Backward | None, Any]] = []
    for kernel in w:
        a, back_relu = relu(z) if backs else (z, None)  # none before the first
        z, back_conv = depthwise_conv2d(a, kernel, stride=2, padding=1)
        backs.append((back_relu, back_conv))
    s, back_gate = sigmoid(z)
    spread, back_spread = resize_nearest(s, height=x.shape[2], width=x.shape[3])

    def backward(ds: Array) -> tuple[Array, Array]:
        dz, dw = back_gate(back_spread(ds)), np.empty(w.shape, w.dtype)
        for k, (back_relu, back_conv) in reversed(list(enumerate(backs))):
            da, dw[k] = back_conv(dz)
            dz = back_relu(da) if back_relu else da
        return dz, dw

    return spread, backward


def gathered_gates(
    x: Array, w: Array | None = None, *, extent: int | None = None
) -> tuple[Array, Any]:
    """Compute the gates by convolutions with w, by windows of ``extent``, or by the whole map.

    x (N, C, H, W) gives s (N, C, H, W), or (N, C) for the whole map. Raises ValueError for ``w``
    with an ``extent``.
    """
    if w is not None and extent is not None:
        raise ValueError(f"gathered_gates: extent is {extent}; it wants None where w is given")
    if w is not None:
        return convolved_gates(x, w)
    return mean_gates(x) if extent is None else window_gates(x, extent=extent)
