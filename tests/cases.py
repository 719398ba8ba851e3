"""Every operation of the package with every option, for the tests that hold for all of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy_se as se
from numpy_se import fused


@dataclass(frozen=True)
class Case:
    """An operation with its options; ``title`` names the test."""

    op: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        words = [getattr(value, "__name__", str(value)) for value in self.options.values()]
        fast = "fused." if self.op.__module__ == "numpy_se.fused" else ""
        return "-".join([fast + self.op.__name__, *words])

    def __call__(self, *args: Any) -> Any:
        return self.op(*args, **self.options)


PRIMITIVES = [
    Case(se.global_avg_pool),
    Case(se.global_max_pool),
    Case(se.max_pool2d),
    Case(se.max_pool2d, {"size": 3, "stride": 1}),
    Case(se.max_pool2d, {"size": 2, "stride": 3}),
    Case(se.linear),
    Case(se.flatten),
    Case(se.relu),
    Case(se.sigmoid),
    Case(se.tanh),
    Case(se.hard_sigmoid),
    Case(se.silu),
    Case(se.channel_scale),
    Case(se.add),
    *(
        Case(se.conv2d, {"stride": stride, "padding": padding})
        for stride, padding in product((1, 2, 3), (0, 1, 3))
    ),
    Case(se.batch_norm, {"eps": 0.1}),
    Case(se.batch_norm_inference),
    Case(se.softmax_cross_entropy),
]

BLOCKS = [
    *(Case(se.excite, {"gate": gate}) for gate in (se.sigmoid, se.hard_sigmoid)),
    *(
        Case(op, {"squeeze": squeeze, "gate": gate})
        for op in (se.excitation, se.squeeze_excite, fused.squeeze_excite)
        for squeeze in (se.global_avg_pool, se.global_max_pool)
        for gate in (se.sigmoid, se.tanh, se.relu, se.hard_sigmoid)
    ),
]

CASES = PRIMITIVES + BLOCKS
