"""scSE: SE for the channels, and beside it a gate for each pixel.

    cSE     y = x scaled by channel: the SE block, with R = C/2
    sSE     y = x scaled by pixel: u = w x + b, one number for each pixel
    scSE    y = cSE + sSE

cSE asks what is in the map and forgets where; sSE asks what is at a pixel and sees no other pixel.
Source: Roy, Navab, Wachinger, "Concurrent Spatial and Channel Squeeze & Excitation in Fully
Convolutional Networks", MICCAI 2018, arXiv 1803.02579.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from numpy_se.contract import Array, op
from numpy_se.ops import gated, one_map, pixel_scale, sigmoid
from numpy_se.relatives.layer import Relative
from numpy_se.se import excitation, reduced_width, squeeze_excite

Backward = Callable[[Array], tuple[Array, ...]]


@op("N C H W, C, 1 -> N 1 H W")
def spatial_gates(x: Array, w: Array, b: Array | None = None) -> tuple[Array, Backward]:
    """Compute one gate for each pixel, from its channels.

        u[n,0,h,w] = sum_c w[c] x[n,c,h,w] + b        s = sigmoid(u)
        du = ds s (1 - s)        dx[n,c,h,w] = w[c] du[n,0,h,w]        dw[c] = sum_nhw x du

    x (N, C, H, W), w (C,), b (1,) or None give s (N, 1, H, W).
    """
    u, back_map = one_map(x, w, b)  # (N, 1, H, W)
    s, back_gate = sigmoid(u)
    return s, lambda ds: back_map(back_gate(ds))


@op("N C H W, C, 1 -> N C H W")
def spatial_se(x: Array, w: Array, b: Array | None = None) -> tuple[Array, Backward]:
    """Scale every pixel by a gate that depends on its channels: sSE.

        dx[n,c,h,w] = s dy + w[c] s (1 - s) ds        ds[n,0,h,w] = sum_c dy x     (see ``gated``)

    What is forgotten most: the gate path, and that a gate is shared by all channels (the sum).
    x (N, C, H, W), w (C,), b (1,) or None give y (N, C, H, W); ``backward`` gives (dx, dw), then db
    where the bias was given. Source: Roy et al., arXiv 1803.02579, section 2 (sSE).
    """
    s, back_gates = spatial_gates(x, w, b)
    return gated(x, s, back_gates, pixel_scale)


@op("N C H W, R C, C R, C -> N C H W")
def scse(x: Array, w1: Array, w2: Array, w: Array) -> tuple[Array, Backward]:
    """Add the two: the map scaled by channel, and the map scaled by pixel.

        y = squeeze_excite(x, w1, w2) + spatial_se(x, w)

    ``x`` feeds both blocks, each on two paths: dx is the sum of four terms.
    x (N, C, H, W), w1 (R, C), w2 (C, R), w (C,) give y; ``backward`` gives (dx, dw1, dw2, dw).
    Source: Roy et al., arXiv 1803.02579, section 2 (scSE).
    """
    by_channel, back_channel = squeeze_excite(x, w1, w2)
    by_pixel, back_pixel = spatial_se(x, w)

    def backward(dy: Array) -> tuple[Array, ...]:
        dx, dw1, dw2 = back_channel(dy)
        dx_pixel, dw = back_pixel(dy)
        dx += dx_pixel  # x feeds both blocks
        return dx, dw1, dw2, dw

    return by_channel + by_pixel, backward


@dataclass(frozen=True)
class SpatialSE(Relative):
    """``spatial_se`` on ``channels`` channels. Parameters: w, b. Its gates are (N, 1, H, W).

    At the start, w and b are 0, and each gate is 1/2. Nothing is squeezed.
    """

    channels: int
    squeezes = 0
    block = staticmethod(spatial_se)
    gates_op = staticmethod(spatial_gates)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"w": (self.channels,), "b": (1,)}

    def macs(self, y: Array) -> int:
        return int(y[0].size)


@dataclass(frozen=True)
class SCSE(Relative):
    """``scse`` on ``channels`` channels. Parameters: w1, w2, w. Its gates are those of cSE.

    At the start, w is 0, and the gate of each pixel is 1/2.
    """

    channels: int
    ratio: float = 2
    scales = 2
    block = staticmethod(scse)
    gates_op = staticmethod(lambda x, w1, w2, w: excitation(x, w1, w2))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        c, r = self.channels, reduced_width(self.channels, self.ratio)
        return {"w1": (r, c), "w2": (c, r), "w": (c,)}

    def macs(self, y: Array) -> int:
        return super().macs(y) + int(y[0].size)
