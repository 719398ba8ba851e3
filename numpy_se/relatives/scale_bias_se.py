"""SE with a bias: each channel is scaled, and shifted as well, as in Leela Chess Zero.

    z = global_avg_pool(x)        h = relu(w1 z + b1)        (u, v) = w2 h + b2, of size 2C
    y = sigmoid(u) * x + v

In Leela's nets a residual sum and a ReLU follow: ``add`` and ``relu``.
Source: the nets of Leela Chess Zero, "Neural network topology", lczero.org/dev/backend/nn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from numpy_se.contract import Array, op
from numpy_se.ops import (
    channel_scale,
    channel_shift,
    gated,
    global_avg_pool,
    linear,
    relu,
    sigmoid,
)
from numpy_se.relatives.layer import Relative
from numpy_se.se import reduced_width

Backward = Callable[[Array], tuple[Array, ...]]


@op("N C H W, R C, D R, R, D -> N D")
def scales_and_biases(
    x: Array, w1: Array, w2: Array, b1: Array, b2: Array
) -> tuple[Array, Backward]:
    """Compute two numbers for each channel from all of them: the bottleneck of SE, twice as wide.

        z = mean_hw x        h = w1 z + b1        uv = w2 relu(h) + b2

    x (N, C, H, W), w1 (R, C), w2 (2C, R), b1 (R,), b2 (2C,) give uv (N, 2C): first u, then v.
    Raises ValueError for another number of rows in w2.
    """
    if w2.shape[0] != 2 * x.shape[1]:
        wanted = f"2C = {2 * x.shape[1]} rows"
        raise ValueError(f"scales_and_biases: w2 has shape {w2.shape}; it wants {wanted}")
    z, back_squeeze = global_avg_pool(x)  # (N, C)
    h, back_linear1 = linear(z, w1, b1)  # (N, R)
    a, back_relu = relu(h)
    uv, back_linear2 = linear(a, w2, b2)  # (N, 2C)

    def backward(duv: Array) -> tuple[Array, ...]:
        da, dw2, db2 = back_linear2(duv)
        dz, dw1, db1 = back_linear1(back_relu(da))
        return back_squeeze(dz), dw1, dw2, db1, db2

    return uv, backward


@op("N C H W, N D -> N C H W")
def scale_and_shift(x: Array, uv: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """Scale every channel by sigmoid(u), and add v.

        y = s * x + v        s = sigmoid(u)
        dx = s * dy          du = s (1 - s) sum_hw dy * x          dv = sum_hw dy

    x (N, C, H, W), uv (N, 2C) give y. Raises ValueError for another width of ``uv``.
    """
    c = x.shape[1]
    if uv.shape[1] != 2 * c:
        raise ValueError(f"scale_and_shift: uv has shape {uv.shape}; it wants (N, {2 * c}), 2C")
    s, back_gate = sigmoid(uv[:, :c])  # (N, C)
    scaled, back_scale = channel_scale(x, s)
    y, back_shift = channel_shift(scaled, uv[:, c:])

    def backward(dy: Array) -> tuple[Array, Array]:
        dscaled, dv = back_shift(dy)
        dx, ds = back_scale(dscaled)
        return dx, np.concatenate([back_gate(ds), dv], axis=1)

    return y, backward


@op("N C H W, R C, D R, R, D -> N C H W")
def scale_bias_se(x: Array, w1: Array, w2: Array, b1: Array, b2: Array) -> tuple[Array, Backward]:
    """Scale and shift every channel by numbers that depend on all channels.

        dx = s * dy + the gradient of the bottleneck for (du, dv)                 (see ``gated``)

    What is forgotten most: dv, the path through the shift; the sigmoid is for u alone.
    x (N, C, H, W), w1 (R, C), w2 (2C, R), b1 (R,), b2 (2C,) give y (N, C, H, W); ``backward`` gives
    (dx, dw1, dw2, db1, db2). Raises ValueError for another number of rows in w2.
    """
    return gated(x, *scales_and_biases(x, w1, w2, b1, b2), scale_and_shift)


@dataclass(frozen=True)
class ScaleBiasSE(Relative):
    """``scale_bias_se`` on ``channels`` channels. Parameters: w1, w2, b1, b2. Its gates: s."""

    channels: int
    ratio: float = 16
    block = staticmethod(scale_bias_se)
    gates_op = staticmethod(scales_and_biases)

    def gates(self, params: Mapping[str, Array], x: Array) -> Array:
        """Compute the gates s (N, C), without the shifts."""
        return sigmoid(super().gates(params, x)[:, : self.channels])[0]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        c, r = self.channels, reduced_width(self.channels, self.ratio)
        return {"w1": (r, c), "w2": (2 * c, r), "b1": (r,), "b2": (2 * c,)}
