"""Maps of another size: means of windows, and the nearest pixel.

Both are linear, and treat rows and columns alike. So each is a matrix for the rows and one for the
columns, y = R x K^T for each channel, and the gradient is that of a matrix product:

    dx = R^T dy K
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpy_se.contract import Array, check_count, op
from numpy_se.parallel import by_size, in_order

CHUNK = 2**20  # bytes of a chunk: it stays in the cache


@op("N C H W -> N C OH OW")
def avg_pool2d(
    x: Array, *, size: int = 2, stride: int | None = None, padding: int = 0
) -> tuple[Array, Callable[[Array], Array]]:
    """Take the mean of every ``size`` x ``size`` window of ``x``.

        y[n,c,p,q] = mean of x[n,c,h,w] over p*stride - padding <= h < p*stride - padding + size
                                             and the same for w with q

    Only pixels of ``x`` count, so a window at the border has fewer. Each pixel has the share
    1/count in each window that covers it:

        dx[n,c,h,w] = sum over windows (p,q) that cover (h,w) of dy[n,c,p,q] / count[p,q]

    x (N, C, H, W) gives y (N, C, OH, OW) with OH = (H + 2*padding - size) // stride + 1, likewise
    OW. ``stride`` is ``size`` unless given. Raises ValueError when the window does not fit into the
    padded map, or when the padding is more than half of it, as in PyTorch. Keeps two small
    matrices.
    """
    stride = size if stride is None else stride
    check_count("avg_pool2d", "size", size, at_least=1)
    check_count("avg_pool2d", "stride", stride, at_least=1)
    check_count("avg_pool2d", "padding", padding, at_least=0)
    if size > min(x.shape[2:]) + 2 * padding or 2 * padding > size:
        most = f"at most {min(x.shape[2:]) + 2 * padding}"
        wanted = f"at least {2 * padding}, and {most}" if padding else most
        raise ValueError(f"avg_pool2d: size is {size}; it wants {wanted} for x {x.shape}")

    def means(length: int) -> Array:
        first = np.arange(0, length + 2 * padding - size + 1, stride)[:, None] - padding
        pixel = np.arange(length)
        covered = (first <= pixel) & (pixel < first + size)  # (windows, pixels)
        return np.asarray(covered / covered.sum(axis=1, keepdims=True), x.dtype)

    return _resample(x, means(x.shape[2]), means(x.shape[3]))


@op("N C H W -> N C OH OW")
def resize_nearest(x: Array, *, height: int, width: int) -> tuple[Array, Callable[[Array], Array]]:
    """Give ``x`` another size: each pixel is a copy of the nearest one.

        y[n,c,p,q] = x[n,c, floor(p*H/height), floor(q*W/width)]

    A pixel has the sum of the gradients of its copies:

        dx[n,c,h,w] = sum of dy[n,c,p,q] over floor(p*H/height) = h and floor(q*W/width) = w

    x (N, C, H, W) gives y (N, C, height, width). Keeps two small matrices.
    """
    check_count("resize_nearest", "height", height, at_least=1)
    check_count("resize_nearest", "width", width, at_least=1)

    def copies(length: int, wanted: int) -> Array:
        source = np.arange(wanted)[:, None] * length // wanted
        return np.asarray(source == np.arange(length), x.dtype)

    return _resample(x, copies(x.shape[2], height), copies(x.shape[3], width))


def _resample(x: Array, rows: Array, columns: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Compute R x K^T, a few samples at a time: what lies between the two products is small."""
    y = np.empty((*x.shape[:2], len(rows), len(columns)), x.dtype)
    parts = by_size(len(x), max(x.nbytes, y.nbytes), CHUNK)

    def forward(part: slice) -> None:
        _along_rows(rows @ x[part], columns.T, y[part])

    in_order(forward, parts)
    shape = x.shape

    def backward(dy: Array) -> Array:
        dx = np.empty(shape, dy.dtype)

        def backward_of(part: slice) -> None:
            _along_rows(rows.T @ dy[part], columns, dx[part])

        in_order(backward_of, parts)
        return dx

    return y, backward


def _along_rows(a: Array, matrix: Array, out: Array) -> None:
    """Multiply all rows of all maps by a matrix: one product, as small ones take longer."""
    np.matmul(a.reshape(-1, len(matrix)), matrix, out=out.reshape(-1, matrix.shape[1]))
