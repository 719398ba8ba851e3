"""Rows that become comparable: softmax, and layer normalisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpy_se.contract import Array, check_eps, op


@op("... -> ...")
def softmax(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Turn the numbers along the last axis into shares of one whole.

        y[k] = exp(x[k]) / sum_j exp(x[j])

    Each x is in its own numerator, and in the sum below all of them:

        dy[j]/dx[k] = y[j] * (1[j == k] - y[k])
        dx[k]       = y[k] * (dy[k] - sum_j dy[j] * y[j])

    The maximum is taken off first, which changes nothing and keeps exp from overflowing.
    ``x`` of any shape gives y of the same shape. Keeps y.
    """
    y: Array = x - x.max(axis=-1, keepdims=True)
    np.exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True)

    def backward(dy: Array) -> Array:
        dx: Array = dy - np.vecdot(dy, y)[..., None]
        dx *= y
        return dx

    return y, backward


@op("N C, C, C -> N C")
def layer_norm(
    x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5
) -> tuple[Array, Callable[[Array], tuple[Array, Array, Array]]]:
    """Normalise every sample by its own mean and deviation.

        m[n]  = mean_c x        v[n] = mean_c (x - m)^2
        xhat  = (x - m) / sqrt(v + eps)
        y     = gamma * xhat + beta

    As in ``batch_norm``, with the C values of a sample in place of the values of a channel:

        dgamma[c] = sum_n dy * xhat        dbeta[c] = sum_n dy
        dx = (dxhat - mean_c dxhat - xhat * mean_c(dxhat * xhat)) / sigma        dxhat = gamma * dy

    x (N, C), gamma (C,), beta (C,) give y (N, C). Keeps xhat, 1/sigma and ``gamma``.
    Source: Ba et al., arXiv 1607.06450, eq. 3 and 4.
    """
    check_eps("layer_norm", eps)
    channels = x.shape[1]
    xhat = x - x.mean(axis=1, keepdims=True)  # (N, C), not scaled yet
    variance = np.vecdot(xhat, xhat)[:, None] / channels  # (N, 1)
    scale = 1 / np.sqrt(variance + x.dtype.type(eps))  # 1/sigma
    xhat *= scale

    def backward(dy: Array) -> tuple[Array, Array, Array]:
        dgamma = np.einsum("nc,nc->c", dy, xhat)  # (C,)
        dxhat = dy * gamma  # (N, C)
        shift = np.vecdot(dxhat, xhat)[:, None] / channels
        dx = dxhat - dxhat.mean(axis=1, keepdims=True) - xhat * shift
        return dx * scale, dgamma, dy.sum(axis=0)

    return xhat * gamma + beta, backward
