"""Effective SE: one linear layer in place of the bottleneck, so that no channel is squeezed away.

    z = global_avg_pool(x)        s = hard_sigmoid(w z + b)        y = channel_scale(x, s)

The paper writes sigma for the gate; the authors' code takes the hard sigmoid.
Source: Lee and Park, "CenterMask", CVPR 2020, arXiv 1911.06667, section 3.3 (eSE).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from numpy_se.contract import Array, op
from numpy_se.ops import gated, global_avg_pool, hard_sigmoid, linear
from numpy_se.relatives.layer import Relative

Backward = Callable[[Array], tuple[Array, ...]]


@op("N C H W, C C, C -> N C")
def effective_gates(x: Array, w: Array, b: Array | None = None) -> tuple[Array, Backward]:
    """Compute the gates from all squeezed channels, by one layer.

        u = w z + b        s = hard_sigmoid(u)
        du = ds / 6 where -3 < u < 3        dz = du w        dw = du.T z        dx = dz / (H*W)

    What is forgotten most: w is square, so w and its transpose fit both; and a closed gate (u below
    -3 or above 3) hands nothing on.
    x (N, C, H, W), w (C, C), b (C,) or None give s (N, C); ``backward`` gives (dx, dw), then db.
    """
    z, back_squeeze = global_avg_pool(x)  # (N, C)
    u, back_linear = linear(z, w, b)  # (N, C)
    s, back_gate = hard_sigmoid(u)

    def backward(ds: Array) -> tuple[Array, ...]:
        dz, *dweights = back_linear(back_gate(ds))
        return back_squeeze(dz), *dweights

    return s, backward


@op("N C H W, C C, C -> N C H W")
def effective_se(x: Array, w: Array, b: Array | None = None) -> tuple[Array, Backward]:
    """Scale every channel by a gate that depends on all channels, by one layer.

        dx = s * dy + the gradient of the gates for ds = sum_hw dy * x            (see ``gated``)

    x (N, C, H, W), w (C, C), b (C,) or None give y; ``backward`` gives (dx, dw), then db.
    Source: Lee and Park, arXiv 1911.06667, section 3.3.
    """
    return gated(x, *effective_gates(x, w, b))


@dataclass(frozen=True)
class EffectiveSE(Relative):
    """``effective_se`` on ``channels`` channels. Parameters: w, b."""

    channels: int
    block = staticmethod(effective_se)
    gates_op = staticmethod(effective_gates)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"w": (self.channels, self.channels), "b": (self.channels,)}
