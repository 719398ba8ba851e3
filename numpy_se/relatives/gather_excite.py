"""Gather-Excite: SE where the squeeze may keep some of the map, by the authors of SE.

    z = gather(x)                    mean over the map or a window, or depthwise convolutions
    s = sigmoid(z), spread           to the size of x: the gate of a copy is the copy of a gate
    y = x * s                        one gate for each channel, or for each channel and place

With the mean over the map, it is SE without its bottleneck.
Source: Hu, Shen, Albanie, Sun, Vedaldi, "Gather-Excite", NeurIPS 2018, arXiv 1810.12348.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_se.contract import Array, check_count, op
from numpy_se.nets.layer import Params, check_rng
from numpy_se.ops import (
    avg_pool2d,
    channel_scale,
    depthwise_conv2d,
    gated,
    global_avg_pool,
    relu,
    resize_nearest,
    sigmoid,
)
from numpy_se.relatives.layer import Relative

Backward = Callable[[Array], Array]


@op("N C H W -> N C")
def mean_gates(x: Array) -> tuple[Array, Backward]:
    """Compute one gate for each channel, from its own mean.

        z[n,c] = mean_hw x        s = sigmoid(z)        dx = ds s (1 - s) / (H*W)

    x (N, C, H, W) gives s (N, C); ``backward`` gives dx.
    """
    z, back_gather = global_avg_pool(x)
    s, back_gate = sigmoid(z)
    return s, lambda ds: back_gather(back_gate(ds))


@op("N C H W -> N C H W")
def window_gates(x: Array, *, extent: int) -> tuple[Array, Backward]:
    """Compute a gate for each channel and place, from what lies around it; nothing is learned.

        z = avg_pool2d(x, size=2*extent-1, stride=extent, padding=extent-1)
        s = resize_nearest(sigmoid(z))

    Each step is undone by its own backward: a gate has the sum of the gradients of its copies, and
    a pixel a share in all windows that cover it.
    x (N, C, H, W) gives s (N, C, H, W); ``backward`` gives dx.
    """
    check_count("window_gates", "extent", extent, at_least=1)
    z, back_gather = avg_pool2d(x, size=2 * extent - 1, stride=extent, padding=extent - 1)
    s, back_gate = sigmoid(z)
    spread, back_spread = resize_nearest(s, height=x.shape[2], width=x.shape[3])
    return spread, lambda ds: back_gather(back_gate(back_spread(ds)))


@op("N C H W, S C 3 3 -> N C H W")
def convolved_gates(x: Array, w: Array) -> tuple[Array, Any]:
    """Compute a gate for each channel and place, gathered by S depthwise convolutions.

        z_1 = depthwise(x, w[0])        z_k+1 = depthwise(relu(z_k), w[k])        stride 2 each
        s = resize_nearest(sigmoid(z_S))

    Their extent is 2^S. The authors' nets have batch norm behind each convolution; here is none.
    x (N, C, H, W), w (S, C, 3, 3) give s (N, C, H, W); ``backward`` gives (dx, dw).
    """
    z = x
    backs: list[tuple[Backward | None, Any]] = []
    for kernel in w:
        a, back_relu = relu(z) if backs else (z, None)  # none before the first
        z, back_conv = depthwise_conv2d(a, kernel, stride=2, padding=1)
        backs.append((back_relu, back_conv))
    s, back_gate = sigmoid(z)
    spread, back_spread = resize_nearest(s, height=x.shape[2], width=x.shape[3])

    def backward(ds: Array) -> tuple[Array, Array]:
        dz, dw = back_gate(back_spread(ds)), np.empty_like(w)
        for k, (back_relu, back_conv) in reversed(list(enumerate(backs))):
            da, dw[k] = back_conv(dz)
            dz = back_relu(da) if back_relu else da
        return dz, dw

    return spread, backward


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
    if w is not None and extent is not None:
        raise ValueError(f"gather_excite: extent is {extent}; it wants None where w is given")
    scale = channel_scale if w is None and extent is None else _multiply
    return gated(x, *_gates(x, w, extent=extent), scale)


def _gates(x: Array, w: Array | None = None, *, extent: int | None = None) -> tuple[Array, Any]:
    if w is not None:
        return convolved_gates(x, w)
    return mean_gates(x) if extent is None else window_gates(x, extent=extent)


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
    gates_op = staticmethod(_gates)

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
