"""Mistakes in the attention blocks around SE: their chains, and the squeezes that they need.

ECA, the spatial gate and the channel gate of CBAM stand in ``composed``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from numpy_se.checker.mistakes.block import MAPS, _bottleneck
from numpy_se.checker.mistakes.composed import FLAT, look_for
from numpy_se.checker.mistakes.pieces import (
    Result,
    dense,
    multiply,
    one_map,
    part,
    plus,
    scale_pixels,
)
from numpy_se.checker.mistakes.registry import Layout, known, mistake
from numpy_se.checker.mistakes.rows import layer_norm, rms_norm
from numpy_se.checker.mistakes.softmax import softmax
from numpy_se.contract import Array
from numpy_se.ops import (
    avg_pool2d,
    batch_norm,
    channel_mean_max,
    channel_scale,
    channel_shift,
    conv2d,
    depthwise_conv2d,
    global_avg_pool,
    global_l2_pool,
    global_max_pool,
    global_std_pool,
    hard_sigmoid,
    linear,
    relu,
    resize_nearest,
    sigmoid,
    tanh,
)

EPS = (1e-5, 0.0, 1e-8, 1e-6, 1e-3, 1e-12)


# Stages that are no operations of the package.


def flat_pixels(k: Array) -> Result:
    return k.reshape(len(k), -1), lambda da: da.reshape(k.shape)


def pool_by(x: Array, a: Array) -> Result:
    """Sum the pixels by weights (N, H*W)."""
    rows = x.reshape(*x.shape[:2], -1)

    def backward(dz: Array) -> tuple[Array, Array]:
        dx = np.einsum("nc,np->ncp", dz, a)
        return dx.reshape(x.shape), np.einsum("nc,ncp->np", dz, rows)

    return np.einsum("ncp,np->nc", rows, a), backward


def style(m: Array, d: Array, w: Array) -> Result:
    """Mix mean and deviation of each channel, with w (C, 2), to (N, C, 1, 1)."""
    if w.shape[1:] != (2,):
        raise ValueError("two weights for each channel")
    u = w[:, 0] * m + w[:, 1] * d

    def backward(du: Array) -> tuple[Array, ...]:
        du = du[:, :, 0, 0]
        dw = np.stack([(du * m).sum(axis=0), (du * d).sum(axis=0)], axis=1)
        return du * w[:, 0], du * w[:, 1], dw

    return u[:, :, None, None], backward


def around(x: Array, *, extent: int) -> Result:
    """The mean of what lies around each value: gather, and spread again."""
    z, back_pool = avg_pool2d(x, size=2 * extent - 1, stride=extent, padding=extent - 1)
    y, back_resize = resize_nearest(z, height=x.shape[2], width=x.shape[3])
    return y, lambda dy: back_pool(back_resize(dy))


def gather(x: Array, w: Array) -> Result:
    """One depthwise convolution with stride 2, spread again; w is (C, 3, 3), or one of these."""
    z, back_conv = depthwise_conv2d(x, w.reshape(w.shape[-3:]), stride=2, padding=1)
    y, back_resize = resize_nearest(z, height=x.shape[2], width=x.shape[3])

    def backward(dy: Array) -> tuple[Array, Array]:
        dx, dw = back_conv(back_resize(dy))
        return dx, dw.reshape(w.shape)

    return y, backward


def one_more(t: Array) -> Result:
    return 1 + t, lambda ds: 1 * ds


SHAPES: list[tuple[Any, str]] = [
    (flat_pixels, "N H W"), (pool_by, "N C H W, N P"), (style, "N C, N C, C 2"),
    (around, "N C H W"), (gather, "N C H W, ..."), (one_more, "..."),
]  # fmt: skip
for op, shapes in SHAPES:
    op.axes = shapes
KEEP_NOTHING: list[Any] = [flat_pixels, around, one_more, channel_shift]
for op in KEEP_NOTHING:
    op.keeps_nothing = True

known(channel_mean_max)
known(global_std_pool, eps=EPS)
known(global_l2_pool, eps=EPS)
known(pool_by)


# Rules of the arguments, dy and the output, and the number of the gradient.
def _to_pixels(d: Array) -> Array:
    return d[:, :, None, None]


def _winner(x: Array) -> Array:
    wins = x == x.max(axis=1, keepdims=True)
    return np.asarray(wins & (np.cumsum(wins, axis=1) == 1), float)


def _pixels(x: Array) -> int:
    return int(x[0, 0].size)


def _centred(x: Array) -> Array:
    centred: Array = x - x.mean(axis=(2, 3), keepdims=True)
    return centred


RULES: dict[Any, list[tuple[str, int, str, Callable[..., Any]]]] = {
    channel_mean_max: [
        ("mean-path", 0, "the path of the mean is missing",
         lambda a, d, y: d[:, 1:] * _winner(a[0])),
        ("max-path", 0, "the path of the maximum is missing",
         lambda a, d, y: d[:, :1] / a[0].shape[1] + 0 * a[0]),
        ("mean-undivided", 0, "the share 1/C of the mean is missing",
         lambda a, d, y: d[:, :1] + d[:, 1:] * _winner(a[0])),
        ("max-shared", 0, "the gradient of the maximum goes to all channels",
         lambda a, d, y: d[:, :1] / a[0].shape[1] + d[:, 1:] + 0 * a[0]),
        ("max-divided", 0, "the gradient of the maximum is divided by C",
         lambda a, d, y: (d[:, :1] + d[:, 1:] * _winner(a[0])) / a[0].shape[1]),
        ("max-divided-shared", 0, "both are averaged over the channels",
         lambda a, d, y: (d[:, :1] + d[:, 1:]) / a[0].shape[1] + 0 * a[0]),
        ("exchanged", 0, "mean and maximum are exchanged in d{y}",
         lambda a, d, y: d[:, 1:] / a[0].shape[1] + d[:, :1] * _winner(a[0])),
    ],
    global_std_pool: [
        ("mean-missing", 0, "{x} in place of {x} - mean",
         lambda a, d, y: a[0] * _to_pixels(d / (_pixels(a[0]) * y))),
        ("half", 0, "the 2 of the square is missing",
         lambda a, d, y: _centred(a[0]) * _to_pixels(d / (2 * _pixels(a[0]) * y))),
        ("root-missing", 0, "1/{y} is missing: the root",
         lambda a, d, y: _centred(a[0]) * _to_pixels(d / _pixels(a[0]))),
        ("variance", 0, "the rule of the variance: 2 in place of 1/{y}",
         lambda a, d, y: _centred(a[0]) * _to_pixels(2 * d / _pixels(a[0]))),
        ("root-twice", 0, "1/{y} is there twice",
         lambda a, d, y: _centred(a[0]) * _to_pixels(d / (_pixels(a[0]) * y**2))),
        ("undivided", 0, "1/(H*W) is missing", lambda a, d, y: _centred(a[0]) * _to_pixels(d / y)),
        ("n-1", 0, "H*W - 1 in place of H*W",
         lambda a, d, y: _centred(a[0]) * _to_pixels(d / ((_pixels(a[0]) - 1) * y))),
        ("sign-only", 0, "only the sign of {x} - mean counts",
         lambda a, d, y: np.sign(_centred(a[0])) * _to_pixels(d / _pixels(a[0]))),
    ],
    global_l2_pool: [
        ("half", 0, "the 2 of the square is missing",
         lambda a, d, y: a[0] * _to_pixels(d / (2 * y))),
        ("root-missing", 0, "1/{y} is missing: the root", lambda a, d, y: a[0] * _to_pixels(d)),
        ("square", 0, "the rule of the sum of squares: 2 in place of 1/{y}",
         lambda a, d, y: 2 * a[0] * _to_pixels(d)),
        ("root-twice", 0, "1/{y} is there twice", lambda a, d, y: a[0] * _to_pixels(d / y**2)),
        ("averaged", 0, "1/(H*W) is there: the rule of a mean",
         lambda a, d, y: a[0] * _to_pixels(d / y) / _pixels(a[0])),
        ("sign-only", 0, "only the sign of {x} counts",
         lambda a, d, y: np.sign(a[0]) * _to_pixels(d)),
    ],
    pool_by: [
        ("mean", 0, "the rule of the mean: 1/(H*W) in place of {a}",
         lambda a, d, y: _to_pixels(d) / a[1].shape[1] + 0 * a[0]),
        ("a-missing", 0, "{a} is missing in d{x}", lambda a, d, y: _to_pixels(d) + 0 * a[0]),
        ("x-missing", 1, "{x} is missing in d{a}",
         lambda a, d, y: d.sum(axis=1, keepdims=True) + 0 * a[1]),
        ("averaged", 1, "d{a} is the mean over the channels, not the sum",
         lambda a, d, y: pool_by(*a)[1](d)[1] / a[0].shape[1]),
        ("z-for-x", 1, "{y} in place of {x} in d{a}",
         lambda a, d, y: (d * y).sum(axis=1, keepdims=True) + 0 * a[1]),
    ],
    style: [
        ("exchanged", 2, "mean and deviation are exchanged in d{w}",
         lambda a, d, y: style(*a)[1](d)[2][:, ::-1]),
        ("w-exchanged", 0, "the weight of the deviation in d{m}",
         lambda a, d, y: d[:, :, 0, 0] * a[2][:, 1]),
        ("w-exchanged", 1, "the weight of the mean in d{d}",
         lambda a, d, y: d[:, :, 0, 0] * a[2][:, 0]),
        ("averaged", 2, "d{w} is the mean over the batch, not the sum",
         lambda a, d, y: style(*a)[1](d)[2] / len(a[0])),
        ("first", 2, "only sample 0 counts in d{w}",
         lambda a, d, y: style(a[0][:1], a[1][:1], a[2])[1](d[:1])[2]),
    ],
    around: [
        ("cells", 0, "each pixel has a share in the gate of its own cell alone: windows overlap",
         lambda a, d, y, extent: _own_cells(a[0], d, extent)),
        ("border", 0, "windows at the border are divided by their whole size, not by their pixels",
         lambda a, d, y, extent: _whole_windows(a[0], d, extent)),
        ("undivided", 0, "the share of a pixel in its windows is missing",
         lambda a, d, y, extent: _whole_windows(a[0], d, extent) * (2 * extent - 1) ** 2),
        ("not-spread", 0, "the gradient of a gate reaches its own pixel alone, divided by the "
         "window: it is not gathered over the copies",
         lambda a, d, y, extent: d / (2 * extent - 1) ** 2),
        ("as-it-is", 0, "the gradient is handed on as it is", lambda a, d, y, extent: 1 * d),
    ],
    gather: [
        ("flipped", 0, "the kernels are not turned in d{x}",
         lambda a, d, y: gather(a[0], a[1][..., ::-1, ::-1])[1](d)[0]),
        ("dw-flipped", 1, "d{w} is turned: the rule of a convolution",
         lambda a, d, y: gather(*a)[1](d)[1][..., ::-1, ::-1]),
        ("averaged", 1, "d{w} is the mean over the batch, not the sum",
         lambda a, d, y: gather(*a)[1](d)[1] / len(a[0])),
    ],
}  # fmt: skip


def _cells(d: Array, extent: int) -> tuple[Array, Array]:
    """Sum d over the copies of each gathered value; give it with the number of its pixels."""
    of_one = np.zeros((*d.shape[:2], -(-d.shape[2] // extent), -(-d.shape[3] // extent)))
    _, back = resize_nearest(of_one, height=d.shape[2], width=d.shape[3])
    return back(d), back(np.ones_like(d))


def _own_cells(x: Array, d: Array, extent: int) -> Array:
    sums, counts = _cells(d, extent)
    spread_again: Array = resize_nearest(sums / counts, height=x.shape[2], width=x.shape[3])[0]
    return spread_again


def _whole_windows(x: Array, d: Array, extent: int) -> Array:
    """Divide by all places of a window, also by those beside the map."""
    size = {"size": 2 * extent - 1, "stride": extent, "padding": extent - 1}
    z, back_pool = avg_pool2d(x, **size)
    inside = avg_pool2d(np.pad(np.ones_like(x), _sides(extent)), size=2 * extent - 1, stride=extent)
    sums, _ = _cells(d, extent)
    return back_pool(sums * inside[0][:, :, : z.shape[2], : z.shape[3]])


def _sides(extent: int) -> Any:
    return (0, 0), (0, 0), (extent - 1, extent - 1), (extent - 1, extent - 1)


for op, rules in RULES.items():
    for code, place, says, rule in rules:

        @mistake(f"{op.__name__.replace('_', '-')}.{code}", of=op, says=says)
        def wrong(
            args: Any, dy: Array, op: Any = op, place: int = place, rule: Any = rule, **options: Any
        ) -> dict[int, Array]:
            more = options if op is around else {}
            return {place: np.asarray(rule(args, dy, op(*args, **options)[0], **more))}


# The blocks. Arrays in the order of the package; other orders where people have them.
BIASED: dict[str, Any] = {"squeeze": (global_avg_pool, "x -> z"), **_bottleneck(relu, sigmoid)}
SE: dict[str, Any] = {
    k: (op, flow.replace(" b1", "").replace(" b2", "")) for k, (op, flow) in BIASED.items()
}
TURNED = [Layout(a, (), t) for a in MAPS[:2] for t in ((), (1, 2))]
CHANNELS_TWICE: dict[str, Any] = {
    "average": (global_avg_pool, "x -> za"), "maximum": (global_max_pool, "x -> zm"),
    "first_layer_of_the_average": (dense, "za w1 -> ha"),
    "relu_of_the_average": (relu, "ha -> aa"),
    "second_layer_of_the_average": (dense, "aa w2 -> ua"),
    "first_layer_of_the_maximum": (dense, "zm w1 -> hm"),
    "relu_of_the_maximum": (relu, "hm -> am"),
    "second_layer_of_the_maximum": (dense, "am w2 -> um"),
    "sum": (plus, "ua um -> uc"), "channel_gate": (sigmoid, "uc -> sc"),
    "channel_scale": (channel_scale, "x sc -> v"),
}  # fmt: skip

look_for("scse", "x w1 w2 w", "N C H W, R C, C R, ...", TURNED, **SE,
         channel_scale=(channel_scale, "x s -> v"), one_map=(one_map, "x w -> q"),
         pixel_gate=(sigmoid, "q -> t"), pixel_scale=(scale_pixels, "x t -> p"),
         addition=(plus, "v p -> y"))  # fmt: skip
for padding in (1, 3, 2, 0):
    pixels: dict[str, Any] = {
        "squeeze": (channel_mean_max, "x -> m"),
        "convolution": (partial(conv2d, padding=padding), "m w -> u"),
        "gate": (sigmoid, "u -> s"), "scale": (multiply, "x s -> y"),
    }  # fmt: skip
    look_for("cbam-spatial", "x w", "N C H W, 1 2 Q Q", FLAT[:1], **pixels)
    both: dict[str, Any] = {
        "pixel_squeeze": (channel_mean_max, "v -> m"),
        "convolution": (partial(conv2d, padding=padding), "m w -> u"),
        "pixel_gate": (sigmoid, "u -> s"), "pixel_scale": (multiply, "v s -> y"),
    }  # fmt: skip
    look_for("cbam", "x w1 w2 w", "N C H W, C R, R C, 1 2 Q Q",
             [Layout("", (), t) for t in ((), (1, 2))], **CHANNELS_TWICE, **both)  # fmt: skip
for extent in (2, 4, 3):
    look_for("gather-excite", "x", "N C H W", FLAT[:2], around=(partial(around, extent=extent),
             "x -> u"), gate=(sigmoid, "u -> s"), scale=(multiply, "x s -> y"))  # fmt: skip
look_for("gather-excite-mean", "x", "N C H W", FLAT, squeeze=(global_avg_pool, "x -> z"),
         gate=(sigmoid, "z -> s"), scale=(channel_scale, "x s -> y"))  # fmt: skip
look_for("gather-excite-convolution", "x w", "N C H W, ... 3 3", FLAT[:1], gather=(gather,
         "x w -> u"), gate=(sigmoid, "u -> s"), scale=(multiply, "x s -> y"))  # fmt: skip
for eps, gate in product(EPS[:3], (sigmoid, tanh, hard_sigmoid)):
    look_for("srm", "x w gamma beta", "N C H W, C 2, C, C", FLAT[:2],
             mean=(global_avg_pool, "x -> m"), deviation=(partial(global_std_pool, eps=eps),
             "x -> d"), style=(style, "m d w -> u"), norm=(partial(batch_norm, eps=1e-5),
             "u gamma beta -> v"), gate=(gate, "v -> s"), scale=(multiply, "x s -> y"))  # fmt: skip
    look_for("style-gate", "x w", "N C H W, C 2", FLAT[:2],
             mean=(global_avg_pool, "x -> m"), deviation=(partial(global_std_pool, eps=eps),
             "x -> d"), style=(style, "m d w -> u"), gate=(gate, "u -> s"),
             scale=(multiply, "x s -> y"))  # fmt: skip
for eps in EPS:
    look_for("gct", "x alpha gamma beta", "N C H W, ..., ..., ...", FLAT[:2],
             length=(partial(global_l2_pool, eps=eps), "x -> l"),
             embedding=(multiply, "l alpha -> e"),
             normalisation=(partial(rms_norm, eps=eps), "e -> n"),
             weighting=(multiply, "n gamma -> g"), shift=(plus, "g beta -> t"),
             tanh=(tanh, "t -> v"), one_more=(one_more, "v -> s"),
             scale=(channel_scale, "x s -> y"))  # fmt: skip
CONTEXT: dict[str, Any] = {
    "one_map": (one_map, "x wk -> k"), "flat": (flat_pixels, "k -> e"),
    "softmax": (softmax, "e -> a"), "pool": (pool_by, "x a -> z"),
}  # fmt: skip
ends: list[dict[str, Any]] = [{"shift": (channel_shift, "x t -> y")},
        {"gate": (sigmoid, "t -> s"), "scale": (channel_scale, "x s -> y")}]  # fmt: skip
for end in ends:
    look_for("global-context", "x wk w1 w2 gamma beta b1 b2",
             "N C H W, ..., C R, R C, R, R, R, C",
             [Layout(a, o, t) for a in MAPS[:2] for t in ((2, 3), ())
              for o in ((), (0, 1, 2, 6, 4, 5, 3, 7))], **CONTEXT,
             first_linear_layer=(dense, "z w1 b1 -> h"),
             norm=(partial(layer_norm, axes=(-1,), eps=1e-5), "h gamma beta -> i"),
             relu=(relu, "i -> j"), second_linear_layer=(dense, "j w2 b2 -> t"), **end)  # fmt: skip
    look_for("simple-context", "x wk w1 w2", "N C H W, ..., C R, R C",
             [Layout(a, (), t) for a in MAPS[:2] for t in ((2, 3), ())], **CONTEXT,
             first_linear_layer=(dense, "z w1 -> h"), relu=(relu, "h -> j"),
             second_linear_layer=(dense, "j w2 -> t"), **end)  # fmt: skip
look_for("attention-pool-map", "x wk", "N C H W, ...", FLAT[:2],
         **{**CONTEXT, "pool": (pool_by, "x a -> y")})  # fmt: skip
look_for("scale-bias-se", "x w1 w2 b1 b2", "N C H W, R C, Y R, R, Y",
         [Layout(a, o, t) for a in MAPS[:2] for t in ((), (1, 2)) for o in ((), (0, 1, 3, 2, 4))],
         squeeze=(global_avg_pool, "x -> z"), first_linear_layer=BIASED["first_linear_layer"],
         relu=BIASED["relu"], second_linear_layer=(linear, "a w2 b2 -> uv"),
         scale_part=(partial(part, number=0, of=2), "uv -> u"),
         bias_part=(partial(part, number=1, of=2), "uv -> v"), gate=(sigmoid, "u -> s"),
         scale=(channel_scale, "x s -> p"), shift=(channel_shift, "p v -> y"))  # fmt: skip
