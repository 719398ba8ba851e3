"""Sums over the pixels of a map, exact in float32 also where the map is large.

Every addition rounds the total so far, so that the error of M numbers, added one after the other,
grows with M. The sums here have two levels: first over the rows (or the columns), then over what
comes out. The error grows with H + W in place of H * W. NumPy's ``sum`` does the same on its own
(pairwise), but only along neighbours in memory, and pixels are none where the channels lie last.
"""

from __future__ import annotations

import numpy as np

from numpy_se.contract import Array

LONG = 48  # neighbours in memory that are worth a loop of their own


def channels_last(a: Array) -> bool:
    """Tell how (N, C, H, W) lies in memory: whether its channels or its columns lie closer."""
    return abs(a.strides[1]) <= abs(a.strides[3])


def pixel_sum(a: Array) -> Array:
    """Sum over the pixels: (N, C, H, W) gives (N, C)."""
    total: Array = a.sum(axis=2).sum(axis=2) if channels_last(a) else a.sum(axis=(2, 3))
    return total


def pixel_dot(a: Array, b: Array) -> Array:
    """Sum the product of two arrays over the pixels: (N, C, H, W) give (N, C).

    No array is made for the product. Small maps with the channels first take one level.
    """
    last = channels_last(a)
    total: Array
    if a.shape[1 if last else 3] >= LONG:
        total = np.einsum("nchw,nchw->nch", a, b).sum(axis=2)
    elif last:
        total = np.einsum("nchw,nchw->ncw", a, b).sum(axis=2)
    else:
        total = np.einsum("nchw,nchw->nc", a, b)
    return total
