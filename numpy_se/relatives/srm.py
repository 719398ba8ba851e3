"""SRM: the style of each channel, its mean and its deviation, decides its own gate.

    u[n,c] = w[c,0] mean + w[c,1] deviation        style integration, eq. 3
    s = sigmoid(batch_norm(u))                     eq. 4

No channel looks at another one. The deviation is the biased one; the authors' code takes the
unbiased one.
Source: Lee, Kim, Nam, "SRM: A Style-based Recalibration Module for Convolutional Neural Networks",
ICCV 2019, arXiv 1903.10829.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from numpy_se.contract import Array, op
from numpy_se.nets.layer import LayerBackward, Params, apply_op, check_rng
from numpy_se.nets.layers import BatchNorm
from numpy_se.ops import batch_norm, gated, sigmoid, style_pool
from numpy_se.relatives.layer import Relative

Backward = Callable[[Array], tuple[Array, ...]]
Norm = Callable[[Array, Array, Array], Any]  # (N, C, 1, 1), gamma, beta -> y, backward


@op("N C H W, C 2, C, C -> N C")
def srm_gates(
    x: Array, w: Array, gamma: Array, beta: Array, *, norm: Norm = batch_norm
) -> tuple[Array, Backward]:
    """Compute the gates from mean and deviation, made comparable over the batch.

        u = w[c,0] m + w[c,1] sigma        s = sigmoid(norm(u))

    ``x`` feeds both. With du behind the sigmoid and the norm:

        dm = w[c,0] du        dsigma = w[c,1] du        dw[c] = (sum_n du m, sum_n du sigma)

    What is forgotten most: that batch norm mixes the samples, so dx of one depends on all others.
    x (N, C, H, W), w (C, 2), gamma, beta (C,) give s (N, C). ``norm`` takes (N, C, 1, 1), gamma and
    beta; that of training is ``batch_norm``. Raises ValueError for one sample: it has no spread.
    """
    if norm is batch_norm and len(x) == 1:
        raise ValueError("srm_gates: N is 1; batch norm wants at least 2 samples")
    t, back_pool = style_pool(x)  # (N, C, 2)
    u = (w * t).sum(axis=2)
    v, back_norm = norm(u[:, :, None, None], gamma, beta)  # (N, C, 1, 1)
    s, back_gate = sigmoid(v[:, :, 0, 0])

    def backward(ds: Array) -> tuple[Array, ...]:
        du, dgamma, dbeta = back_norm(back_gate(ds)[:, :, None, None])
        du = du[:, :, :, 0]  # (N, C, 1)
        return back_pool(w * du), (du * t).sum(axis=0), dgamma, dbeta

    return s, backward


@op("N C H W, C 2, C, C -> N C H W")
def srm(
    x: Array, w: Array, gamma: Array, beta: Array, *, norm: Norm = batch_norm
) -> tuple[Array, Backward]:
    """Scale every channel by a gate that depends on its own style.

        dx = s * dy + the gradient of the gates for ds = sum_hw dy * x            (see ``gated``)

    x (N, C, H, W), w (C, 2), gamma, beta (C,) give y; ``backward`` gives (dx, dw, dgamma, dbeta).
    Raises ValueError for one sample. Source: Lee et al., arXiv 1903.10829, eq. 3 and 4.
    """
    return gated(x, *srm_gates(x, w, gamma, beta, norm=norm))


@dataclass(frozen=True)
class SRM(Relative):
    """``srm`` on ``channels`` channels. Parameters: w, gamma, beta; statistics as in BatchNorm.

    Squeezing counts as three additions for each entry: its mean, the distance from it, and the sum
    of squares.
    """

    channels: int
    squeezes = 3
    statistics = BatchNorm.statistics

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"w": (self.channels, 2)} | BatchNorm(self.channels).shapes

    @property
    def names(self) -> tuple[str, ...]:
        return ("w", "gamma", "beta")

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        check_rng("init", rng)
        start: Params = {"w": np.zeros((self.channels, 2), dtype)}  # as the authors: gates of 1/2
        return start | BatchNorm(self.channels).init(rng, dtype)

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        self.check_channels(x)
        return apply_op(self, partial(srm, norm=self._norm(params)), params, x)

    def train(
        self, params: Mapping[str, Array], x: Array, rng: np.random.Generator
    ) -> tuple[Array, LayerBackward, Params]:
        self.check_channels(x)
        seen: Params = {}
        norm = self._norm(params, rng, seen)
        return *apply_op(self, partial(srm, norm=norm), params, x), seen

    def gates(self, params: Mapping[str, Array], x: Array) -> Array:
        self.check_channels(x)
        weights = (params[name] for name in self.names)
        return srm_gates(x, *weights, norm=self._norm(params))[0]

    def _norm(
        self, params: Mapping[str, Array], rng: np.random.Generator | None = None, seen: Any = None
    ) -> Norm:
        """Batch norm of the layer, in training where there is a generator; it fills ``seen``."""
        layer = BatchNorm(self.channels)

        def norm(u: Array, gamma: Array, beta: Array) -> Any:
            if rng is None:
                y, backward = layer(params, u)
            else:
                y, backward, after = layer.train(params, u, rng)
                seen.update(after)

            def back(dy: Array) -> tuple[Array, ...]:
                dx, gradients = backward(dy)
                return dx, *gradients.values()

            return y, back

        return norm

    def macs(self, y: Array) -> int:
        return 2 * self.channels

    def counts(self, y: Array) -> dict[str, int]:
        return super().counts(y) | {"statistics": 2 * self.channels}
