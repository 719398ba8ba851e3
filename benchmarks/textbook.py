"""The tiny SE net as a course would write it in NumPy: the version to which speed is compared.

Vectorised, channels first, and without tricks: a convolution copies all windows into the rows of a
matrix (im2col) and is one product, pooling takes argmax over the windows, and backward adds the
windows up again.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def im2col(x: Any, size: int, stride: int, padding: int) -> Any:
    """Copy the windows of x (N, C, H, W) to (N, C, size, size, OH, OW)."""
    n, c, h, w = x.shape
    oh, ow = ((side + 2 * padding - size) // stride + 1 for side in (h, w))
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    columns = np.empty((n, c, size, size, oh, ow), x.dtype)
    for i in range(size):
        for j in range(size):
            rows, places = slice(i, i + stride * oh, stride), slice(j, j + stride * ow, stride)
            columns[:, :, i, j] = x[:, :, rows, places]
    return columns


def col2im(columns: Any, shape: tuple[int, ...], stride: int, padding: int) -> Any:
    """Add the windows (N, C, size, size, OH, OW) up to maps (N, C, H, W), the way back."""
    n, c, h, w = shape
    size, (oh, ow) = columns.shape[2], columns.shape[4:]
    x = np.zeros((n, c, h + 2 * padding, w + 2 * padding), columns.dtype)
    for i in range(size):
        for j in range(size):
            rows, places = slice(i, i + stride * oh, stride), slice(j, j + stride * ow, stride)
            x[:, :, rows, places] += columns[:, :, i, j]
    return x[:, :, padding : padding + h, padding : padding + w]


def conv(x: Any, w: Any, b: Any, stride: int = 1, padding: int = 1) -> Any:
    """Convolve; keep the columns for the way back."""
    f, _, size, _ = w.shape
    columns = im2col(x, size, stride, padding)
    n, c, _, _, oh, ow = columns.shape
    rows = columns.transpose(0, 4, 5, 1, 2, 3).reshape(n * oh * ow, -1)
    y = (rows @ w.reshape(f, -1).T + b).reshape(n, oh, ow, f).transpose(0, 3, 1, 2)

    def backward(dy: Any, input_grad: bool = True) -> Any:
        dy = dy.transpose(0, 2, 3, 1).reshape(-1, f)
        dw = (dy.T @ rows).reshape(w.shape)
        if not input_grad:
            return None, dw, dy.sum(axis=0)
        drows = (dy @ w.reshape(f, -1)).reshape(n, oh, ow, c, size, size)
        return col2im(drows.transpose(0, 3, 4, 5, 1, 2), x.shape, stride, padding), dw, dy.sum(0)

    return y, backward


def relu(x: Any) -> Any:
    """Pass what is positive."""
    return np.maximum(x, 0), lambda dy: np.where(x > 0, dy, 0)


def max_pool(x: Any) -> Any:
    """Keep the largest of every 2x2 window."""
    columns = im2col(x, 2, 2, 0)
    n, c, _, _, oh, ow = columns.shape
    columns = columns.reshape(n, c, 4, oh, ow)
    winner = columns.argmax(axis=2)[:, :, None]

    def backward(dy: Any) -> Any:
        dcolumns = np.zeros_like(columns)
        np.put_along_axis(dcolumns, winner, dy[:, :, None], axis=2)
        return col2im(dcolumns.reshape(n, c, 2, 2, oh, ow), x.shape, 2, 0)

    return np.take_along_axis(columns, winner, axis=2)[:, :, 0], backward


def se(x: Any, w1: Any, w2: Any) -> Any:
    """Scale every channel by its gate."""
    pixels = x.shape[2] * x.shape[3]
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T)))

    def backward(dy: Any) -> Any:
        ds = (dy * x).sum(axis=(2, 3))
        du = ds * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1
        dx = dy * s[:, :, None, None] + dz[:, :, None, None] / pixels
        return dx, dh.T @ z, du.T @ a

    return x * s[:, :, None, None], backward


def step(params: dict[str, Any], x: Any, labels: Any) -> tuple[Any, dict[str, Any]]:
    """Compute the loss of the tiny net and its gradients; with SE where ``params`` has weights."""
    backwards = []
    for stage in "123":
        x, back_conv = conv(x, params[f"conv{stage}.w"], params[f"conv{stage}.b"])
        x, back_relu = relu(x)
        back_se = None
        if f"se{stage}.w1" in params:
            x, back_se = se(x, params[f"se{stage}.w1"], params[f"se{stage}.w2"])
        x, back_pool = max_pool(x)
        backwards.append((stage, back_conv, back_relu, back_se, back_pool))
    flat = x.reshape(len(x), -1)
    logits = flat @ params["classify.w"].T + params["classify.b"]
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = exp / exp.sum(axis=1, keepdims=True)
    each = np.arange(len(labels))
    loss = -np.log(p[each, labels]).mean()

    dlogits = p.copy()
    dlogits[each, labels] -= 1
    dlogits /= len(labels)
    grads = {"classify.w": dlogits.T @ flat, "classify.b": dlogits.sum(axis=0)}
    dx = (dlogits @ params["classify.w"]).reshape(x.shape)
    for stage, back_conv, back_relu, back_se, back_pool in reversed(backwards):
        dx = back_pool(dx)
        if back_se:
            dx, grads[f"se{stage}.w1"], grads[f"se{stage}.w2"] = back_se(dx)
        dx = back_relu(dx)
        dx, grads[f"conv{stage}.w"], grads[f"conv{stage}.b"] = back_conv(dx, stage != "1")
    return loss, {name: grads[name] for name in params}
