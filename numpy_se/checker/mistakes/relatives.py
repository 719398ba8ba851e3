"""Mistakes in the attention blocks around SE, as chains of stages."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np

from numpy_se.checker.mistakes.block import _bottleneck
from numpy_se.checker.mistakes.chain import Chain, Values
from numpy_se.checker.mistakes.composed import look_for
from numpy_se.checker.mistakes.pieces import (
    correlate,
    correlate_in_a_ring,
    dense,
    multiply,
    one_map,
    part,
    plus,
    plus_all,
    scale_pixels,
    total,
)
from numpy_se.checker.mistakes.registry import Op
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
    max_mean,
    one_more,
    one_pixel,
    pool_by,
    repeat,
    root_of_c,
    scale_cropped,
    style,
    window_mean,
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

Flow = tuple[Op, str]
SQUEEZE: dict[str, Flow] = {"squeeze": (global_avg_pool, "x -> z")}
BIASED: dict[str, Flow] = {**SQUEEZE, **_bottleneck(relu, sigmoid)}


def block(code: str, takes: str, axes: str, **stages: Flow) -> Chain:
    """Enter a chain whose arguments may come in any order; ``axes`` are those of all of them."""
    chain = look_for(code, takes, axes, (), **stages)
    chain.free = True
    return chain


# Gates of channels, and of pixels.
for squeeze, gate in product((global_avg_pool, global_max_pool), (sigmoid, hard_sigmoid, tanh)):
    for code, mix in (("eca", correlate), ("eca-circular", correlate_in_a_ring)):
        block(code, "x w", "N C H W, K", squeeze=(squeeze, "x -> z"), mix=(mix, "z w -> u"),
              gate=(gate, "u -> s"), scale=(channel_scale, "x s -> y"))  # fmt: skip
    block("channel-gate", "x w b=None", "N C H W, C C, C", squeeze=(squeeze, "x -> z"),
          linear_layer=(dense, "z w b -> u"), gate=(gate, "u -> s"),
          scale=(channel_scale, "x s -> y"))  # fmt: skip
for gate in (sigmoid, hard_sigmoid, tanh, relu):
    chain = block("spatial-gate", "x w b=None", "N C H W, C, 1", one_map=(one_map, "x w b -> u"),
                  gate=(gate, "u -> s"), scale=(scale_pixels, "x s -> y"))  # fmt: skip

    @chain.mistake(
        "channel-sum", "one_map", "the sum over the channels is missing in d{s}: they share it"
    )
    def of_each_channel(v: Values, d: Array, gate: Any = gate) -> Any:
        each = v["dy"] * v["x"] * gate(v["u"])[1](np.ones_like(v["u"]))[:, None]  # (N, C, H, W)
        w = v["w"].reshape(1, -1, 1, 1)
        return {"x": w * each, "w": (v["x"] * each).sum(axis=(0, 2, 3)).reshape(v["w"].shape)}


# A residual block with SE.
for gate in (sigmoid, hard_sigmoid, tanh, relu):
    for code, last, end in (
        ("residual-se", "y", {}),
        ("residual-se-relu", "o", {"outer_relu": (relu, "o -> y")}),
    ):
        block(code, "x w1 w2 b1=None b2=None", "N C H W, R C, C R, R, C", **SQUEEZE,
              **_bottleneck(relu, gate), scale=(channel_scale, "x s -> v"),
              addition=(plus, f"x v -> {last}"), **end)  # fmt: skip

# scSE: added, the larger one, multiplied, and one behind the other.
TAKES, AXES = "x w1 w2 w b1=None b2=None b=None", "N C H W, R C, C R, C, R, C, 1"
for code, join, more in (
    ("scse", plus, "addition"),
    ("scse-larger", larger, "larger"),
    ("scse-product", multiply, "product"),
):
    joined: dict[str, Flow] = {more: (join, "v p -> y")}
    chain = block(code, TAKES, AXES, **BIASED, channel_scale=(channel_scale, "x s -> v"),
                  one_map=(one_map, "x w b -> q"), pixel_gate=(sigmoid, "q -> t"),
                  pixel_scale=(scale_pixels, "x t -> p"), **joined)  # fmt: skip

    @chain.mistake("gates-exchanged", "pixel_scale", "{s} in place of {t} in the pixel scale")
    def channel_gate_twice(v: Values, d: Array) -> Any:
        return {"x": d * v["s"][:, :, None, None]}

    if join is larger:

        @chain.mistake(
            "larger-gate",
            "larger",
            "the larger gate decides, not the larger value: {x} < 0 turns it",
        )
        def larger_gate(v: Values, d: Array) -> Any:
            first = v["s"][:, :, None, None] >= v["t"][:, None]
            return {"v": d * first, "p": d * ~first}


block("gates-multiplied", TAKES, AXES, **BIASED, channel_scale=(channel_scale, "x s -> v"),
      one_map=(one_map, "x w b -> q"), pixel_gate=(sigmoid, "q -> t"),
      pixel_scale=(scale_pixels, "v t -> y"))  # fmt: skip
block("scse-serial", TAKES, AXES, **BIASED, channel_scale=(channel_scale, "x s -> v"),
      one_map=(one_map, "v w b -> q"), pixel_gate=(sigmoid, "q -> t"),
      pixel_scale=(scale_pixels, "v t -> y")).mistake(
    "x-for-v", "one_map", "in the one map: {x} in place of {v} in d{w}"
)(lambda v, d: {"w": (v["x"] * d[:, None]).sum(axis=(0, 2, 3)).reshape(v["w"].shape)})  # fmt: skip

# CBAM.
for gate in (sigmoid, hard_sigmoid, tanh, relu):
    shared: dict[str, Flow] = {
        "average": (global_avg_pool, "x -> za"), "maximum": (global_max_pool, "x -> zm"),
        "first_layer_of_the_average": (dense, "za w1 b1 -> ha"),
        "relu_of_the_average": (relu, "ha -> aa"),
        "second_layer_of_the_average": (dense, "aa w2 b2 -> ua"),
        "first_layer_of_the_maximum": (dense, "zm w1 b1 -> hm"),
        "relu_of_the_maximum": (relu, "hm -> am"),
        "second_layer_of_the_maximum": (dense, "am w2 b2 -> um"),
        "sum": (plus, "ua um -> u"), "gate": (gate, "u -> s"),
    }  # fmt: skip
    block("cbam-channel", "x w1 w2 b1=None b2=None", "N C H W, C R, R C, R, C", **shared,
          scale=(channel_scale, "x s -> y"))  # fmt: skip
    if gate is sigmoid:
        both_gates = {k.replace("gate", "channel_gate"): flow for k, flow in shared.items()}
for padding, summary in product((1, 3, 2, 0), (channel_mean_max, max_mean)):
    filtered = OneFilter(padding)
    block("cbam-spatial", "x w b=None", "N C H W, ..., 1", squeeze=(summary, "x -> m"),
          convolution=(filtered, "m w b -> q"), gate=(sigmoid, "q -> t"),
          scale=(multiply, "x t -> y"))  # fmt: skip
    chain = block("cbam", "x w1 w2 w b1=None b2=None b=None",
                  "N C H W, C R, R C, ..., R, C, 1", **both_gates,
                  channel_scale=(channel_scale, "x s -> v"), pixel_squeeze=(summary, "v -> m"),
                  convolution=(filtered, "m w b -> q"), pixel_gate=(sigmoid, "q -> t"),
                  pixel_scale=(multiply, "v t -> y"))  # fmt: skip

    @chain.mistake("x-for-v", "pixel_scale", "in the pixel scale: {x} in place of {v} in d{t}")
    def of_the_input(v: Values, d: Array) -> Any:
        return {"t": (d * v["x"]).sum(axis=1, keepdims=True)}


# Gather-Excite: windows that overlap, and that do not.
for extent in (2, 4, 3):
    block("gather-excite", "x", "N C H W", around=(partial(around, extent=extent), "x -> u"),
          gate=(sigmoid, "u -> s"), scale=(multiply, "x s -> y"))  # fmt: skip
    block("gather-excite-windows", "x", "N C H W",
          squeeze=(partial(window_mean, extent=extent), "x -> z"), gate=(sigmoid, "z -> u"),
          repeat=(partial(repeat, extent=extent), "u -> s"),
          scale=(scale_cropped, "x s -> y"))  # fmt: skip
chain = block("gather-excite-mean", "x", "N C H W", **SQUEEZE, gate=(sigmoid, "z -> s"),
              scale=(channel_scale, "x s -> y"))  # fmt: skip


@chain.mistake("pixel-sum", "squeeze", "the sum over the pixels is missing in d{s}: they share it")
def of_each_pixel(v: Values, d: Array) -> Any:
    slope = (v["s"] * (1 - v["s"]))[:, :, None, None]
    return {"x": v["dy"] * v["x"] * slope / v["x"][0, 0].size}


block("gather-excite-whole", "x w b=None", "N C H W, C H W, C", weight=(multiply, "x w -> p"),
      gather=(partial(total, axis=(2, 3), keepdims=False), "p -> z"),
      shift=(plus_all, "z b -> u"), gate=(sigmoid, "u -> s"),
      scale=(channel_scale, "x s -> y"))  # fmt: skip
block("gather-excite-affine", "x w b", "N C H W, C, C", **SQUEEZE,
      weight=(multiply, "z w -> p"), shift=(plus, "p b -> u"), gate=(sigmoid, "u -> s"),
      scale=(channel_scale, "x s -> y"))  # fmt: skip
block("gather-excite-convolution", "x w", "N C H W, ...", gather=(gather, "x w -> u"),
      gate=(sigmoid, "u -> s"), scale=(multiply, "x s -> y"))  # fmt: skip

# SRM, with batch norm and without, its weights in one array or in two.
for eps, ddof, gate in product(EPS[:4], (0, 1), (sigmoid, tanh, hard_sigmoid)):
    styled: dict[str, Flow] = {
        "mean": (global_avg_pool, "x -> m"),
        "deviation": (partial(deviation, eps=eps, ddof=ddof), "x -> d"),
    }
    gated: dict[str, Flow] = {"gate": (gate, "u -> s"), "scale": (multiply, "x s -> y")}
    chain = block("style-gate", "x w b=None", "N C H W, C 2, C", **styled,
                  style=(style, "m d w b -> u"), **gated)  # fmt: skip

    @chain.mistake("variance", "style", "in d{w}: the variance in place of the deviation {d}")
    def of_the_variance(v: Values, d: Array) -> Any:
        wrong = v["right"]["w"].copy()
        wrong[:, 1] = (d[:, :, 0, 0] * v["x"].var(axis=(2, 3))).sum(axis=0)
        return {"w": wrong}

    block("style-gate-vectors", "x w v b=None", "N C H W, C, C, C", **styled,
          mean_weight=(multiply, "m w -> p"), deviation_weight=(multiply, "d v -> q"),
          sum=(plus_all, "p q b -> u"), gate=(gate, "u -> s"),
          scale=(channel_scale, "x s -> y"))  # fmt: skip
    if not ddof:
        norm = {"norm": (partial(batch_norm, eps=1e-5), "r gamma beta -> u")}
        block("srm", "x w gamma beta", "N C H W, C 2, C, C", **styled,
              style=(style, "m d w -> r"), **norm, **gated)  # fmt: skip
        block("srm-vectors", "x w v gamma beta", "N C H W, C, C, C, C", **styled,
              mean_weight=(multiply, "m w -> p"), deviation_weight=(multiply, "d v -> q"),
              sum=(plus, "p q -> k"), pixel=(one_pixel, "k -> r"), **norm, **gated)  # fmt: skip

# GCT, with eps in the mean or in the sum.
for eps in EPS:
    for normed_rows in (
        {"normalisation": (partial(rms_norm, eps=eps), "e -> n")},
        {
            "normalisation": (partial(l2_normalise, eps=eps), "e -> i"),
            "root": (root_of_c, "i -> n"),
        },
    ):
        chain = block("gct", "x alpha gamma beta", "N C H W, C, C, C",
                      length=(partial(global_l2_pool, eps=eps), "x -> l"),
                      embedding=(multiply, "l alpha -> e"), **normed_rows,
                      weighting=(multiply, "n gamma -> g"), shift=(plus, "g beta -> t"),
                      tanh=(tanh, "t -> v"), one_more=(one_more, "v -> s"),
                      scale=(channel_scale, "x s -> y"))  # fmt: skip

        @chain.mistake("tanh-of-the-gate", "tanh", "1 - {s}^2 in place of 1 - {v}^2 in the tanh")
        def of_the_gate(v: Values, d: Array) -> Any:
            return {"t": d * (1 - v["s"] ** 2)}


# Global context: added, or as a gate; with one layer or two.
CONTEXT: dict[str, Flow] = {
    "one_map": (one_map, "x wk bk -> k"), "flat": (flat_pixels, "k -> e"),
    "softmax": (softmax, "e -> a"), "pool": (pool_by, "x a -> z"),
}  # fmt: skip
ENDS: list[dict[str, Flow]] = [
    {"shift": (channel_shift, "x t -> y")},
    {"gate": (sigmoid, "t -> s"), "scale": (channel_scale, "x s -> y")},
]
for end in ENDS:
    second: dict[str, Flow] = {"second_linear_layer": (dense, "j w2 b2 -> t"), **end}
    block("global-context", "x wk w1 w2 gamma beta b1=None b2=None bk=None",
          "N C H W, C, C R, R C, R, R, R, C, 1", **CONTEXT,
          first_linear_layer=(dense, "z w1 b1 -> h"),
          norm=(partial(layer_norm, axes=(-1,), eps=1e-5), "h gamma beta -> i"),
          relu=(relu, "i -> j"), **second)  # fmt: skip
    block("simple-context", "x wk w1 w2 b1=None b2=None bk=None",
          "N C H W, C, C R, R C, R, C, 1", **CONTEXT,
          first_linear_layer=(dense, "z w1 b1 -> h"), relu=(relu, "h -> j"), **second)  # fmt: skip
    block("one-layer-context", "x wk w b=None bk=None", "N C H W, C, C C, C, 1", **CONTEXT,
          linear_layer=(dense, "z w b -> t"), **end)  # fmt: skip
block("attention-pool-map", "x wk bk=None", "N C H W, C, 1",
      **{**CONTEXT, "pool": (pool_by, "x a -> y")})  # fmt: skip

# Scale and bias: with one layer for both, with one for each, and with a shortcut.
PARTS: dict[str, Flow] = {
    "second_linear_layer": (linear, "a w2 b2 -> uv"),
    "scale_part": (partial(part, number=0, of=2), "uv -> u"),
    "bias_part": (partial(part, number=1, of=2), "uv -> v"),
}
LAYERS: dict[str, Flow] = {
    "scale_layer": (linear, "a ws bs -> u"), "bias_layer": (linear, "a wt bt -> v"),
}  # fmt: skip
SHORTCUTS: list[tuple[str, str, dict[str, Flow]]] = [
    ("", "y", {}),
    ("-shortcut", "o", {"addition": (plus, "o skip -> y")}),
    ("-shortcut-relu", "o", {"addition": (plus, "o skip -> r"), "outer_relu": (relu, "r -> y")}),
]
for (behind, last, end), packed in product(SHORTCUTS, (True, False)):
    skip, map_of_skip = (" skip", ", N C H W") if end else ("", "")
    takes = "w1 w2 b1=None b2=None" if packed else "w1 ws wt b1=None bs=None bt=None"
    own_axes = "R C, Y R, R, Y" if packed else "R C, C R, C R, R, C, C"
    chain = block(f"scale-bias-se{behind}", f"x{skip} {takes}", f"N C H W{map_of_skip}, {own_axes}",
                  **SQUEEZE, first_linear_layer=BIASED["first_linear_layer"], relu=BIASED["relu"],
                  **(PARTS if packed else LAYERS), gate=(sigmoid, "u -> s"),
                  scale=(channel_scale, "x s -> p"), shift=(channel_shift, f"p v -> {last}"),
                  **end)  # fmt: skip
    if packed:

        @chain.mistake(
            "bias-through-the-gate", "bias_part", "the bias has the derivative of the sigmoid"
        )
        def through_the_gate(v: Values, d: Array) -> Any:
            s = sigmoid(v["uv"])[0]
            return {"uv": v["right"]["uv"] * s * (1 - s)}

        for number, half in enumerate(("scale", "bias")):

            @chain.mistake(
                f"{half}-half-missing",
                "second_linear_layer",
                f"the {half} half is missing in d{{a}}",
            )
            def half_missing(v: Values, d: Array, number: int = number) -> Any:
                other = np.arange(d.shape[1]) * 2 // d.shape[1] != number
                return {"a": (d * other) @ v["w2"]}

        @chain.mistake(
            "halves-exchanged", "second_linear_layer", "scale and bias are exchanged in d{uv}"
        )
        def halves_exchanged(v: Values, d: Array) -> Any:
            half = d.shape[1] // 2
            turned = np.roll(d, half, axis=1)
            wrong = {"a": turned @ v["w2"], "w2": turned.T @ v["a"]}
            return wrong if v["b2"] is None else {**wrong, "b2": turned.sum(axis=0)}

    else:

        @chain.mistake(
            "bias-through-the-gate", "bias_layer", "the bias has the derivative of the sigmoid"
        )
        def through_the_other_gate(v: Values, d: Array) -> Any:
            return layer_gradients(v, d * v["s"] * (1 - v["s"]))


def layer_gradients(v: Values, d: Array) -> Any:
    """The gradients of the layer of the bias."""
    wrong = {"a": d @ v["wt"], "wt": d.T @ v["a"]}
    return wrong if v["bt"] is None else {**wrong, "bt": d.sum(axis=0)}
