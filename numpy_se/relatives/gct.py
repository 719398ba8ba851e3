"""GCT: channels that compete or help each other, with three numbers for each.

    e = alpha * |x|                      embedding: the length of each channel       eq. 1
    n = e / rms of all e                 normalisation over the channels             eq. 2
    s = 1 + tanh(gamma * n + beta)       gating                                      eq. 3

Source: Yang, Zhu, Wu, Yang, "Gated Channel Transformation", CVPR 2020, arXiv 1909.11519.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from numpy_se.contract import Array, op
from numpy_se.nets.layer import Params, check_rng
from numpy_se.ops import channel_normalise, gated, global_l2_pool, tanh
from numpy_se.relatives.layer import Relative

Backward = Callable[[Array], tuple[Array, ...]]


@op("N C H W, C, C, C -> N C")
def gct_gates(
    x: Array, alpha: Array, gamma: Array, beta: Array, *, eps: float = 1e-5
) -> tuple[Array, Backward]:
    """Compute the gates: length of each channel, compared with those of the others.

        e = alpha |x|        n = e / sigma        s = 1 + tanh(t),  t = gamma n + beta

        dt = ds (1 - tanh(t)^2)        dgamma = sum_n dt n        dbeta = sum_n dt
        dn = gamma dt,  de by ``channel_normalise``,  dalpha = sum_n de |x|,  d|x| = alpha de

    ``eps`` is added below both roots, where the paper's eq. 2 has eps / C in the second one; so the
    authors' code does. At the start, with gamma = beta = 0, the gates are 1.
    What is forgotten most: the path through sigma. Each channel is in the scale of all.
    x (N, C, H, W), alpha, gamma, beta (C,) give s (N, C).
    """
    length, back_length = global_l2_pool(x, eps=eps)  # (N, C)
    n, back_normalise = channel_normalise(alpha * length, eps=eps)
    t, back_tanh = tanh(gamma * n + beta)

    def backward(ds: Array) -> tuple[Array, ...]:
        dt = back_tanh(ds)  # (N, C)
        de = back_normalise(gamma * dt)
        dx = back_length(alpha * de)
        return dx, (de * length).sum(axis=0), (dt * n).sum(axis=0), dt.sum(axis=0)

    return 1 + t, backward


@op("N C H W, C, C, C -> N C H W")
def gct(
    x: Array, alpha: Array, gamma: Array, beta: Array, *, eps: float = 1e-5
) -> tuple[Array, Backward]:
    """Scale every channel by a gate around 1, which depends on the lengths of all channels.

        dx = s * dy + the gradient of the gates for ds = sum_hw dy * x            (see ``gated``)

    x (N, C, H, W), alpha, gamma, beta (C,) give y; ``backward`` gives (dx, dalpha, dgamma, dbeta).
    Source: Yang et al., arXiv 1909.11519, eq. 1 to 3.
    """
    return gated(x, *gct_gates(x, alpha, gamma, beta, eps=eps))


@dataclass(frozen=True)
class GCT(Relative):
    """``gct`` on ``channels`` channels. Parameters: alpha, gamma, beta. At the start, y = x."""

    channels: int
    block = staticmethod(gct)
    gates_op = staticmethod(gct_gates)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("alpha", "gamma", "beta"), (self.channels,))

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        check_rng("init", rng)
        start = {"alpha": 1, "gamma": 0, "beta": 0}
        return {name: np.full(self.channels, value, dtype) for name, value in start.items()}

    def macs(self, y: Array) -> int:
        return 4 * self.channels  # alpha |x|, the sum of squares, 1 / sigma, gamma n + beta
