"""CBAM: a gate for each channel, and then a gate for each pixel.

    channel gates     s = sigmoid(mlp(mean of x) + mlp(max of x))            one mlp for both, eq. 2
    spatial gates     s = sigmoid(conv(mean and max over the channels))      7x7, eq. 3
    y1 = x scaled by channel,  y = y1 scaled by pixel

The authors' code has batch norm behind the 7x7 convolution, which the paper does not name.
Source: Woo, Park, Lee, Kweon, "CBAM", ECCV 2018, arXiv 1807.06521.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from numpy_se.contract import Array, check_count, op
from numpy_se.ops import (
    channel_mean_max,
    conv2d,
    gated,
    global_avg_pool,
    global_max_pool,
    linear,
    pixel_scale,
    relu,
    sigmoid,
)
from numpy_se.relatives.layer import Relative
from numpy_se.se import reduced_width

Backward = Callable[[Array], tuple[Array, ...]]


@op("N C H W, R C, C R -> N C")
def channel_attention_gates(x: Array, w1: Array, w2: Array) -> tuple[Array, Backward]:
    """Compute one gate for each channel, from its mean and its maximum.

        u = w2 relu(w1 mean) + w2 relu(w1 max)        s = sigmoid(u)

    The two squeezes go through the same bottleneck: here as one batch of 2N rows. So each weight
    has the gradients of both, and ``x`` has those of the mean and of the maximum. u is a sum, so
    both halves get du.

    What is forgotten most: one of the two in dw1, dw2 or dx, and the mask of its own for each half.
    x (N, C, H, W), w1 (R, C), w2 (C, R) give s (N, C); ``backward`` gives (dx, dw1, dw2).
    """
    n = len(x)
    mean, back_mean = global_avg_pool(x)  # (N, C)
    largest, back_max = global_max_pool(x)  # (N, C)
    h, back_linear1 = linear(np.concatenate([mean, largest]), w1)  # (2N, R)
    a, back_relu = relu(h)
    u, back_linear2 = linear(a, w2)  # (2N, C)
    s, back_gate = sigmoid(u[:n] + u[n:])  # (N, C)

    def backward(ds: Array) -> tuple[Array, ...]:
        du = back_gate(ds)  # (N, C)
        da, dw2 = back_linear2(np.concatenate([du, du]))  # (2N, R)
        dz, dw1 = back_linear1(back_relu(da))  # (2N, C)
        dx = back_mean(dz[:n])
        dx += back_max(dz[n:])  # x feeds both squeezes
        return dx, dw1, dw2

    return s, backward


@op("N C H W, 1 2 K K -> N 1 H W")
def spatial_attention_gates(x: Array, w: Array) -> tuple[Array, Backward]:
    """Compute one gate for each pixel, from the mean and the maximum of the channels around it.

        u = conv2d([mean_c x, max_c x], w)        s = sigmoid(u)

    The steps are undone in turn; ``x`` feeds the mean and the maximum (``channel_mean_max``).
    x (N, C, H, W), w (1, 2, K, K) with an odd K give s (N, 1, H, W); ``backward`` gives (dx, dw).
    Raises ValueError for an even K, which gives a map of another size.
    """
    if (size := w.shape[2]) % 2 == 0:
        raise ValueError(f"spatial_attention_gates: w has a size of {size}; it wants an odd one")
    m, back_squeeze = channel_mean_max(x)  # (N, 2, H, W)
    u, back_conv = conv2d(m, w, padding=size // 2)  # (N, 1, H, W)
    s, back_gate = sigmoid(u)

    def backward(ds: Array) -> tuple[Array, ...]:
        dm, dw = back_conv(back_gate(ds))
        return back_squeeze(dm), dw

    return s, backward


@op("N C H W, R C, C R, 1 2 K K -> N C H W")
def cbam(x: Array, w1: Array, w2: Array, w: Array) -> tuple[Array, Backward]:
    """Scale every channel, then every pixel of what comes out.

        y1 = gated(x, channel gates of x)        y = gated(y1, spatial gates of y1)

    The spatial gates look at y1, not at x. Backward, the pixels come first; their dx is the
    upstream gradient of the channels.
    x (N, C, H, W), w1 (R, C), w2 (C, R), w (1, 2, K, K) give y; ``backward`` gives (dx, dw1, dw2,
    dw). Raises ValueError for an even K. Source: Woo et al., arXiv 1807.06521, eq. 1 to 3.
    """
    y1, back_channel = gated(x, *channel_attention_gates(x, w1, w2))
    y, back_pixel = gated(y1, *spatial_attention_gates(y1, w), pixel_scale)

    def backward(dy: Array) -> tuple[Array, ...]:
        dy1, dw = back_pixel(dy)
        return *back_channel(dy1), dw

    return y, backward


@dataclass(frozen=True)
class CBAM(Relative):
    """``cbam`` on ``channels`` channels. Parameters: w1, w2, w. Its gates are those of channels.

    It squeezes twice, over the pixels and over the channels; the maxima are not counted in
    ``costs``, as no other maximum is.
    """

    channels: int
    ratio: float = 16
    size: int = 7
    squeezes = 2
    scales = 2
    block = staticmethod(cbam)
    gates_op = staticmethod(lambda x, w1, w2, w: channel_attention_gates(x, w1, w2))

    def __post_init__(self) -> None:
        check_count("CBAM", "size", self.size, at_least=1)
        if self.size % 2 == 0:
            raise ValueError(f"CBAM: size is {self.size}; it wants an odd number")
        super().__post_init__()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        c, r = self.channels, reduced_width(self.channels, self.ratio)
        return {"w1": (r, c), "w2": (c, r), "w": (1, 2, self.size, self.size)}

    def macs(self, y: Array) -> int:
        w1, w2, w = (int(np.prod(shape)) for shape in self.shapes.values())
        return 2 * (w1 + w2) + w * int(y[0, 0].size)
