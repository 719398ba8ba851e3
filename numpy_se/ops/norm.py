"""Batch normalisation: every channel gets the mean ``beta`` and the deviation abs(``gamma``)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpy_se.contract import Array, check_eps, op
from numpy_se.sums import pixel_dot, pixel_sum


def _per_channel(a: Array) -> Array:
    return a[:, None, None]  # (C,) -> (C, 1, 1)


def _channel_sum(a: Array) -> Array:
    total: Array = pixel_sum(a).sum(axis=0)  # (N, C, H, W) -> (C,)
    return total


def _channel_dot(a: Array, b: Array) -> Array:
    total: Array = pixel_dot(a, b).sum(axis=0)
    return total


def values_per_channel(x: Array) -> int:
    """Count the values of a channel: N*H*W. Raises ValueError when it is 1."""
    count: int = x.size // x.shape[1]
    if count == 1:
        wanted = "it wants N*H*W of at least 2, as one value has no spread"
        raise ValueError(f"batch_norm: x has shape {x.shape}; {wanted}")
    return count


@op("N C H W, C, C -> N C H W")
def batch_norm(
    x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5
) -> tuple[Array, Callable[[Array], tuple[Array, Array, Array]]]:
    """Normalise every channel by the statistics of this batch (training).

        m[c]   = mean_nhw x             v[c] = mean_nhw (x - m)^2        M = N*H*W values each
        xhat   = (x - m) / sqrt(v + eps)
        y      = gamma * xhat + beta

    ``gamma`` and ``beta`` are shared by all M values of a channel:

        dgamma[c] = sum_nhw dy * xhat          dbeta[c] = sum_nhw dy

    ``x`` feeds xhat on three paths: directly, through m, and through v. With dxhat = gamma * dy
    and sigma = sqrt(v + eps):

        direct      dxhat / sigma
        through m   dm = -sum dxhat / sigma, and each x has the share 1/M in m
        through v   dv = -1/2 sum dxhat * xhat / sigma^2, and dv/dx = 2 (x - m) / M

    (m feeds v too, but that term is zero: the deviations x - m sum to 0.) Together:

        dx = gamma / sigma * (dy - mean_nhw dy - xhat * mean_nhw(dy * xhat))

    x (N, C, H, W), gamma (C,), beta (C,) give y (N, C, H, W). The variance is the biased one (1/M).
    Raises ValueError when N*H*W is 1: one value has no spread. Keeps xhat, 1/sigma and
    ``gamma``.
    Source: Ioffe and Szegedy, arXiv 1502.03167, Algorithm 1.
    """
    check_eps("batch_norm", eps)
    count = values_per_channel(x)
    mean = _channel_sum(x) / count  # (C,)
    xhat = x - _per_channel(mean)  # (N, C, H, W), not scaled yet
    variance = _channel_dot(xhat, xhat) / count  # (C,)
    scale = 1 / np.sqrt(variance + x.dtype.type(eps))  # (C,), 1/sigma
    xhat *= _per_channel(scale)
    y = xhat * _per_channel(gamma)  # (N, C, H, W)
    y += _per_channel(beta)

    def backward(dy: Array) -> tuple[Array, Array, Array]:
        dgamma = _channel_dot(dy, xhat)  # (C,)
        dbeta = _channel_sum(dy)  # (C,)
        dx = xhat * _per_channel(-dgamma / count)  # through v: (N, C, H, W)
        dx -= _per_channel(dbeta / count)  # through m
        dx += dy  # direct
        dx *= _per_channel(gamma * scale)
        return dx, dgamma, dbeta

    return y, backward


@op("N C H W, C, C, C, C -> N C H W")
def batch_norm_inference(
    x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, *, eps: float = 1e-5
) -> tuple[Array, Callable[[Array], tuple[Array, Array, Array, Array, Array]]]:
    """Normalise every channel by given statistics (inference).

        xhat = (x - mean) / sigma        sigma = sqrt(variance + eps)
        y    = gamma * xhat + beta

    The statistics do not depend on ``x``, so one path is left, and they get gradients themselves:

        dx        = gamma / sigma * dy
        dgamma    = sum_nhw dy * xhat          dbeta = sum_nhw dy
        dmean     = -gamma / sigma * sum_nhw dy
        dvariance = -gamma / (2 sigma^2) * sum_nhw dy * xhat

    x (N, C, H, W) and four arrays (C,) give y (N, C, H, W).
    Raises ValueError when a variance is negative. Keeps ``x``, ``gamma``, ``mean`` and 1/sigma.
    """
    check_eps("batch_norm_inference", eps)
    if (variance < 0).any():
        raise ValueError(f"batch_norm_inference: variance is {variance}; none may be negative")
    scale = 1 / np.sqrt(variance + x.dtype.type(eps))  # (C,), 1/sigma
    y = x - _per_channel(mean)  # (N, C, H, W)
    y *= _per_channel(gamma * scale)
    y += _per_channel(beta)

    def backward(dy: Array) -> tuple[Array, Array, Array, Array, Array]:
        centred = x - _per_channel(mean)  # (N, C, H, W)
        dgamma = _channel_dot(dy, centred) * scale  # (C,)
        dbeta = _channel_sum(dy)  # (C,)
        dx = np.multiply(dy, _per_channel(gamma * scale), out=centred)  # its room is free
        dmean = -gamma * scale * dbeta  # (C,)
        dvariance = -gamma * scale**2 / 2 * dgamma  # (C,)
        return dx, dgamma, dbeta, dmean, dvariance

    return y, backward
