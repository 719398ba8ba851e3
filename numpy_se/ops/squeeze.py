"""Other squeezes than mean and maximum: deviation, norm, and a weighted sum of the pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpy_se.contract import Array, check_eps, op
from numpy_se.parallel import by_size, in_order
from numpy_se.sums import pixel_dot, pixel_sum

CHUNK = 2**20  # bytes of a chunk: it stays in the cache


@op("N C H W -> N C")
def global_std_pool(x: Array, *, eps: float = 1e-5) -> tuple[Array, Callable[[Array], Array]]:
    """Squeeze every channel of ``x`` to its standard deviation.

        z[n,c] = sqrt(1/(H*W) * sum_hw (x - m)^2 + eps)        m[n,c] = mean_hw x

    The derivative of the root is 1/(2z), and that of the mean of squares is 2 (x - m) / (H*W). (The
    path through m is zero: the deviations x - m sum to 0.)

        dx[n,c,h,w] = (x[n,c,h,w] - m[n,c]) / (H*W * z[n,c]) * dz[n,c]

    The variance is the biased one, 1/(H*W); that of SRM's authors is unbiased.
    With ``eps`` > 0 a constant channel has a gradient: 0.
    x (N, C, H, W) gives z (N, C). Keeps ``x``, m and z.
    Source: the style pooling of Lee et al., SRM, arXiv 1903.10829, eq. 2.
    """
    check_eps("global_std_pool", eps)
    m, z = _mean_and_deviation(x, eps)  # (N, C)
    pixels = x.shape[2] * x.shape[3]

    def backward(dz: Array) -> Array:
        dx: Array = x - m[:, :, None, None]  # (N, C, H, W)
        dx *= (dz / (pixels * z))[:, :, None, None]
        return dx

    return z, backward


@op("N C H W -> N C 2")
def style_pool(x: Array, *, eps: float = 1e-5) -> tuple[Array, Callable[[Array], Array]]:
    """Squeeze every channel of ``x`` to its style: its mean m, and its standard deviation z.

        m[n,c] = mean_hw x        z[n,c] = sqrt(mean_hw (x - m)^2 + eps)        t = (m, z)

    ``x`` feeds both, so its gradient is the sum of those of ``global_avg_pool`` and of
    ``global_std_pool``, which has the derivation:

        dx[n,c,h,w] = dm[n,c] / (H*W) + (x[n,c,h,w] - m[n,c]) / (H*W * z[n,c]) * dz[n,c]

    With ``eps`` > 0 a constant channel has a gradient: that of the mean.
    x (N, C, H, W) gives t (N, C, 2). Keeps ``x``, m and z.
    Source: the style pooling of Lee et al., SRM, arXiv 1903.10829, section 3.
    """
    check_eps("style_pool", eps)
    m, z = _mean_and_deviation(x, eps)  # (N, C)
    pixels = x.shape[2] * x.shape[3]

    def backward(dt: Array) -> Array:
        dm, dz = dt[:, :, 0], dt[:, :, 1]
        dx: Array = x - m[:, :, None, None]  # (N, C, H, W)
        dx *= (dz / (pixels * z))[:, :, None, None]
        dx += (dm / pixels)[:, :, None, None]
        return dx

    return np.stack([m, z], axis=2), backward


def _mean_and_deviation(x: Array, eps: float) -> tuple[Array, Array]:
    """Compute both (N, C), a few samples at a time, as x - m is a new array.

    Where the mean is far from 0, m has a rounding error that is large beside the deviation. It is
    the mean of x - m, and is added to m; its square is no part of the variance.
    """
    pixels = x.shape[2] * x.shape[3]
    m = pixel_sum(x) / pixels
    z = np.empty_like(m)

    def forward(part: slice) -> None:
        centred = x[part] - m[part, :, None, None]
        rest = pixel_sum(centred) / pixels
        variance = np.maximum(pixel_dot(centred, centred) / pixels - rest * rest, 0)
        z[part] = np.sqrt(variance + x.dtype.type(eps))
        m[part] += rest

    in_order(forward, by_size(len(x), x.nbytes, CHUNK))
    return m, z


@op("N C H W -> N C")
def global_l2_pool(x: Array, *, eps: float = 1e-5) -> tuple[Array, Callable[[Array], Array]]:
    """Squeeze every channel of ``x`` to its length, the L2 norm.

        z[n,c] = sqrt(sum_hw x^2 + eps)
        dx[n,c,h,w] = x[n,c,h,w] / z[n,c] * dz[n,c]

    as the derivative of the root is 1/(2z), and that of the square 2x. With ``eps`` > 0 there is no
    kink where a channel is 0.
    x (N, C, H, W) gives z (N, C). Keeps ``x`` and z.
    Source: Yang et al., Gated Channel Transformation, arXiv 1909.11519, eq. 1.
    """
    check_eps("global_l2_pool", eps)
    z = np.sqrt(pixel_dot(x, x) + x.dtype.type(eps))  # (N, C)

    def backward(dz: Array) -> Array:
        return x * (dz / z)[:, :, None, None]  # (N, C, H, W)

    return z, backward


@op("N C H W, N 1 H W -> N C")
def weighted_pool(x: Array, a: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """Squeeze every channel of ``x`` to a sum of its pixels, by one weight for each pixel.

        z[n,c] = sum_hw a[n,0,h,w] * x[n,c,h,w]

    With a = 1/(H*W) it is the mean, with a softmax of scores it is attention. Each factor of the
    product is the gradient of the other, summed over what shares it:

        dx[n,c,h,w] = a[n,0,h,w] * dz[n,c]
        da[n,0,h,w] = sum_c dz[n,c] * x[n,c,h,w]

    x (N, C, H, W) and a (N, 1, H, W) give z (N, C). Keeps ``a``, and ``x``, or a
    copy of it where its pixels do not lie evenly in memory.
    Source: the context modelling of Cao et al., GCNet, arXiv 1904.11492, section 3.3.
    """
    n, c = x.shape[:2]
    rows = x.reshape(n, c, -1)  # (N, C, H*W)
    z = (rows @ a.reshape(n, -1, 1))[:, :, 0]

    def backward(dz: Array) -> tuple[Array, Array]:
        dx = a * dz[:, :, None, None]  # (N, C, H, W)
        da = (dz[:, None] @ rows).reshape(a.shape)
        return dx, da

    return z, backward
