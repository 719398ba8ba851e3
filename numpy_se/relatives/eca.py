"""ECA: each gate from a few neighbouring channels, in place of a bottleneck of all of them.

    z = global_avg_pool(x)
    s = sigmoid(channel_correlate(z, w))            eq. 7 and 9
    y = channel_scale(x, s)

It has K weights where SE has 2 C R. The price: a gate sees K channels, those beside its own.
Source: Wang, Wu, Zhu, Li, Zuo, Hu, "ECA-Net", CVPR 2020, arXiv 1910.03151.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_se.contract import Array, check_count, op
from numpy_se.nets.layer import Params, check_rng
from numpy_se.ops import channel_correlate, gated, global_avg_pool, sigmoid
from numpy_se.relatives.layer import Relative

Backward = Callable[[Array], tuple[Array, Array]]


@op("N C H W, K -> N C")
def eca_gates(x: Array, w: Array, *, circular: bool = False) -> tuple[Array, Backward]:
    """Compute the gates: mean of each channel, mixed with its neighbours.

        z[n,c] = mean_hw x        u[n,c] = sum_k w[k] z[n, c + k - (K-1)/2]        s = sigmoid(u)

    Back through the three steps, the last one first:

        du = ds s (1 - s)        dz[n,c] = sum_k w[k] du[n, c - k + (K-1)/2]        dx = dz / (H*W)

    What is forgotten most: w is turned on the way back (``channel_correlate``).
    x (N, C, H, W), w (K,), K odd, give s (N, C). ``circular`` joins the last channel to the first.
    """
    z, back_squeeze = global_avg_pool(x)  # (N, C)
    u, back_mix = channel_correlate(z, w, circular=circular)  # (N, C)
    s, back_gate = sigmoid(u)  # (N, C)

    def backward(ds: Array) -> tuple[Array, Array]:
        dz, dw = back_mix(back_gate(ds))
        return back_squeeze(dz), dw

    return s, backward


@op("N C H W, K -> N C H W")
def eca(x: Array, w: Array, *, circular: bool = False) -> tuple[Array, Backward]:
    """Scale every channel by a gate that depends on its neighbours among the channels.

        dx = s * dy + the gradient of the gates for ds = sum_hw dy * x            (see ``gated``)

    x (N, C, H, W), w (K,), K odd, give y (N, C, H, W); ``backward`` gives (dx, dw).
    Raises ValueError for an even K. Source: Wang et al., arXiv 1910.03151, eq. 7 and 9.
    """
    return gated(x, *eca_gates(x, w, circular=circular))


def eca_size(channels: int) -> int:
    """Compute the number of weights K from the number of channels: a kernel grows with log2(C).

        K = (log2(C) + 1) / 2, cut to a whole number, and one more where that is even        eq. 12

    So the authors' code rounds it; their gamma is 2, and their b is 1. For less than 8 channels it
    is 1: no neighbours. Others take at least 3.
    """
    check_count("eca_size", "channels", channels, at_least=1)
    size = int((math.log2(channels) + 1) / 2)
    return size if size % 2 else size + 1


@dataclass(frozen=True)
class ECA(Relative):
    """``eca`` on ``channels`` channels. Parameters: w, of ``size`` or else ``eca_size`` weights."""

    channels: int
    size: int | None = None
    circular: bool = False
    block = staticmethod(eca)
    gates_op = staticmethod(eca_gates)

    @property
    def options(self) -> dict[str, Any]:
        return {"circular": self.circular}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"w": (eca_size(self.channels) if self.size is None else self.size,)}

    def __post_init__(self) -> None:
        if self.size is not None:
            check_count("ECA", "size", self.size, at_least=1)
            if self.size % 2 == 0:
                raise ValueError(f"ECA: size is {self.size}; it wants an odd number")
        super().__post_init__()

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        """Draw w evenly within 1/sqrt(K) of 0, as PyTorch's convolution does."""
        check_rng("init", rng)
        (shape,) = self.shapes.values()
        return {"w": rng.uniform(-1, 1, shape).astype(dtype) / dtype(math.sqrt(*shape))}

    def macs(self, y: Array) -> int:
        return self.channels * self.shapes["w"][0]
