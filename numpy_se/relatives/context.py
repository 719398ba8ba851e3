"""The context of a map: attention decides which pixels are squeezed, a bottleneck what it means.

    a = softmax over pixels of (wk x)              one weight for each pixel
    z = sum_hw a x                                 SE has the mean here
    t = w2 relu(layer_norm(w1 z + b1)) + b2

Source: Cao, Xu, Lin, Wei, Hu, "GCNet", arXiv 1904.11492, section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpy_se.contract import Array, op
from numpy_se.ops import layer_norm, linear, relu, softmax

Backward = Callable[[Array], tuple[Array, ...]]


@op("N C H W, C -> N C")
def attention_pool(x: Array, wk: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """Squeeze every channel to a mean of its pixels, weighted by how much each pixel matters.

        k[n,hw] = sum_c wk[c] x[n,c,hw]        a = softmax over hw of k        z[n,c] = sum_hw a x

    ``x`` is used twice, as in the block itself: it is summed, and it decides the weights.

        da[n,hw] = sum_c dz x        dk by the softmax        dwk[c] = sum_n,hw dk x
        dx = dz a + wk dk            two terms for each entry: a product of C x 2 with 2 x H*W

    A constant added to k changes nothing, so there is no bias.
    x (N, C, H, W), wk (C,) give z (N, C); ``backward`` gives (dx, dwk). Keeps a and wk, and x, or
    a copy of it where its pixels do not lie evenly in memory.
    Source: Cao et al., GCNet, arXiv 1904.11492, section 3.3.
    """
    shape = x.shape
    rows = x.reshape(*shape[:2], -1)  # (N, C, H*W)
    a, back_softmax = softmax(wk @ rows)  # (N, H*W)
    z = (rows @ a[:, :, None])[:, :, 0]

    def backward(dz: Array) -> tuple[Array, Array]:
        dk = back_softmax((dz[:, None] @ rows)[:, 0])  # (N, H*W)
        dk -= a * dk.sum(axis=1, keepdims=True)  # without rounding, the sum is 0; dwk needs it
        factors = np.stack([dz, np.broadcast_to(wk, dz.shape)], axis=2)  # (N, C, 2)
        dx = factors @ np.stack([a, dk], axis=1)  # one pass; x is summed, and decides the weights
        dwk = (rows @ dk[:, :, None]).sum(axis=0)[:, 0]
        return dx.reshape(shape), dwk

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
