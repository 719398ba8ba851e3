"""The linear layer, and the flattening that makes one row of the maps of a sample."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpy_se.contract import Array, op


@op("N I, O I, O -> N O")
def linear(
    x: Array, w: Array, b: Array | None = None
) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
    """Multiply every row of ``x`` by the matrix ``w`` and add ``b``.

        y[n,o] = sum_i w[o,i] * x[n,i] + b[o]

    ``x[n,i]`` feeds all outputs o of its sample; ``w[o,i]`` and ``b[o]`` are shared by all samples:

        dx[n,i] = sum_o dy[n,o] * w[o,i]        dx = dy @ w
        dw[o,i] = sum_n dy[n,o] * x[n,i]        dw = dy.T @ x
        db[o]   = sum_n dy[n,o]

    x (N, I), w (O, I), b (O,) or None give y (N, O). ``backward`` gives (dx, dw), and db when ``b``
    was given. Keeps ``x`` and ``w``. A 1x1 convolution on a 1x1 map is the same function.
    """
    y = x @ w.T  # (N, O)
    biased = b is not None
    if b is not None:
        y += b

    def backward(dy: Array) -> tuple[Array, ...]:
        dx = dy @ w  # (N, I)
        dw = dy.T @ x  # (O, I)
        return (dx, dw, dy.sum(axis=0)) if biased else (dx, dw)  # db: (O,)

    return y, backward


@op("N C H W -> N I")
def flatten(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Write the maps of each sample into one row.

        y[n, (c*H + h)*W + w] = x[n,c,h,w]

    Every entry is only moved, so its gradient is moved back.
    x (N, C, H, W) gives y (N, C*H*W). Keeps only the shape of ``x``.
    """
    shape = x.shape
    y = np.array(x, order="C").reshape(len(x), -1)  # (N, C*H*W), a copy

    def backward(dy: Array) -> Array:
        return np.array(dy, order="C").reshape(shape)  # (N, C, H, W)

    return y, backward
