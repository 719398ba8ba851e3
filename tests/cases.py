"""Every operation of the package with every option, for the tests that hold for all of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy_se as se
from numpy_se import fused
from numpy_se import relatives as re
from numpy_se.contract import Array, op


@dataclass(frozen=True)
class Case:
    """An operation with its options; ``title`` names the test, ``bounds`` limit the sizes."""

    op: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)
    bounds: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        words = [getattr(value, "__name__", str(value)) for value in self.options.values()]
        fast = "fused." if self.op.__module__.startswith("numpy_se.fused") else ""
        return "-".join([fast + self.op.__name__, *words])

    def __call__(self, *args: Any) -> Any:
        return self.op(*args, **self.options)


@op("N C H W, C, C -> N C H W")
def fused_batch_norm(x: Array, gamma: Array, beta: Array, *, eps: float) -> Any:
    """Without the statistics: an operation gives y and backward. Keeps x - m, 1/sigma, factors."""
    y, backward, *_ = fused.batch_norm(x, gamma, beta, eps=eps)
    return y, backward


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
    Case(se.pixel_scale),
    Case(se.channel_shift),
    Case(se.add),
    Case(se.one_map),
    Case(se.channel_mean_max),
    *(Case(se.channel_correlate, {"circular": c}, {"K": (3, 3)}) for c in (False, True)),
    Case(se.channel_normalise, {"eps": 0.1}),
    Case(se.global_std_pool, {"eps": 0.1}),
    Case(se.style_pool, {"eps": 0.1}),
    Case(se.global_l2_pool, {"eps": 0.1}),
    Case(se.weighted_pool),
    Case(se.softmax),
    Case(se.layer_norm, {"eps": 0.1}),
    *(
        Case(se.depthwise_conv2d, {"stride": stride, "padding": padding})
        for stride, padding in ((1, 0), (2, 1), (3, 3))
    ),
    *(
        Case(se.avg_pool2d, {"size": size, "stride": stride, "padding": padding})
        for size, stride, padding in ((2, 2, 0), (3, 2, 1), (3, 1, 0))
    ),
    Case(se.resize_nearest, {"height": 3, "width": 5}),
    *(
        Case(se.conv2d, {"stride": stride, "padding": padding})
        for stride, padding in product((1, 2, 3), (0, 1, 3))
    ),
    *(Case(norm, {"eps": 0.1}) for norm in (se.batch_norm, fused_batch_norm)),
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

BLOCKS += [
    *(
        Case(op, {"activation": se.silu})
        for op in (se.excite, se.excitation, se.squeeze_excite, fused.squeeze_excite)
    ),
]


@op("N C H W -> N C H W")
def gather_excite(x: Array, *, extent: int) -> Any:
    """Without weights: with them, there is no extent."""
    return re.gather_excite(x, extent=extent)


RELATIVES = [
    *(
        Case(op, {"circular": circular}, {"K": (3, 3)})
        for op, circular in ((re.eca_gates, False), (re.eca, False), (re.eca, True))
    ),
    Case(re.spatial_gates),
    Case(re.spatial_se),
    Case(re.scse),
    Case(re.channel_attention_gates),
    Case(re.spatial_attention_gates, bounds={"K": (3, 3)}),
    Case(re.cbam, bounds={"K": (3, 3)}),
    Case(re.gather_excite, bounds={"S": (1, 2)}),
    *(Case(gather_excite, {"extent": extent}) for extent in (1, 2)),
    Case(re.convolved_gates, bounds={"S": (1, 3)}),
    Case(re.mean_gates),
    Case(re.window_gates, {"extent": 2}),
    Case(re.effective_gates),
    Case(re.effective_se),
    Case(re.srm_gates),
    Case(re.srm),
    Case(re.gct_gates, {"eps": 0.1}),
    Case(re.gct, {"eps": 0.1}),
    Case(re.attention_pool),
    Case(re.context, bounds={"R": (2, 4)}),
    *(Case(re.global_context, {"gate": gate}, {"R": (2, 4)}) for gate in (None, se.sigmoid)),
    Case(re.scale_and_shift, bounds={"C": (2, 2), "D": (4, 4)}),
    Case(re.scales_and_biases, bounds={"C": (2, 2), "D": (4, 4)}),
    Case(re.scale_bias_se, bounds={"C": (2, 2), "D": (4, 4)}),
]

CASES = PRIMITIVES + BLOCKS + RELATIVES
