"""The blocks around SE as a course writes them in NumPy: y, and the gradients of x and the weights.

Each takes ``x, ..., dy``, and gives ``y, dx, ...``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import textbook


def sigmoid(u: Any) -> Any:
    return 1 / (1 + np.exp(-u))


def per_channel(a: Any) -> Any:
    return a[:, :, None, None]


def mean_back(dz: Any, x: Any) -> Any:
    """The gradient of a mean over the pixels, for each pixel."""
    return per_channel(dz) / (x.shape[2] * x.shape[3])


def se(x: Any, w1: Any, w2: Any, dy: Any) -> Any:
    y, backward = textbook.se(x, w1, w2)
    return y, *backward(dy)


def eca(x: Any, w: Any, dy: Any) -> Any:
    z, c = x.mean(axis=(2, 3)), x.shape[1]
    wide = np.pad(z, ((0, 0), (1, 1)))
    s = sigmoid(sum(w[k] * wide[:, k : k + c] for k in range(3)))
    ds = (dy * x).sum(axis=(2, 3))
    du = np.pad(ds * s * (1 - s), ((0, 0), (1, 1)))
    dw = np.array([(du[:, 1:-1] * wide[:, k : k + c]).sum() for k in range(3)])
    dz = sum(w[k] * du[:, 2 - k : 2 - k + c] for k in range(3))
    return x * per_channel(s), dy * per_channel(s) + mean_back(dz, x), dw


def spatial_se(x: Any, w: Any, dy: Any) -> Any:
    weights = w[:, None, None]
    s = sigmoid((weights * x).sum(axis=1, keepdims=True))
    ds = (dy * x).sum(axis=1, keepdims=True)
    du = ds * s * (1 - s)
    return x * s, dy * s + weights * du, (x * du).sum(axis=(0, 2, 3))


def scse(x: Any, w1: Any, w2: Any, w: Any, dy: Any) -> Any:
    y1, dx1, dw1, dw2 = se(x, w1, w2, dy)
    y2, dx2, dw = spatial_se(x, w, dy)
    return y1 + y2, dx1 + dx2, dw1, dw2, dw


def cbam(x: Any, w1: Any, w2: Any, w: Any, dy: Any) -> Any:
    n, c = x.shape[:2]
    pixels = x.reshape(n, c, -1)
    winner = pixels.argmax(axis=2)[:, :, None]
    z1, z2 = x.mean(axis=(2, 3)), np.take_along_axis(pixels, winner, axis=2)[:, :, 0]
    h1, h2 = z1 @ w1.T, z2 @ w1.T
    a1, a2 = np.maximum(h1, 0), np.maximum(h2, 0)
    s = sigmoid(a1 @ w2.T + a2 @ w2.T)
    y1 = x * per_channel(s)
    best = y1.argmax(axis=1)[:, None]
    both = np.concatenate([y1.mean(axis=1, keepdims=True), np.take_along_axis(y1, best, 1)], axis=1)
    u, back_conv = textbook.conv(both, w, np.zeros(1, x.dtype), padding=w.shape[2] // 2)
    t = sigmoid(u)

    dt = (dy * y1).sum(axis=1, keepdims=True)
    dboth, dw, _ = back_conv(dt * t * (1 - t))
    dy1 = dy * t + dboth[:, :1] / c
    dmax = np.zeros_like(x)
    np.put_along_axis(dmax, best, dboth[:, 1:], axis=1)
    dy1 += dmax
    ds = (dy1 * x).sum(axis=(2, 3))
    du = ds * s * (1 - s)
    dh1, dh2 = (du @ w2) * (h1 > 0), (du @ w2) * (h2 > 0)
    dw2, dw1 = du.T @ a1 + du.T @ a2, dh1.T @ z1 + dh2.T @ z2
    dpixels = np.zeros_like(pixels)
    np.put_along_axis(dpixels, winner, (dh2 @ w1)[:, :, None], axis=2)
    dx = dy1 * per_channel(s) + mean_back(dh1 @ w1, x) + dpixels.reshape(x.shape)
    return y1 * t, dx, dw1, dw2, dw


def gather_excite(x: Any, dy: Any) -> Any:
    s = sigmoid(x.mean(axis=(2, 3)))
    dz = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
    return x * per_channel(s), dy * per_channel(s) + mean_back(dz, x)


def gather_excite_convolution(x: Any, w: Any, dy: Any) -> Any:
    (kernel,) = w
    columns = textbook.im2col(x, 3, 2, 1)
    z = (columns * kernel[:, :, :, None, None]).sum(axis=(2, 3))
    s = sigmoid(z.repeat(2, axis=2).repeat(2, axis=3))[:, :, : x.shape[2], : x.shape[3]]
    du = dy * x * s * (1 - s)
    du = np.pad(du, ((0, 0), (0, 0), (0, x.shape[2] % 2), (0, x.shape[3] % 2)))
    dz = du.reshape(*z.shape[:3], 2, z.shape[3], 2).sum(axis=(3, 5))
    dw = (columns * dz[:, :, None, None]).sum(axis=(0, 4, 5))
    dcolumns = kernel[:, :, :, None, None] * dz[:, :, None, None]
    return x * s, dy * s + textbook.col2im(dcolumns, x.shape, 2, 1), dw[None]


def effective_se(x: Any, w: Any, b: Any, dy: Any) -> Any:
    z = x.mean(axis=(2, 3))
    u = z @ w.T + b
    s = np.clip(u + 3, 0, 6) / 6
    du = (dy * x).sum(axis=(2, 3)) / 6 * (np.abs(u) < 3)
    dx = dy * per_channel(s) + mean_back(du @ w, x)
    return x * per_channel(s), dx, du.T @ z, du.sum(axis=0)


def srm(x: Any, w: Any, gamma: Any, beta: Any, dy: Any) -> Any:
    pixels = x.shape[2] * x.shape[3]
    mean, std = x.mean(axis=(2, 3)), np.sqrt(x.var(axis=(2, 3)) + 1e-5)
    u = w[:, 0] * mean + w[:, 1] * std
    sigma = np.sqrt(u.var(axis=0) + 1e-5)
    hat = (u - u.mean(axis=0)) / sigma
    s = sigmoid(gamma * hat + beta)
    dv = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
    dhat = dv * gamma
    du = (dhat - dhat.mean(axis=0) - hat * (dhat * hat).mean(axis=0)) / sigma
    dx = dy * per_channel(s) + mean_back(du * w[:, 0], x)
    dx += (x - per_channel(mean)) * per_channel(du * w[:, 1] / (pixels * std))
    dw = np.stack([(du * mean).sum(axis=0), (du * std).sum(axis=0)], axis=1)
    return x * per_channel(s), dx, dw, (dv * hat).sum(axis=0), dv.sum(axis=0)


def gct(x: Any, alpha: Any, gamma: Any, beta: Any, dy: Any) -> Any:
    length = np.sqrt((x * x).sum(axis=(2, 3)) + 1e-5)
    e = alpha * length
    sigma = np.sqrt((e * e).mean(axis=1, keepdims=True) + 1e-5)
    n = e / sigma
    t = np.tanh(gamma * n + beta)
    dt = (dy * x).sum(axis=(2, 3)) * (1 - t * t)
    dn = dt * gamma
    de = (dn - n * (dn * n).mean(axis=1, keepdims=True)) / sigma
    dx = dy * per_channel(1 + t) + x * per_channel(de * alpha / length)
    sums = (a.sum(axis=0) for a in (de * length, dt * n, dt))
    return x * per_channel(1 + t), dx, *sums


def global_context(
    x: Any, wk: Any, w1: Any, w2: Any, gamma: Any, beta: Any, b1: Any, b2: Any, dy: Any
) -> Any:
    n, c = x.shape[:2]
    pixels = x.reshape(n, c, -1)
    k = np.einsum("c,ncp->np", wk, pixels)
    a = np.exp(k - k.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    z = (pixels * a[:, None]).sum(axis=2)
    u = z @ w1.T + b1
    sigma = np.sqrt(u.var(axis=1, keepdims=True) + 1e-5)
    hat = (u - u.mean(axis=1, keepdims=True)) / sigma
    h = gamma * hat + beta
    r = np.maximum(h, 0)
    t = r @ w2.T + b2

    dt = dy.sum(axis=(2, 3))
    dh = (dt @ w2) * (h > 0)
    dhat = dh * gamma
    centred = dhat - dhat.mean(axis=1, keepdims=True)
    du = (centred - hat * (dhat * hat).mean(axis=1, keepdims=True)) / sigma
    dz = du @ w1
    da = (dz[:, :, None] * pixels).sum(axis=1)
    dk = a * (da - (a * da).sum(axis=1, keepdims=True))
    dx = dy + (dz[:, :, None] * a[:, None] + wk[:, None] * dk[:, None]).reshape(x.shape)
    dwk = np.einsum("np,ncp->c", dk, pixels)
    norms = (dh * hat).sum(axis=0), dh.sum(axis=0)
    return x + per_channel(t), dx, dwk, du.T @ z, dt.T @ r, *norms, du.sum(axis=0), dt.sum(axis=0)


def scale_bias_se(x: Any, w1: Any, w2: Any, b1: Any, b2: Any, dy: Any) -> Any:
    c, z = x.shape[1], x.mean(axis=(2, 3))
    h = z @ w1.T + b1
    a = np.maximum(h, 0)
    uv = a @ w2.T + b2
    s = sigmoid(uv[:, :c])
    du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
    duv = np.concatenate([du, dy.sum(axis=(2, 3))], axis=1)
    dh = (duv @ w2) * (h > 0)
    dx = dy * per_channel(s) + mean_back(dh @ w1, x)
    y = x * per_channel(s) + per_channel(uv[:, c:])
    return y, dx, dh.T @ z, duv.T @ a, dh.sum(axis=0), duv.sum(axis=0)
