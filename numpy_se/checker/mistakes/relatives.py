"""Mistakes in the attention blocks around SE, as chains of stages.

ECA, the spatial gate and the channel gate of CBAM stand in ``composed``.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np

from numpy_se.checker.mistakes.block import MAPS, _bottleneck
from numpy_se.checker.mistakes.chain import Chain, Values
from numpy_se.checker.mistakes.composed import FLAT, SPATIAL_GATES, look_for
from numpy_se.checker.mistakes.pieces import dense, multiply, one_map, part, plus, scale_pixels
from numpy_se.checker.mistakes.registry import Layout
from numpy_se.checker.mistakes.rows import l2_normalise, layer_norm, rms_norm
from numpy_se.checker.mistakes.softmax import softmax
from numpy_se.checker.mistakes.squeezes import (
    EPS,
    OneFilter,
    around,
    deviation,
    flat_pixels,
    gather,
    larger,
    one_more,
    pool_by,
    root_of_c,
    style,
)
from numpy_se.contract import Array
from numpy_se.ops import (
    batch_norm,
    channel_mean_max,
    channel_scale,
    channel_shift,
    global_avg_pool,
    global_l2_pool,
    global_max_pool,
    hard_sigmoid,
    linear,
    relu,
    sigmoid,
    tanh,
)

BIASED: dict[str, Any] = {"squeeze": (global_avg_pool, "x -> z"), **_bottleneck(relu, sigmoid)}
CHANNELS_TWICE: dict[str, Any] = {
    "average": (global_avg_pool, "x -> za"), "maximum": (global_max_pool, "x -> zm"),
    "first_layer_of_the_average": (dense, "za w1 b1 -> ha"),
    "relu_of_the_average": (relu, "ha -> aa"),
    "second_layer_of_the_average": (dense, "aa w2 b2 -> ua"),
    "first_layer_of_the_maximum": (dense, "zm w1 b1 -> hm"),
    "relu_of_the_maximum": (relu, "hm -> am"),
    "second_layer_of_the_maximum": (dense, "am w2 b2 -> um"),
    "sum": (plus, "ua um -> uc"), "channel_gate": (sigmoid, "uc -> sc"),
    "channel_scale": (channel_scale, "x sc -> v"),
}  # fmt: skip


def with_orders(*orders: tuple[int, ...], turned: tuple[int, ...] = (1, 2)) -> list[Layout]:
    """Maps with channels first and last, weights as (out, in) and (in, out), in some orders."""
    return [Layout(a, o, t) for a in MAPS[:2] for o in ((), *orders) for t in ((), turned)]


# scSE: added, the larger one, and one behind the other.
BEHIND = (0, 1, 3, 5, 2, 4)  # each bias behind its weight, and w last
for code, join, more in (("scse", plus, "addition"), ("scse-larger", larger, "larger")):
    chain = look_for(code, "x w1 w2 w b1=None b2=None b=None", "N C H W, R C, C R, ..., R, C, ...",
             with_orders(BEHIND, (*BEHIND, 6)), **BIASED,
             channel_scale=(channel_scale, "x s -> v"), one_map=(one_map, "x w b -> q"),
             pixel_gate=(sigmoid, "q -> t"), pixel_scale=(scale_pixels, "x t -> p"),
             **{more: (join, "v p -> y")})  # fmt: skip

    @chain.mistake("gates-exchanged", "pixel_scale", "{s} in place of {t} in the pixel scale")
    def channel_gate_twice(v: Values, d: Array) -> Any:
        return {"x": d * v["s"][:, :, None, None]}


look_for("scse-serial", "x w1 w2 w b1=None b2=None b=None", "N C H W, R C, C R, ..., R, C, ...",
         with_orders(BEHIND, (*BEHIND, 6)), **BIASED, channel_scale=(channel_scale, "x s -> v"),
         one_map=(one_map, "v w b -> q"), pixel_gate=(sigmoid, "q -> t"),
         pixel_scale=(scale_pixels, "v t -> y")).mistake(
    "x-for-v", "one_map", "in the one map: {x} in place of {v} in d{w}"
)(lambda v, d: {"w": (v["x"] * d[:, None]).sum(axis=(0, 2, 3)).reshape(v["w"].shape)})  # fmt: skip


def channel_sum(chain: Chain) -> None:
    """Add to a spatial gate: the sum over the channels, which share a gate, is forgotten."""

    @chain.mistake(
        "channel-sum", "one_map", "the sum over the channels is missing in d{s}: they share it"
    )
    def of_each_channel(v: Values, d: Array) -> Any:
        gate = next(stage.op for stage in chain.stages if stage.gives == "s")
        each = v["dy"] * v["x"] * gate(v["u"])[1](np.ones_like(v["u"]))[:, None]  # (N, C, H, W)
        w = v["w"].reshape(1, -1, 1, 1)
        return {"x": w * each, "w": (v["x"] * each).sum(axis=(0, 2, 3)).reshape(v["w"].shape)}


for chain in SPATIAL_GATES:
    channel_sum(chain)

# CBAM.
for padding in (1, 3, 2, 0):
    filtered = OneFilter(padding)
    look_for("cbam-spatial", "x w b=None", "N C H W, ..., ...", FLAT[:2],
             squeeze=(channel_mean_max, "x -> m"), convolution=(filtered, "m w b -> u"),
             gate=(sigmoid, "u -> s"), scale=(multiply, "x s -> y"))  # fmt: skip
    chain = look_for("cbam", "x w1 w2 w b=None", "N C H W, C R, R C, ..., ...", with_orders(),
                     **{k: (op, f.replace(" b1", "").replace(" b2", ""))
                        for k, (op, f) in CHANNELS_TWICE.items()},
                     pixel_squeeze=(channel_mean_max, "v -> m"),
                     convolution=(filtered, "m w b -> u"), pixel_gate=(sigmoid, "u -> s"),
                     pixel_scale=(multiply, "v s -> y"))  # fmt: skip

    @chain.mistake("x-for-v", "pixel_scale", "in the pixel scale: {x} in place of {v} in d{s}")
    def of_the_input(v: Values, d: Array) -> Any:
        return {"s": (d * v["x"]).sum(axis=1, keepdims=True)}


look_for("cbam-channel-biases", "x w1 w2 b1 b2", "N C H W, C R, R C, R, C",
         with_orders((0, 1, 3, 2, 4)), **CHANNELS_TWICE | {"channel_scale":
         (channel_scale, "x sc -> y")})  # fmt: skip

# Gather-Excite.
for extent in (2, 4, 3):
    look_for("gather-excite", "x", "N C H W", FLAT[:2], around=(partial(around, extent=extent),
             "x -> u"), gate=(sigmoid, "u -> s"), scale=(multiply, "x s -> y"))  # fmt: skip
look_for("gather-excite-mean", "x", "N C H W", FLAT, squeeze=(global_avg_pool, "x -> z"),
         gate=(sigmoid, "z -> s"), scale=(channel_scale, "x s -> y"))  # fmt: skip
look_for("gather-excite-convolution", "x w", "N C H W, ... 3 3", FLAT[:1], gather=(gather,
         "x w -> u"), gate=(sigmoid, "u -> s"), scale=(multiply, "x s -> y"))  # fmt: skip

# SRM, with batch norm and without.
for eps, ddof, gate in product(EPS[:4], (0, 1), (sigmoid, tanh, hard_sigmoid)):
    styled: dict[str, Any] = {
        "mean": (global_avg_pool, "x -> m"),
        "deviation": (partial(deviation, eps=eps, ddof=ddof), "x -> d"),
    }
    layouts = [Layout(a, (), t) for a in MAPS[:2] for t in ((), (1,))]
    look_for("style-gate", "x w b=None", "N C H W, ..., ...", layouts, **styled,
             style=(style, "m d w b -> u"), gate=(gate, "u -> s"),
             scale=(multiply, "x s -> y"))  # fmt: skip
    if not ddof:
        look_for("srm", "x w gamma beta", "N C H W, ..., C, C", layouts, **styled,
                 style=(style, "m d w -> u"),
                 norm=(partial(batch_norm, eps=1e-5), "u gamma beta -> v"), gate=(gate, "v -> s"),
                 scale=(multiply, "x s -> y"))  # fmt: skip

# GCT, with eps in the mean or in the sum.
for eps in EPS:
    for norm in (
        {"normalisation": (partial(rms_norm, eps=eps), "e -> n")},
        {
            "normalisation": (partial(l2_normalise, eps=eps), "e -> i"),
            "root": (root_of_c, "i -> n"),
        },
    ):
        stages: dict[str, Any] = {
            "length": (partial(global_l2_pool, eps=eps), "x -> l"),
            "embedding": (multiply, "l alpha -> e"),
            **norm,
            "weighting": (multiply, "n gamma -> g"),
            "shift": (plus, "g beta -> t"),
            "tanh": (tanh, "t -> v"),
            "one_more": (one_more, "v -> s"),
            "scale": (channel_scale, "x s -> y"),
        }
        look_for("gct", "x alpha gamma beta", "N C H W, ..., ..., ...", FLAT[:2], **stages)

# Global context.
CONTEXT: dict[str, Any] = {
    "one_map": (one_map, "x wk -> k"), "flat": (flat_pixels, "k -> e"),
    "softmax": (softmax, "e -> a"), "pool": (pool_by, "x a -> z"),
}  # fmt: skip
ends: list[dict[str, Any]] = [{"shift": (channel_shift, "x t -> y")},
        {"gate": (sigmoid, "t -> s"), "scale": (channel_scale, "x s -> y")}]  # fmt: skip
for end in ends:
    normed: dict[str, Any] = {
        **CONTEXT, "first_linear_layer": (dense, "z w1 b1 -> h"),
        "norm": (partial(layer_norm, axes=(-1,), eps=1e-5), "h gamma beta -> i"),
        "relu": (relu, "i -> j"), "second_linear_layer": (dense, "j w2 b2 -> t"), **end,
    }  # fmt: skip
    look_for("global-context", "x wk w1 w2 gamma beta b1 b2", "N C H W, ..., C R, R C, R, R, R, C",
             with_orders((0, 1, 2, 6, 4, 5, 3, 7), turned=(2, 3)), **normed)  # fmt: skip
    look_for("global-context-unbiased", "x wk w1 w2 gamma beta", "N C H W, ..., C R, R C, R, R",
             with_orders((0, 1, 2, 5, 3, 4), turned=(2, 3)),
             **{k: (op, f.replace(" b1", "").replace(" b2", "")) for k, (op, f) in normed.items()},
             )  # fmt: skip
    look_for("simple-context", "x wk w1 w2", "N C H W, ..., C R, R C", with_orders(turned=(2, 3)),
             **CONTEXT, first_linear_layer=(dense, "z w1 -> h"), relu=(relu, "h -> j"),
             second_linear_layer=(dense, "j w2 -> t"), **end)  # fmt: skip
    look_for("one-layer-context", "x wk w", "N C H W, ..., C C", with_orders(turned=(2,)),
             **CONTEXT, linear_layer=(dense, "z w -> t"), **end)  # fmt: skip
look_for("attention-pool-map", "x wk", "N C H W, ...", FLAT[:2],
         **{**CONTEXT, "pool": (pool_by, "x a -> y")})  # fmt: skip

# Scale and bias.
chain = look_for("scale-bias-se", "x w1 w2 b1 b2", "N C H W, R C, Y R, R, Y",
                 with_orders((0, 1, 3, 2, 4)), squeeze=(global_avg_pool, "x -> z"),
                 first_linear_layer=BIASED["first_linear_layer"], relu=BIASED["relu"],
                 second_linear_layer=(linear, "a w2 b2 -> uv"),
                 scale_part=(partial(part, number=0, of=2), "uv -> u"),
                 bias_part=(partial(part, number=1, of=2), "uv -> v"), gate=(sigmoid, "u -> s"),
                 scale=(channel_scale, "x s -> p"), shift=(channel_shift, "p v -> y"))  # fmt: skip


@chain.mistake("bias-through-the-gate", "bias_part", "the bias has the derivative of the sigmoid")
def bias_through_the_gate(v: Values, d: Array) -> Any:
    s = sigmoid(v["uv"])[0]
    return {"uv": v["right"]["uv"] * s * (1 - s)}


@chain.mistake("halves-exchanged", "second_linear_layer", "scale and bias are exchanged in d{uv}")
def halves_exchanged(v: Values, d: Array) -> Any:
    half = d.shape[1] // 2
    turned = np.roll(d, half, axis=1)
    return {"a": turned @ v["w2"], "w2": turned.T @ v["a"], "b2": turned.sum(axis=0)}
