"""Sums over the pixels of a map, exact in float32 also where the map is large.

Every addition rounds the total so far, so that the error of M numbers, added one after the other,
grows with M. The sums here have two levels: first over the rows (or the columns), then over what
comes out. The error grows with H + W in place of H * W. NumPy's ``sum`` does the same on its own
(pairwise), but only along neighbours in memory, and pixels are none where the channels lie last.
"""

from __future__ import annotations

import numpy as np

from numpy_se.contract import Array
from numpy_se.layout import ChannelsLast, layout_of

LONG = 48  # neighbours in memory that are worth a loop of their own


def pixel_sum(a: Array) -> Array:
    """Sum over the pixels: (N, C, H, W) gives (N, C)."""
    layout = layout_of(a)
    if isinstance(layout, ChannelsLast):
        return layout.total(layout.rows(a))
    total: Array = a.sum(axis=(2, 3))
    return total


def pixel_dot(a: Array, b: Array) -> Array:
    """Sum the product of two arrays over the pixels: (N, C, H, W) give (N, C).

    No array is made for the product. Small maps with the channels first take one level.
    """
    layout = layout_of(a)
    if isinstance(layout, ChannelsLast):
        return layout.dot(layout.rows(a), layout.rows(b))
    if a.shape[3] >= LONG:
        total: Array = np.einsum("nchw,nchw->nch", a, b).sum(axis=2)
    else:
        total = np.einsum("nchw,nchw->nc", a, b)
    return total
