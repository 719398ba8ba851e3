"""Global context: attention decides which pixels are squeezed, and the result is added to all.

    t = context(x)                                 one number for each channel
    y = x + t                                      or y = gate(t) * x

Source: Cao, Xu, Lin, Wei, Hu, "GCNet", arXiv 1904.11492, section 3.3.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_se.contract import Array, check_op, op, run_op
from numpy_se.nets.layer import Params, Step, spelled
from numpy_se.ops import channel_scale, channel_shift, gated
from numpy_se.relatives.context import Backward, context
from numpy_se.relatives.layer import Relative
from numpy_se.se import UnaryOp, reduced_width


@op("N C H W, C, R C, C R, R, R, R, C -> N C H W")
def global_context(
    x: Array,
    wk: Array,
    w1: Array,
    w2: Array,
    gamma: Array,
    beta: Array,
    b1: Array,
    b2: Array,
    *,
    gate: UnaryOp | None = None,
) -> tuple[Array, Backward]:
    """Add the context to every pixel, or with a ``gate`` such as sigmoid, scale by it.

        y = x + t        dx = dy + the gradient of the context for dt = sum_hw dy
        y = gate(t) x    dx = s dy + the same for dt = gate'(t) sum_hw dy x       (see ``gated``)

    x (N, C, H, W), wk (C,), w1 (R, C), w2 (C, R), gamma, beta, b1 (R,), b2 (C,) give y.
    Raises ValueError for R = 1. Source: Cao et al., arXiv 1904.11492, section 3.3.
    """
    t, back_context = context(x, wk, w1, w2, gamma, beta, b1, b2)
    if gate is None:
        return gated(x, t, back_context, channel_shift)
    s, back_gate = run_op("global_context: gate", gate, t)
    return gated(x, s, lambda ds: back_context(back_gate(ds)), channel_scale)


@dataclass(frozen=True)
class GlobalContext(Relative):
    """``global_context`` on ``channels`` channels. Parameters: wk, w1, w2, gamma, beta, b1, b2.

    At the start, wk is 0, and all pixels have the same weight. Raises ValueError for a ratio that
    leaves less than two hidden units.
    """

    channels: int
    ratio: float = 16
    gate: UnaryOp | None = None
    block = staticmethod(global_context)

    def __post_init__(self) -> None:
        if self.gate is not None:
            check_op("GlobalContext: gate", self.gate)
        super().__post_init__()
        if self.shapes["gamma"] == (1,):
            got = f"ratio is {self.ratio} for {self.channels} channels"
            raise ValueError(f"GlobalContext: {got}; layer norm wants two hidden units or more")

    def __repr__(self) -> str:
        gate = spelled(self.gate)
        return f"GlobalContext(channels={self.channels}, ratio={self.ratio}, gate={gate})"

    def gates(self, params: Mapping[str, Array], x: Array) -> Array:
        """Compute the gates (N, C), or what is added where there is no ``gate``."""
        self.check_channels(x)
        t: Array = context(x, *(params[name] for name in self.names))[0]
        return t if self.gate is None else run_op("GlobalContext: gate", self.gate, t)[0]

    def walk(self, params: Mapping[str, Array], x: Array) -> Generator[Step, None, Array]:
        """Give no gates where there is no ``gate``: what is added is none."""
        if self.gate is not None:
            return (yield from super().walk(params, x))
        y, _ = self(params, x)
        yield Step("", self, x, y, None)
        return y

    @property
    def options(self) -> dict[str, Any]:
        return {"gate": self.gate}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        c, r = self.channels, reduced_width(self.channels, self.ratio)
        rest: dict[str, tuple[int, ...]] = dict.fromkeys(("gamma", "beta", "b1"), (r,))
        return {"wk": (c,), "w1": (r, c), "w2": (c, r), **rest, "b2": (c,)}

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        start: Params = {"gamma": np.ones(self.shapes["gamma"], dtype)}
        return super().init(rng, dtype) | start

    def macs(self, y: Array) -> int:
        return super().macs(y) + int(y[0].size)
