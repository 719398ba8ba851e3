"""Global context: attention decides which pixels are squeezed, and the result is added to all.

    a = softmax over pixels of (wk x)              one weight for each pixel
    z = sum_hw a x                                 context: SE has the mean here
    t = w2 relu(layer_norm(w1 z + b1)) + b2        transform
    y = x + t                                      fusion; or y = gate(t) * x

Source: Cao, Xu, Lin, Wei, Hu, "GCNet", arXiv 1904.11492, section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_se.contract import Array, check_op, op, run_op
from numpy_se.nets.layer import Params, Step, spelled
from numpy_se.ops import (
    channel_scale,
    channel_shift,
    gated,
    layer_norm,
    linear,
    one_map,
    relu,
    softmax,
    weighted_pool,
)
from numpy_se.relatives.layer import Relative
from numpy_se.se import UnaryOp, reduced_width

Backward = Callable[[Array], tuple[Array, ...]]


@op("N C H W, C -> N C")
def attention_pool(x: Array, wk: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """Squeeze every channel to a mean of its pixels, weighted by how much each pixel matters.

        k[n,hw] = sum_c wk[c] x[n,c,hw]        a = softmax over hw of k        z[n,c] = sum_hw a x

    ``x`` is used twice, as in the block itself: it is summed, and it decides the weights.

        dx = a dz + wk dk        dk by the softmax, from da[n,hw] = sum_c dz x

    A constant added to k changes nothing, so there is no bias.
    x (N, C, H, W), wk (C,) give z (N, C); ``backward`` gives (dx, dwk).
    """
    k, back_map = one_map(x, wk)  # (N, 1, H, W)
    a, back_softmax = softmax(k.reshape(len(x), -1))  # (N, H*W)
    z, back_sum = weighted_pool(x, a.reshape(k.shape))  # (N, C)

    def backward(dz: Array) -> tuple[Array, Array]:
        dx, da = back_sum(dz)
        dk = back_softmax(da.reshape(a.shape)).reshape(k.shape)
        dx_weights, dwk = back_map(dk)
        dx += dx_weights  # x is summed, and decides the weights
        return dx, dwk

    return z, backward


@op("N C H W, C, R C, C R, R, R, R, C -> N C")
def context(
    x: Array, wk: Array, w1: Array, w2: Array, gamma: Array, beta: Array, b1: Array, b2: Array
) -> tuple[Array, Backward]:
    """Compute one number for each channel: attention, then a bottleneck with layer norm.

        z = attention_pool(x, wk)        h = layer_norm(w1 z + b1)        t = w2 relu(h) + b2

    The steps are undone in turn. What is forgotten most: the softmax, and the mean in the norm.
    x (N, C, H, W) and the weights give t (N, C); ``backward`` gives dx, then the gradients of the
    weights in their order. Raises ValueError for R = 1: the norm of one number is beta, whatever it
    was.
    """
    if len(w1) == 1:
        raise ValueError(f"context: w1 has shape {w1.shape}; layer norm wants R of at least 2")
    z, back_pool = attention_pool(x, wk)  # (N, C)
    u, back_linear1 = linear(z, w1, b1)  # (N, R)
    h, back_norm = layer_norm(u, gamma, beta)
    a, back_relu = relu(h)
    t, back_linear2 = linear(a, w2, b2)  # (N, C)

    def backward(dt: Array) -> tuple[Array, ...]:
        da, dw2, db2 = back_linear2(dt)
        du, dgamma, dbeta = back_norm(back_relu(da))
        dz, dw1, db1 = back_linear1(du)
        dx, dwk = back_pool(dz)
        return dx, dwk, dw1, dw2, dgamma, dbeta, db1, db2

    return t, backward


@op("N C H W, C, R C, C R, R, R, R, C -> N C H W")
def global_context(
    x: Array,
    wk: Array,
    w1: Array,
    w2: Array,
    gamma: Array,
    beta: Array,
    b1: Array,
    b2: Array,
    *,
    gate: UnaryOp | None = None,
) -> tuple[Array, Backward]:
    """Add the context to every pixel, or with a ``gate`` such as sigmoid, scale by it.

        y = x + t        dx = dy + the gradient of the context for dt = sum_hw dy
        y = gate(t) x    dx = s dy + the same for dt = gate'(t) sum_hw dy x       (see ``gated``)

    x (N, C, H, W), wk (C,), w1 (R, C), w2 (C, R), gamma, beta, b1 (R,), b2 (C,) give y.
    Raises ValueError for R = 1. Source: Cao et al., arXiv 1904.11492, section 3.3.
    """
    t, back_context = context(x, wk, w1, w2, gamma, beta, b1, b2)
    if gate is None:
        return gated(x, t, back_context, channel_shift)
    s, back_gate = run_op("global_context: gate", gate, t)
    return gated(x, s, lambda ds: back_context(back_gate(ds)), channel_scale)


@dataclass(frozen=True)
class GlobalContext(Relative):
    """``global_context`` on ``channels`` channels. Parameters: wk, w1, w2, gamma, beta, b1, b2.

    At the start, wk is 0, and all pixels have the same weight. Raises ValueError for a ratio that
    leaves less than two hidden units.
    """

    channels: int
    ratio: float = 16
    gate: UnaryOp | None = None
    block = staticmethod(global_context)

    gates_op = staticmethod(context)

    def __post_init__(self) -> None:
        if self.gate is not None:
            check_op("GlobalContext: gate", self.gate)
        super().__post_init__()
        if self.shapes["gamma"] == (1,):
            got = f"ratio is {self.ratio} for {self.channels} channels"
            raise ValueError(f"GlobalContext: {got}; layer norm wants two hidden units or more")

    def __repr__(self) -> str:
        gate = spelled(self.gate)
        return f"GlobalContext(channels={self.channels}, ratio={self.ratio}, gate={gate})"

    def gates(self, params: Mapping[str, Array], x: Array) -> Array:
        """Compute the gates (N, C), or what is added where there is no ``gate``."""
        self.check_channels(x)
        t: Array = context(x, *(params[name] for name in self.names))[0]
        return t if self.gate is None else run_op("GlobalContext: gate", self.gate, t)[0]

    def walk(self, params: Mapping[str, Array], x: Array) -> Generator[Step, None, Array]:
        """Give no gates where there is no ``gate``: what is added is none."""
        if self.gate is not None:
            return (yield from super().walk(params, x))
        y, _ = self(params, x)
        yield Step("", self, x, y, None)
        return y

    @property
    def options(self) -> dict[str, Any]:
        return {"gate": self.gate}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        c, r = self.channels, reduced_width(self.channels, self.ratio)
        rest: dict[str, tuple[int, ...]] = dict.fromkeys(("gamma", "beta", "b1"), (r,))
        return {"wk": (c,), "w1": (r, c), "w2": (c, r), **rest, "b2": (c,)}

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        start: Params = {"gamma": np.ones(self.shapes["gamma"], dtype)}
        return super().init(rng, dtype) | start

    def macs(self, y: Array) -> int:
        return super().macs(y) + int(y[0].size)
