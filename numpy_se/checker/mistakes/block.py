"""Mistakes in the SE block and its parts: chains of stages whose mistakes are known."""

from __future__ import annotations

from itertools import product
from typing import Any

from numpy_se.checker.mistakes.chain import Chain, Values
from numpy_se.checker.mistakes.registry import Layout, Op, known
from numpy_se.contract import Array
from numpy_se.ops import (
    channel_scale,
    global_avg_pool,
    global_max_pool,
    hard_sigmoid,
    linear,
    relu,
    sigmoid,
    silu,
    tanh,
)

SQUEEZES = (global_avg_pool, global_max_pool)
INNER = (relu, silu)
GATES = (sigmoid, tanh, relu, hard_sigmoid)
ORDERS = ((), (0, 1, 3, 2, 4))  # each bias behind its weight
TRANSPOSED = ((), (1, 2))  # x @ w in place of x @ w.T
WEIGHTS = "w1 w2 b1=None b2=None"


def _bottleneck(inner: Op, gate: Op) -> dict[str, tuple[Op, str]]:
    return {
        "first_linear_layer": (linear, "z w1 b1 -> h"),
        "relu" if inner is relu else "inner_activation": (inner, "h -> a"),
        "second_linear_layer": (linear, "a w2 b2 -> u"),
        "gate": (gate, "u -> s"),
    }


def excite(inner: Op, gate: Op) -> Chain:
    """The gates from the squeezed channels: eq. 3 of the paper."""
    return _with_biases(Chain("excite", f"z {WEIGHTS}", **_bottleneck(inner, gate)))


def excitation(squeeze: Op, inner: Op, gate: Op) -> Chain:
    """The gates of feature maps: eq. 2 and 3."""
    stages = {"squeeze": (squeeze, "x -> z"), **_bottleneck(inner, gate)}
    chain = _with_sums(_with_biases(Chain("excitation", f"x {WEIGHTS}", **stages)))

    @chain.mistake(
        "scale-path-added", "squeeze", "a scale path {s} * d{s} is added: the gates alone have none"
    )
    def scale_path_added(v: Values, dz: Array) -> Any:
        return {"x": v["right"]["x"] + (v["s"] * v["ds"])[:, :, None, None]}

    return chain


def squeeze_excite(squeeze: Op, inner: Op, gate: Op) -> Chain:
    """The whole block: eq. 2 to 4."""
    stages = {"squeeze": (squeeze, "x -> z"), **_bottleneck(inner, gate)}
    stages["scale"] = (channel_scale, "x s -> y")
    chain = _with_sums(_with_biases(Chain("se", f"x {WEIGHTS}", **stages)))

    @chain.mistake("scale.z-for-x", "scale", "in the scale: {z} in place of {x} in d{s}")
    def z_for_x(v: Values, dy: Array) -> Any:
        return {"s": dy.sum(axis=(2, 3)) * v["z"]}

    return chain


def _with_biases(chain: Chain) -> Chain:
    """Add what goes wrong around the biases."""
    inner = next(stage for stage in chain.stages if stage.gives == "a")
    if inner.op is relu:

        @chain.mistake("mask-before-bias", "relu", "the mask is taken before {b1} is added")
        def mask_before_bias(v: Values, da: Array) -> Any:
            return None if v["b1"] is None else {"h": da * (v["h"] > v["b1"])}

    return chain


def _with_sums(chain: Chain) -> Chain:
    """Add what goes wrong where the squeezed maps are used."""

    @chain.mistake(
        "dw1-summed",
        "first_linear_layer",
        "d{w1} from summed pooling: the sum of {x} in place of its mean",
    )
    def dw1_summed(v: Values, dh: Array) -> Any:
        return {"w1": dh.T @ v["x"].sum(axis=(2, 3))}

    return chain


for inner, gate in product(INNER, GATES):
    for squeeze, make in product(SQUEEZES, (squeeze_excite, excitation)):
        chain = make(squeeze, inner, gate)
        chain.axes, chain.free = "N C H W, R C, C R, R, C", True
        known(chain)
    known(excite(inner, gate), *(Layout("", o, t) for o, t in product(ORDERS, TRANSPOSED)))
