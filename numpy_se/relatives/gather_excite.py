"""Gather-Excite: SE where the squeeze may keep some of the map, by the authors of SE.

    s = gathered_gates(x)            from the map, from windows, or by depthwise convolutions
    y = x * s                        one gate for each channel, or for each channel and place

With the mean over the map, it is SE without its bottleneck.
Source: Hu, Shen, Albanie, Sun, Vedaldi, "Gather-Excite", NeurIPS 2018, arXiv 1810.12348.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_se.contract import Array, check_count, op
from numpy_se.nets.layer import Params, check_rng
from numpy_se.ops import channel_scale, gated
from numpy_se.relatives.gather import gathered_gates
from numpy_se.relatives.layer import Relative


def _multiply(x: Array, s: Array) -> tuple[Array, Any]:
    """Multiply two arrays of one shape: each is the gradient of the other."""
    return x * s, lambda dy: (dy * s, dy * x)


@op("N C H W, S C 3 3 -> N C H W")
def gather_excite(
    x: Array, w: Array | None = None, *, extent: int | None = None
) -> tuple[Array, Any]:
    """Scale every value of ``x`` by what lies around it in its channel.

        dx = s * dy + the gradient of the gates for ds = dy * x                   (see ``gated``)

    With one gate for each place, no sum is in ds. What is forgotten most: the overlap of windows,
    the share 1/count at the border, and that a gate has several copies.
    x (N, C, H, W) gives y. With w (S, C, 3, 3), depthwise convolutions gather, and ``backward``
    gives (dx, dw); without, it is a mean over ``extent``, or over the map, and it gives dx.
    Raises ValueError for ``w`` with an ``extent``. Source: Hu et al., arXiv 1810.12348, section 3.
    """
    s, back_gates = gathered_gates(x, w, extent=extent)
    return gated(x, s, back_gates, channel_scale if s.ndim == 2 else _multiply)


def _covered(side: int, extent: int) -> int:
    """Count the rows of all windows of ``window_gates`` on a side: they overlap."""
    starts = range(1 - extent, side - extent + 1, extent)
    return sum(min(start + 2 * extent - 1, side) - max(start, 0) for start in starts)


@dataclass(frozen=True)
class GatherExcite(Relative):
    """``gather_excite`` on ``channels`` channels, over ``extent`` or with ``stages`` convolutions.

    Parameters: w, if there are stages. Its gates are (N, C), or (N, C, H, W) in both other cases.
    """

    channels: int
    extent: int | None = None
    stages: int = 0
    block = staticmethod(gather_excite)
    gates_op = staticmethod(gathered_gates)

    def __post_init__(self) -> None:
        check_count("GatherExcite", "stages", self.stages, at_least=0)
        if self.extent is not None:
            check_count("GatherExcite", "extent", self.extent, at_least=1)
            if self.stages:
                got = f"extent is {self.extent}"
                raise ValueError(f"GatherExcite: {got}; it wants None where there are stages")
        super().__post_init__()

    @property
    def options(self) -> dict[str, Any]:
        return {"extent": self.extent}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"w": (self.stages, self.channels, 3, 3)} if self.stages else {}

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        """Draw w with variance 2/9: a value of a depthwise convolution has 9 inputs."""
        check_rng("init", rng)
        shapes = self.shapes.items()
        return {k: (rng.standard_normal(s) * math.sqrt(2 / 9)).astype(dtype) for k, s in shapes}

    def counts(self, y: Array) -> dict[str, int]:
        """Count an addition for each pixel of each window; convolutions are in ``macs``."""
        entries = y[0].size
        if self.extent is not None:
            height, width = (_covered(side, self.extent) for side in y.shape[2:])
            entries = self.channels * height * width
        return super().counts(y) | {"se_squeezes": 0 if self.stages else entries}

    def macs(self, y: Array) -> int:
        height, width, total = *y.shape[2:], 0
        for _ in range(self.stages):
            height, width = (height + 1) // 2, (width + 1) // 2
            total += 9 * self.channels * height * width
        return total
