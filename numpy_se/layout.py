"""How a batch of maps lies in memory, and its rows: what a loop of NumPy runs along.

NumPy starts a loop for every row of neighbours that its operands share. A number for each channel
broadcasts along a whole map where the channels lie first; where they lie last, it changes with
every entry, and a loop would be C entries short. There the numbers of all channels are repeated
along one row of the image, and a loop runs over W*C entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_se.contract import Array


@dataclass(frozen=True)
class ChannelsFirst:
    """Maps that lie in memory as (N, C, H, W). A row is a channel: (N, C, H*W)."""

    c: int
    h: int
    w: int

    def empty(self, n: int, dtype: Any) -> Array:
        """Make room for ``n`` samples: (n, C, H, W)."""
        return np.empty((n, self.c, self.h, self.w), dtype)

    def rows(self, a: Array) -> Array:
        """See (n, C, H, W) as rows. It is a copy where ``a`` lies in memory in another way."""
        return np.ascontiguousarray(a.reshape(len(a), self.c, self.h * self.w))

    def spread(self, s: Array) -> Array:
        """Shape (n, C) such that it broadcasts against rows."""
        return s[:, :, None]

    def total(self, rows: Array) -> Array:
        """Sum over the pixels: (n, C), by BLAS, in one level: ``sums.pixel_sum`` is more exact."""
        total: Array = rows @ np.ones(rows.shape[2], rows.dtype)
        return total

    def dot(self, a: Array, b: Array) -> Array:
        """Sum the product of two arrays over the pixels: (n, C)."""
        total: Array = np.einsum("ncp,ncp->nc", a, b)
        return total


@dataclass(frozen=True)
class ChannelsLast:
    """Maps that lie in memory as (N, H, W, C). A row is a row of the image: (N, H, W*C).

    Rows of C entries would be short where there are few channels.
    """

    c: int
    h: int
    w: int

    def empty(self, n: int, dtype: Any) -> Array:
        """As ``ChannelsFirst.empty``."""
        return np.empty((n, self.h, self.w, self.c), dtype).transpose(0, 3, 1, 2)

    def rows(self, a: Array) -> Array:
        """As ``ChannelsFirst.rows``."""
        rows = a.transpose(0, 2, 3, 1).reshape(len(a), self.h, self.w * self.c)
        return np.ascontiguousarray(rows)

    def spread(self, s: Array) -> Array:
        """As ``ChannelsFirst.spread``; the numbers are repeated along one row."""
        return s[:, None].repeat(self.w, axis=1).reshape(len(s), 1, -1)

    def total(self, rows: Array) -> Array:
        """As ``ChannelsFirst.total``, in two levels: over the rows, then over the columns."""
        return self._over_columns(np.ones(self.h, rows.dtype) @ rows)

    def dot(self, a: Array, b: Array) -> Array:
        """As ``ChannelsFirst.dot``, in two levels."""
        return self._over_columns(np.einsum("nhj,nhj->nj", a, b))

    def _over_columns(self, a: Array) -> Array:
        total: Array = np.ones(self.w, a.dtype) @ a.reshape(len(a), self.w, self.c)
        return total  # (n, C)


def layout_of(x: Array) -> ChannelsFirst | ChannelsLast:
    """Tell how the maps of ``x`` (N, C, H, W) lie in memory: which of C and W lies closer."""
    last = abs(x.strides[1]) <= abs(x.strides[3])
    return (ChannelsLast if last else ChannelsFirst)(*x.shape[1:])
